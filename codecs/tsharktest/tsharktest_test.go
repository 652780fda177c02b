package tsharktest_test

import (
	"crypto/tls"
	"fmt"
	"testing"

	"github.com/encase-tls/encase/codecs/tsharktest"
)

// What tshark finds is what went in, packet by packet.
func TestFields(t *testing.T) {
	got := tsharktest.UDP(40001, []byte("a"), nil, []byte("bcd")).Fields(t, "udp.dstport", "udp.length", "data.data")
	if want := "[[40001 9 61] [40001 8 ] [40001 11 626364]]"; fmt.Sprint(got) != want {
		t.Errorf("UDP: %v, want %s", got, want)
	}
	got = tsharktest.TCP(40001, []byte("a"), []byte("bcd")).
		Fields(t, "tcp.seq_raw", "tcp.len", "data.data", "tcp.analysis.flags")
	if want := "[[1 1 61 ] [2 3 626364 ]]"; fmt.Sprint(got) != want {
		t.Errorf("TCP: %v, want %s", got, want)
	}
}

// Both directions of a conversation are one connection to tshark, with nothing amiss, and the TLS in it is TLS.
func TestConversation(t *testing.T) {
	messages := tsharktest.Handshake(t, tls.VersionTLS13)
	capture := tsharktest.Conversation(443, messages...)
	types, packets := "", 0
	for _, row := range capture.Fields(t, "tcp.stream", "tcp.analysis.flags", "tls.handshake.type", "tcp.len") {
		if row[0] != "0" || row[1] != "" {
			t.Errorf("%q", row)
		}
		types += row[2]
		packets++
	}
	if types != "12" || packets != 3+len(messages) {
		t.Errorf("%d packets, handshake types %q", packets, types)
	}
}
