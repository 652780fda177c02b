#!/usr/bin/env bash
# All benchmarks of the module in turn, each beside its peer, COUNT times over, so that a slow minute of the machine hits
# all of them alike. Prints benchstat tables at the end. What it needs and does not find it leaves out, and says so.
#
#   COUNT=5 bash bio/bench/run.sh [engine] [dtls] [udp] [codecs] [conn] [forward] [memory]      (nothing named: all)
#
# How to read it: a row is a piece of work, a column who does it; the first column is what the others are compared with.
# README.md says what each does.
set -euo pipefail
cd "$(dirname "$0")/../.."
GO=${GO:-go} COUNT=${COUNT:-5}
parts=${*:-engine dtls udp codecs conn forward memory}
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT

bench() { # package pattern file [flags...]
  local pkg=$1 pattern=$2 file=$3; shift 3
  "$tmp/$(basename "$pkg").test" -test.run '^$' -test.bench "$pattern" -test.count 1 "$@" >>"$tmp/$file" 2>&1 ||
    { cat "$tmp/$file"; echo "bench: $pkg failed" >&2; exit 1; }
}
compile() { for pkg; do (cd "$pkg" && $GO test -c -o "$tmp/$(basename "$pkg").test" .); done; }
tables() { # file: one table for each benchmark, a column for each implementation
  sed -nE -e '/^(goos|goarch|cpu)/p' -e 's#^(Benchmark[A-Za-z]+)/([a-z][a-z0-9.-]*)/([0-9]+)(-[0-9]+)?[[:space:]]#\1/size=\3/impl=\2\t#p;t' \
    -e 's#^(Benchmark[A-Za-z]+)/([a-z][a-z0-9.]*)(-[0-9]+)?[[:space:]]#\1/impl=\2\t#p;t' -e '/^Benchmark/p' "$tmp/$1" >"$tmp/$1.only"
  $GO tool benchstat -ignore pkg -row .name,/size -col /impl "$tmp/$1.only"
}
plain() { # file: one row for each benchmark
  grep -E '^(goos|goarch|pkg|cpu|Benchmark)' "$tmp/$1" >"$tmp/$1.only"
  $GO tool benchstat "$tmp/$1.only"
}
membio() { [ -x "$tmp/membio" ] && "$tmp/membio" "$@" | grep '^Benchmark' || true; }

case " $parts " in *' engine '*|*' dtls '*|*' memory '*)
  cc -O2 -o "$tmp/membio" bio/bench/openssl_membio.c -lssl -lcrypto 2>"$tmp/cc.log" ||
    echo "bench: no OpenSSL beside the engine: a C compiler and libssl-dev are needed" >&2 ;;
esac

for part in $parts; do
  echo "== $part"
  case $part in
  engine)
    compile ./bio ./bio/bench
    for ((i = 0; i < COUNT; i++)); do
      bench ./bio '^Benchmark(Record|Handshake)' engine
      bench ./bio/bench Record engine
      membio record 1350 1400 16384 >>"$tmp/engine"
      membio handshake >>"$tmp/engine"
    done
    tables engine ;;
  dtls)
    compile ./bio/bench
    for ((i = 0; i < COUNT; i++)); do
      bench ./bio/bench DTLSRecord dtls
      membio -v dtls1.2 record 1350 >>"$tmp/dtls"
      bench ./bio/bench DTLSHandshake dtls -test.cpu 1 # one core, as OpenSSL has it
      membio -v dtls1.2 handshake >>"$tmp/dtls"
    done
    tables dtls ;;
  udp)
    compile ./bio/bench
    for ((i = 0; i < COUNT; i++)); do bench ./bio/bench UDP udp; done
    tables udp ;;
  memory)
    compile ./bio
    bench ./bio Idle memory; membio memory 2000 100 >>"$tmp/memory"; membio memory 2000 16384 >>"$tmp/memory"
    tables memory ;;
  codecs)
    for pkg in $(grep -rl --include='*_test.go' 'func Benchmark' codecs | xargs -n 1 dirname | sort -u); do
      compile ./"$pkg"
      for ((i = 0; i < COUNT; i++)); do bench ./"$pkg" . codecs; done
    done
    plain codecs ;;
  conn)
    compile ./wrap
    for ((i = 0; i < COUNT; i++)); do bench ./wrap . conn; done
    tables conn ;;
  forward)
    compile ./cmd/encase/forward
    for ((i = 0; i < COUNT; i++)); do bench ./cmd/encase/forward . forward; done
    tables forward ;;
  *) echo "bench: unknown part $part" >&2; exit 2 ;;
  esac
done
