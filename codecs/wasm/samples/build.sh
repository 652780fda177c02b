#!/usr/bin/env bash
# Builds the samples into the directory named, or here: the same bytes each time, from the compilers of Debian 12
# (apt-get install clang lld rustc libstd-rust-dev-wasm32). A plugin of one's own is built like any of these.
set -euo pipefail
out=$(realpath "${1:-$(dirname "$0")}")
cd "$(dirname "$0")"

# One page of 64 KiB holds the stack, of which these need next to nothing, and the data behind it.
link=(-z stack-size=4096 --stack-first --initial-memory=65536 --no-entry --strip-all)

for name in length16 veil; do
  "${CLANG:-clang}" --target=wasm32 -std=c11 -O2 -Wall -Wextra -Werror -ffreestanding -nostdlib \
    "${link[@]/#/-Wl,}" -o "$out/$name.wasm" "$name.c"
done

"${RUSTC:-rustc}" --target wasm32-unknown-unknown --edition 2021 --crate-type cdylib -O \
  -C panic=abort -C strip=symbols -C lto \
  $(printf -- '-C link-arg=%s ' "${link[@]}" --export=encase_now --export=encase_random) \
  -o "$out/stamp.wasm" stamp.rs

chmod 644 "$out"/*.wasm
