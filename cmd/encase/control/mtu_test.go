package control

import (
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/tun"
)

func TestWritePaths(t *testing.T) {
	now := time.Unix(1000, 0)
	var b strings.Builder
	err := writePaths(&b, []tun.PathMTU{
		{Peer: "alice", Carrier: "stream", Remote: "192.0.2.1:5", To: 1400, From: 1400, Most: 1400, Source: "configured"},
		{Peer: "alice", Carrier: "datagrams", Remote: "192.0.2.1:6", To: 1215, From: 1206, Most: 1400, Source: "probed",
			Datagram: 1252, State: "settled", Searched: now.Add(-time.Minute), Probes: 14, Answers: 8, Holes: 1},
		{Peer: "bob\x1b", Carrier: "datagrams", Remote: "192.0.2.2:6", To: 1400, Most: 1400, Source: "configured",
			Datagram: 1437, State: "searching", Probes: 1, Narrowed: 2},
	}, now)
	const want = `alice
  stream 192.0.2.1:5
    there  1400 bytes (configured)
    back   1400 bytes
  datagrams 192.0.2.1:6
    there  1215 bytes (probed) in datagrams of 1252; 1400 are configured
    back   1206 bytes
    searched 1m00s ago; 14 probes, 8 answered; narrower without a word 1 times, told so 0 times
bob\x1b
  datagrams 192.0.2.2:6
    there  1400 bytes (configured) in datagrams of 1437
    back   not known yet
    searching; 1 probes, 0 answered; narrower without a word 0 times, told so 2 times
`
	if err != nil || b.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, &b, want)
	}
	if err := writePaths(&b, nil, now); err == nil {
		t.Error("no connection is no error")
	}
}
