package openvpn_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs/tsharktest"
	"github.com/encase-tls/encase/frame"
)

// clientHello returns what a client of crypto/tls says first, without a post-quantum key: that fits a packet, as
// tshark, which does not put TLS together from several, wants it.
func clientHello(t *testing.T) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	go tls.Client(theirs, &tls.Config{ServerName: "vpn.example",
		CurvePreferences: []tls.CurveID{tls.X25519}}).Handshake()
	p := make([]byte, 4096)
	ours.SetReadDeadline(time.Now().Add(time.Minute))
	n, err := ours.Read(p)
	if err != nil {
		t.Fatal(err)
	}
	return p[:n]
}

// clientPackets returns what a client sends when it meets a server, sends two packets of TLS, and hears back.
func clientPackets(t *testing.T, arg string, hello []byte) (packets [][]byte) {
	t.Helper()
	n := newNetwork(t, byRole(parse(t, arg+",session=0102030405060708"), parse(t, arg+",session=1112131415161718")))
	client, server := n.ends[frame.Client], n.ends[frame.Server]
	settle := func() {
		for len(n.underway) > 0 {
			if d := n.underway[0]; d.to == server {
				packets = append(packets, bytes.Clone(d.p))
			}
			if err := n.deliver(); err != nil {
				t.Fatal(err)
			}
		}
	}
	n.start(t)
	settle()
	for _, err := range []error{n.send(client, hello, true), n.send(client, []byte{21, 3, 3, 0, 2, 1, 0}, true),
		n.send(server, []byte("hello"), true)} {
		if err != nil {
			t.Fatal(err)
		}
		settle()
	}
	return packets
}

const (
	ownID  = "72623859790382856"   // 0102030405060708
	peerID = "1230066625199609624" // 1112131415161718
)

// tshark finds in the packets of a client what was put there, and TLS in them.
func TestTshark(t *testing.T) {
	hello := clientHello(t)
	for _, c := range []struct {
		arg     string
		options []string
		guarded bool
	}{
		{"udp", nil, false},
		{"tcp", nil, false},
		{"udp,tls-auth=KEY", []string{"-o", "openvpn.tls_auth:TRUE"}, true},
		{"udp,tls-auth=KEY,auth=sha256", []string{"-o", "openvpn.tls_auth:TRUE", "-o", "openvpn.tls_auth_hmac_size:32"},
			true},
	} {
		packets := clientPackets(t, c.arg, hello)
		capture := tsharktest.UDP(1194, packets...)
		if c.arg[:3] == "tcp" {
			capture = tsharktest.TCP(1194, packets...)
		}
		capture.Options = c.options
		want := []string{
			"0x07 " + ownID + "   0",
			"0x05 " + ownID + " 0 " + peerID + " ",
			"0x04 " + ownID + " 0 " + peerID + " 1",
			"0x04 " + ownID + " 0 " + peerID + " 2",
			"0x05 " + ownID + " 1,0 " + peerID + " ",
		}
		var got []string
		name := ""
		for i, row := range capture.Fields(t, "openvpn.opcode", "openvpn.sessionid", "openvpn.mpidarrayelement",
			"openvpn.rsessionid", "openvpn.mpid", "openvpn.pid", "openvpn.net_time", "tls.handshake.extensions_server_name") {
			got = append(got, fmt.Sprintf("%s %s %s %s %s", row[0], row[1], row[2], row[3], row[4]))
			if pid := row[5]; c.guarded && (pid != fmt.Sprint(i+1) || row[6] == "") || !c.guarded && pid != "" {
				t.Errorf("%s: packet %d: replay id %q at %q", c.arg, i, pid, row[6])
			}
			name += row[7]
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: tshark finds\n%q, want\n%q", c.arg, got, want)
		}
		if name != "vpn.example" {
			t.Errorf("%s: tshark finds a ClientHello for %q", c.arg, name)
		}
	}
}
