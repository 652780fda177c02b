#!/bin/sh
# build.sh FOLDER FORMAT...: makes packages, deb or rpm, of what is checked out, and writes them to FOLDER. GO, GOARCH
# and VERSION may be set. The program is linked statically: one package serves all releases of a distribution.
set -e
out=$1
shift
: "${GO:=go}"
# Later versions link what makes packages for other systems, which nobody wants here.
nfpm=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2

mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")/../../.."
if [ -z "$VERSION" ]; then
  VERSION=$(git describe --tags --match 'v*' 2>/dev/null | sed 's/^v//; s/-/+/; s/-/./g') ||
    VERSION=
  [ -n "$VERSION" ] || VERSION=0~$(git log -1 --format=%cd.%h --date=format:%Y%m%d 2>/dev/null || echo dev)
fi
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || date +%s)}"
ARCH=$($GO env GOARCH)
STAGE=$(mktemp -d)
trap 'rm -rf "$STAGE"' EXIT
export VERSION ARCH STAGE SOURCE_DATE_EPOCH

CGO_ENABLED=0 $GO build -trimpath -ldflags='-s -w' -o "$STAGE/encase" ./cmd/encase
# What the program says of itself is written by one for this machine.
if [ "$ARCH" = "$($GO env GOHOSTARCH)" ]; then
  native="$STAGE/encase"
else
  native="$STAGE/native"
  GOARCH='' $GO build -o "$native" ./cmd/encase
fi
mkdir "$STAGE/man" "$STAGE/completion"
"$native" man "$STAGE/man" >/dev/null
gzip -9n "$STAGE"/man/*
"$native" completion bash >"$STAGE/completion/encase.bash"
"$native" completion zsh >"$STAGE/completion/_encase"
"$native" completion fish >"$STAGE/completion/encase.fish"
for format; do
  GOARCH='' GOFLAGS='' $GO run "$nfpm" package -f cmd/encase/packaging/nfpm.yaml -p "$format" -t "$out/"
done
