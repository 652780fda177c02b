package radius

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs/eap"
	"github.com/encase-tls/encase/codecs/tsharktest"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// exchange runs a client and a server, both of package wrap, and returns their results and all packets, in order.
func exchange(t *testing.T, version uint16, mtu int) (results [2]*eap.Result, packets [][]byte) {
	t.Helper()
	ca, err := ephemeral.New("test CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(serverName)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: ca.Pool(), ClientCAs: ca.Pool(),
		ClientAuth: tls.RequireAndVerifyClientCert, ServerName: serverName, MinVersion: version, MaxVersion: version}
	var sockets [2]net.PacketConn
	for i := range sockets {
		if sockets[i], err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var ends sync.WaitGroup
	var mu sync.Mutex
	for i, make := range []func(wrap.Carrier, *wrap.Config) *wrap.Conn{wrap.Client, wrap.Server} {
		x := eap.NewExchange()
		codec, err := New(Options{Secret: testSecret,
			EAP: eap.Options{Identity: "user@example.org", MTU: mtu, Exchange: x}})
		if err != nil {
			t.Fatal(err)
		}
		conn := make(wrap.Datagram(sockets[i], sockets[1-i].LocalAddr(), maxPacket), &wrap.Config{TLS: cfg, Codec: codec,
			Trace: func(f wrap.Trace) {
				if f.Sent {
					mu.Lock()
					packets = append(packets, bytes.Clone(f.Frame))
					mu.Unlock()
				}
			}})
		ends.Go(func() {
			defer conn.Close()
			r, err := x.Run(ctx, conn)
			if err != nil {
				t.Errorf("%v: %v", frame.Role(i), err)
			}
			results[i] = r
		})
	}
	ends.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return results, packets
}

func TestExchange(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, mtu := range []int{0, 200} {
			t.Run(fmt.Sprintf("%s, mtu %d", tls.VersionName(version), mtu), func(t *testing.T) {
				t.Parallel()
				results, _ := exchange(t, version, mtu)
				client, server := results[0], results[1]
				if client.MSK != server.MSK || !bytes.Equal(client.SessionID, server.SessionID) {
					t.Error("the keys are not the same")
				}
				if server.Identity != "user@example.org" || server.TLS.Version != version {
					t.Errorf("%q, %s", server.Identity, tls.VersionName(server.TLS.Version))
				}
			})
		}
	}
}

// tshark finds all that is in the packets as it should be: the authenticator of each reply right, the fragments of EAP
// put together, and TLS in them.
func TestTshark(t *testing.T) {
	_, packets := exchange(t, tls.VersionTLS12, 300)
	c := tsharktest.UDP(1812, packets...)
	for i, p := range packets {
		if p[0] != accessRequest {
			turn(c.Packets[i])
		}
	}
	c.Options = []string{"-d", "udp.port==1812,radius", "-o", "radius.validate_authenticator:TRUE",
		"-o", "radius.shared_secret:testing123"}
	rows := c.Fields(t, "radius.code", "radius.Message_Authenticator", "radius.authenticator.valid", "eap.code",
		"tls.handshake.type", "_ws.malformed")
	handshake := ","
	for i, row := range rows {
		if reply := row[0] != "1"; row[1] == "" || reply != (row[2] == "1") || row[5] != "" {
			t.Errorf("packet %d: code %s, Message-Authenticator %q, valid %q, malformed %q",
				i, row[0], row[1], row[2], row[5])
		}
		handshake += row[4] + ","
	}
	// ClientHello, ServerHello, Certificate, ServerHelloDone
	for _, want := range []string{",1,", ",2,", ",11,", ",14,"} {
		if !strings.Contains(handshake, want) {
			t.Errorf("tshark finds no handshake message %s in %s", want, handshake)
		}
	}
	if last := rows[len(rows)-1]; last[0] != "2" || last[3] != "3" {
		t.Errorf("the last packet is %q, want an accept with success", last)
	}
}

// turn makes a packet of IPv4 and UDP one in the other direction.
func turn(p []byte) {
	var from [4]byte
	copy(from[:], p[12:16])
	copy(p[12:16], p[16:20])
	copy(p[16:20], from[:])
	copy(from[:], p[20:22])
	copy(p[20:22], p[22:24])
	copy(p[22:24], from[:2])
}
