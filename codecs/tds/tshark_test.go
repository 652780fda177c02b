package tds_test

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/tsharktest"
)

// tshark finds in what both ends say the packets, the options and the handshake: also where it is in two packets, which
// it puts together.
func TestTshark(t *testing.T) {
	e := join(t, "instance=Sales,mars", "mars,size=1024,version=16.0.4135", tls.VersionTLS12, 4)
	if client, server := e.shake(); client != nil || server != nil {
		t.Fatal(client, server)
	}
	transfer(t, e.client, e.server)
	capture := tsharktest.Conversation(1433, e.tape.first(8)...)
	capture.Options = []string{"-d", "tcp.port==1433,tds"}
	const start = 3 // packets of TCP by itself
	rows := capture.Fields(t, "tds.type", "tds.status", "tds.packet_number", "tds.channel", "tds.window",
		"tds.prelogin.option.token", "tds.prelogin.option.version", "tds.prelogin.option.encryption",
		"tds.prelogin.option.instopt", "tds.prelogin.option.mars", "tls.handshake.type", "tls.record.content_type")
	for i, want := range []string{
		"18 0x01 1 0 0 0,1,2,3,4,255 268436456 1 Sales 1 - -", // 16.0.1000, ENCRYPT_ON
		"4 0x01 1 0 0 0,1,2,3,4,255 268439591 1 - 1 - -",      // 16.0.4135
		"18 0x01 1 0 0 - - - - - 1 22",                        // ClientHello
		"18 0x00 1 0 0 - - - - - - -",                         // half of what follows
		"18 0x01 2 0 0 - - - - - 2,11,12,14 22,22,22,22",      // ServerHello to ServerHelloDone
		"18 0x01 1 0 0 - - - - - 16 22,20,22",                 // ClientKeyExchange, ChangeCipherSpec, Finished
		"18 0x01 1 0 0 - - - - - - 20,22",
	} {
		for j, v := range rows[start+i] {
			if v == "" {
				rows[start+i][j] = "-"
			}
		}
		if got := strings.Join(rows[start+i], " "); got != want {
			t.Errorf("tshark finds\n%s in message %d, want\n%s", got, i, want)
		}
	}
}
