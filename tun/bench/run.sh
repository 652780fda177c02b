#!/usr/bin/env bash
# Tunnels side by side in one run: two namespaces joined by a veth, both ends on this machine. Root only; it touches
# nothing but the namespaces that it makes, and ends the programs that it started. Programs that are not installed are
# left out, and it says so.
#
#   SECONDS_EACH=5 ROUNDS=1 bash tun/bench/run.sh [peer...]
#
# Columns: Gb/s of one TCP flow and of four; CPU seconds of both daemons for a GB of the first; thousands of UDP packets
# a second that arrive, of 1200 and of 64 bytes; median ping in ms, idle and while one flow runs.
set -uo pipefail
cd "$(dirname "$0")/../.."
GO=${GO:-go} each=${SECONDS_EACH:-5} rounds=${ROUNDS:-1}
all='veth encase-stream encase-udp wireguard-go nebula ocserv-dtls ocserv-tls openvpn-udp openvpn-tcp fastd quicktun tinc'
peers=${*:-$all}
# wireguard-go is built from its module: what distributions carry is often years older, without its offloads.
wireguard=v0.0.0-20260522210424-ecfc5a8d5446
[ "$(id -u)" = 0 ] || { echo "bench-tunnel: needs root, for namespaces and TUN devices" >&2; exit 1; }
for program in ip iperf3 ping jq; do
  command -v $program >/dev/null || { echo "bench-tunnel: needs $program" >&2; exit 1; }
done
tmp=$(mktemp -d) a=encase-bench-a-$$ b=encase-bench-b-$$
daemons='' iperf=''

stop() { # end what was started for a peer
  for pid in $daemons $iperf; do kill "$pid" 2>/dev/null; done
  for pid in $daemons $iperf; do
    for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null; wait "$pid" 2>/dev/null
  done
  daemons='' iperf=''
  ip netns del "$a" 2>/dev/null; ip netns del "$b" 2>/dev/null
}
trap 'stop; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM

on() { local ns=$1; shift; ip netns exec "$ns" "$@"; }
daemon() { local ns=$1 log=$2; shift 2; ip netns exec "$ns" "$@" >"$tmp/$log" 2>&1 & daemons="$daemons $!"; }
network() { # fresh namespaces with a cable between them
  ip netns add "$a" && ip netns add "$b" || exit 1
  ip link add eth0 netns "$a" type veth peer name eth0 netns "$b"
  ip -n "$a" addr add 10.1.0.1/24 dev eth0; ip -n "$b" addr add 10.1.0.2/24 dev eth0
  for ns in "$a" "$b"; do ip -n "$ns" link set lo up; ip -n "$ns" link set eth0 up; done
}
address() { # namespace interface last-byte mtu
  ip -n "$1" addr add "10.9.0.$3/24" dev "$2" 2>/dev/null; ip -n "$1" link set "$2" up mtu "$4"
}
certificates() {
  [ -e "$tmp/ca.crt" ] || { $GO build -o "$tmp/end" ./tun/bench/end && "$tmp/end" ca "$tmp"; }
}

start_veth() { target=10.1.0.1; }
start_encase() { # carrier codec
  certificates
  daemon "$a" server "$tmp/end" server "$tmp" "$1" 10.1.0.1:4433 "$2"; sleep 0.5
  daemon "$b" client "$tmp/end" client "$tmp" "$1" 10.1.0.1:4433 "$2"
}
start_encase-stream() { start_encase stream length:16be; }
start_encase-udp() { start_encase datagrams length:32be,prefix=454e4301; }
start_wireguard-go() {
  command -v wg >/dev/null || return 1
  [ -e "$tmp/wireguard" ] || GOBIN=$tmp $GO install golang.zx2c4.com/wireguard@$wireguard 2>"$tmp/install" || return 1
  for side in a b; do wg genkey | tee "$tmp/$side.wg" | wg pubkey >"$tmp/$side.wgpub"; done
  daemon "$a" server env LOG_LEVEL=error "$tmp/wireguard" -f wga
  daemon "$b" client env LOG_LEVEL=error "$tmp/wireguard" -f wgb
  sleep 1
  on "$a" wg set wga private-key "$tmp/a.wg" listen-port 51820 peer "$(cat "$tmp/b.wgpub")" allowed-ips 10.9.0.2/32
  on "$b" wg set wgb private-key "$tmp/b.wg" peer "$(cat "$tmp/a.wgpub")" allowed-ips 10.9.0.1/32 endpoint 10.1.0.1:51820
  address "$a" wga 1 1420; address "$b" wgb 2 1420
}
start_nebula() {
  command -v nebula nebula-cert >/dev/null || return 1
  (cd "$tmp" && rm -f neb* && nebula-cert ca -name x -out-crt nebca.crt -out-key nebca.key &&
    for i in 1 2; do nebula-cert sign -name n$i -ip 10.9.0.$i/24 -ca-crt nebca.crt -ca-key nebca.key -out-crt neb$i.crt \
      -out-key neb$i.key; done) || return 1
  for i in 1 2; do cat >"$tmp/neb$i.yml" <<END
pki: {ca: $tmp/nebca.crt, cert: $tmp/neb$i.crt, key: $tmp/neb$i.key}
static_host_map: {"10.9.0.$((3 - i))": ["10.1.0.$((3 - i)):4242"]}
lighthouse: {am_lighthouse: false}
listen: {host: 10.1.0.$i, port: 4242}
cipher: aes
tun: {dev: neb$i, mtu: 1400, tx_queue: 2000}
firewall: {outbound: [{port: any, proto: any, host: any}], inbound: [{port: any, proto: any, host: any}]}
END
  done
  daemon "$a" server nebula -config "$tmp/neb1.yml"; daemon "$b" client nebula -config "$tmp/neb2.yml"
}
start_ocserv() { # --no-dtls or nothing
  command -v ocserv openconnect ocpasswd >/dev/null || return 1
  certificates
  printf 'tost\ntost\n' | ocpasswd -c "$tmp/ocpasswd" test 2>/dev/null || return 1
  cat >"$tmp/ocserv.conf" <<END
auth = "plain[passwd=$tmp/ocpasswd]"
tcp-port = 4443
udp-port = 4443
run-as-user = root
run-as-group = root
socket-file = $tmp/ocserv.sock
server-cert = $tmp/server.crt
server-key = $tmp/server.key
isolate-workers = false
max-clients = 8
max-same-clients = 8
keepalive = 300
mtu = 1400
device = vpns
ipv4-network = 10.9.0.0
ipv4-netmask = 255.255.255.0
tls-priorities = "NORMAL:-CIPHER-ALL:+AES-128-GCM"
END
  daemon "$a" server ocserv -f -c "$tmp/ocserv.conf"; sleep 1.5
  cat >"$tmp/vpnc" <<END
#!/bin/sh
[ "\$reason" = connect ] && ip addr add \$INTERNAL_IP4_ADDRESS/24 dev \$TUNDEV && ip link set \$TUNDEV up mtu \${INTERNAL_IP4_MTU:-1400}
exit 0
END
  chmod +x "$tmp/vpnc"
  local pin; pin=$(on "$b" timeout 5 openssl s_client -connect 10.1.0.1:4443 </dev/null 2>/dev/null | openssl x509 -pubkey -noout |
    openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64)
  echo tost >"$tmp/password"
  ip netns exec "$b" openconnect $1 --passwd-on-stdin -u test --servercert "pin-sha256:$pin" --script "$tmp/vpnc" \
    -i oc0 10.1.0.1:4443 <"$tmp/password" >"$tmp/client" 2>&1 & daemons="$daemons $!"
}
start_ocserv-dtls() { start_ocserv ''; }
start_ocserv-tls() { start_ocserv --no-dtls; }
start_openvpn() { # udp or tcp
  command -v openvpn >/dev/null || return 1
  certificates
  local common="--dev-type tun --ifconfig-noexec --topology subnet --ca $tmp/ca.crt --data-ciphers AES-128-GCM --cipher AES-128-GCM
    --verb 1 --sndbuf 0 --rcvbuf 0 --tun-mtu 1400 --txqueuelen 1000"
  local s=udp c=udp; [ "$1" = tcp ] && s=tcp-server c=tcp-client
  daemon "$a" server openvpn $common --dev ovpns --tls-server --mode p2p --proto $s --port 1194 --dh none --cert "$tmp/server.crt" \
    --key "$tmp/server.key"
  sleep 1
  daemon "$b" client openvpn $common --dev ovpnc --tls-client --proto $c --remote 10.1.0.1 1194 --nobind \
    --cert "$tmp/client.crt" --key "$tmp/client.key"
  for _ in $(seq 50); do
    ip -n "$a" link show ovpns >/dev/null 2>&1 && ip -n "$b" link show ovpnc >/dev/null 2>&1 && break; sleep 0.1
  done
  address "$a" ovpns 1 1400; address "$b" ovpnc 2 1400
}
start_openvpn-udp() { start_openvpn udp; }
start_openvpn-tcp() { start_openvpn tcp; }
start_fastd() {
  command -v fastd >/dev/null || return 1
  for side in a b; do fastd --generate-key >"$tmp/$side.fastd" 2>/dev/null; done
  local i=0
  for side in a b; do
    i=$((i + 1)); local other=$([ $side = a ] && echo b || echo a)
    { echo 'mode tun; method "salsa2012+umac"; method "null@l2tp"; mtu 1400; log level warn;'
      echo "interface \"fastd$side\"; secret \"$(sed -n 's/^Secret: //p' "$tmp/$side.fastd")\";"
      [ $side = a ] && echo 'bind 10.1.0.1:10000;'
      echo "peer \"o\" { key \"$(sed -n 's/^Public: //p' "$tmp/$other.fastd")\";"
      [ $side = b ] && echo 'remote 10.1.0.1:10000;'
      echo '}'; } >"$tmp/fastd$side.conf"
  done
  sed -i 's/method "null@l2tp"; //' "$tmp"/fastd?.conf
  daemon "$a" server fastd -c "$tmp/fastda.conf"; daemon "$b" client fastd -c "$tmp/fastdb.conf"; sleep 1.5
  address "$a" fastda 1 1400; address "$b" fastdb 2 1400
}

start_quicktun() {
  command -v quicktun keypair >/dev/null || return 1
  for side in a b; do keypair </dev/null >"$tmp/$side.quicktun" 2>&1; done
  quicktun_end "$a" a 1 b 2 server; quicktun_end "$b" b 2 a 1 client; sleep 1
  address "$a" qta 1 1400; address "$b" qtb 2 1400
}
quicktun_end() { # namespace side last-byte other-side other-byte log
  daemon "$1" "$6" env IFACE="qt$2" IF_QT_TUN_MODE=1 IF_QT_PROTOCOL=nacltai \
    IF_QT_LOCAL_ADDRESS=10.1.0."$3" IF_QT_REMOTE_ADDRESS=10.1.0."$5" IF_QT_LOCAL_PORT=2998 IF_QT_REMOTE_PORT=2998 \
    IF_QT_PRIVATE_KEY="$(sed -n 's/^SECRET: //p' "$tmp/$2.quicktun")" \
    IF_QT_PUBLIC_KEY="$(sed -n 's/^PUBLIC: //p' "$tmp/$4.quicktun")" quicktun
}
start_tinc() {
  command -v tincd >/dev/null || return 1
  rm -rf "$tmp"/tinc?
  for side in a b; do
    mkdir -p "$tmp/tinc$side/hosts"
    printf '#!/bin/sh\nexit 0\n' >"$tmp/tinc$side/tinc-up"; chmod +x "$tmp/tinc$side/tinc-up"
    printf 'Name = %s\nInterface = tinc%s\nMode = router\n' $side $side >"$tmp/tinc$side/tinc.conf"
    printf 'Cipher = aes-128-cbc\nDigest = sha1\nSubnet = 10.9.0.%s/32\n' $([ $side = a ] && echo 1 || echo 2) >"$tmp/tinc$side/hosts/$side"
    printf '\n\n' | tincd -c "$tmp/tinc$side" -K2048 >/dev/null 2>&1 || return 1
  done
  echo 'ConnectTo = a' >>"$tmp/tincb/tinc.conf"; echo 'Address = 10.1.0.1' >>"$tmp/tinca/hosts/a"
  cp "$tmp/tinca/hosts/a" "$tmp/tincb/hosts/"; cp "$tmp/tincb/hosts/b" "$tmp/tinca/hosts/"
  daemon "$a" server tincd -D -c "$tmp/tinca" --pidfile="$tmp/tinca.pid"; sleep 0.5
  daemon "$b" client tincd -D -c "$tmp/tincb" --pidfile="$tmp/tincb.pid"; sleep 1.5
  address "$a" tinca 1 1400; address "$b" tincb 2 1400
}

ticks() { # CPU time of the daemons and their children, in ticks
  local sum=0 pid t
  for pid in $(family $daemons); do
    t=$(awk '{sub(/^.*\) /, ""); print $12 + $13}' "/proc/$pid/stat" 2>/dev/null || echo 0); sum=$((sum + ${t:-0}))
  done
  echo $sum
}
family() { # pids and those below them
  local pid
  for pid; do echo "$pid"; family $(cat /proc/"$pid"/task/*/children 2>/dev/null); done
}
flow() { on "$b" iperf3 -J -c "$target" -t "$each" "$@"; }
gbits() { jq -r '.end.sum_received.bits_per_second/1e9*100|round/100' 2>/dev/null || echo -; }
kpps() { # bytes
  flow -u -b 0 -l "$1" | jq -r '(.end.sum.packets - .end.sum.lost_packets) / .end.sum.seconds / 1000 | round' 2>/dev/null || echo -
}
median_ping() { # count interval
  on "$b" ping -c "$1" -i "$2" -W 2 "$target" | sed -n 's/.*time=\([0-9.]*\).*/\1/p' | sort -n |
    awk '{v[NR] = $1} END {print NR ? v[int((NR + 1) / 2)] : "-"}'
}

measure() { # name
  network
  target=10.9.0.1
  if ! "start_$1"; then echo "bench-tunnel: $1: not installed, or it does not start" >&2; stop; return; fi
  for _ in $(seq 60); do on "$b" ping -q -c 1 -W 1 "$target" >/dev/null 2>&1 && break; sleep 0.2; done
  if ! on "$b" ping -q -c 2 -i 0.2 -W 1 "$target" >/dev/null; then
    echo "bench-tunnel: $1 carries nothing:" >&2; tail -n 3 "$tmp/server" "$tmp/client" >&2; stop; return
  fi
  ip netns exec "$a" iperf3 -s >"$tmp/iperf" 2>&1 & iperf=$!
  sleep 0.5
  local t0 t1 one four big small idle busy cpu
  idle=$(median_ping 200 0.01)
  t0=$(ticks); flow >"$tmp/one.json"; t1=$(ticks)
  one=$(gbits <"$tmp/one.json")
  cpu=$(jq -r --argjson t $((t1 - t0)) --argjson hz "$(getconf CLK_TCK)" \
    '$t / $hz / (.end.sum_received.bytes / 1e9) * 100 | round / 100' "$tmp/one.json" 2>/dev/null || echo -)
  four=$(flow -P 4 | gbits)
  big=$(kpps 1200) small=$(kpps 64)
  flow >/dev/null & local bulk=$!
  sleep 0.7; busy=$(median_ping $((each * 20)) 0.03); wait $bulk
  printf '%-15s %8s %8s %8s %8s %8s %8s %8s\n' "$1" "$one" "$four" "$cpu" "$big" "$small" "$idle" "$busy"
  stop
}

printf '%-15s %8s %8s %8s %8s %8s %8s %8s\n' tunnel 'Gb/s 1' 'Gb/s 4' 'CPU s/GB' 'kpps1200' 'kpps64' 'ping' 'ping busy'
for ((round = 0; round < rounds; round++)); do
  for peer in $peers; do measure "$peer"; done
done
