package eap_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs/eap"
	"github.com/encase-tls/encase/wrap"
)

// A server lets a peer in, and both know the same keys.
func Example() {
	ca, _ := ephemeral.New("example CA")
	cert, _ := ca.Issue("example.org")
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: ca.Pool(), ServerName: "example.org",
		ClientCAs: ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert}

	a, _ := net.ListenPacket("udp", "127.0.0.1:0")
	b, _ := net.ListenPacket("udp", "127.0.0.1:0")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	server := make(chan *eap.Result, 1)
	go func() {
		x := eap.NewExchange()
		codec, _ := eap.New(eap.Options{Exchange: x})
		conn := wrap.Server(wrap.Datagram(b, a.LocalAddr(), 0), &wrap.Config{TLS: cfg, Codec: codec})
		defer conn.Close()
		result, _ := x.Run(ctx, conn)
		server <- result
	}()

	x := eap.NewExchange()
	codec, err := eap.New(eap.Options{Exchange: x, Identity: "@example.org"})
	if err != nil {
		fmt.Println(err)
		return
	}
	conn := wrap.Client(wrap.Datagram(a, b.LocalAddr(), 0), &wrap.Config{TLS: cfg, Codec: codec})
	defer conn.Close()
	peer, err := x.Run(ctx, conn)
	if err != nil {
		fmt.Println(err)
		return
	}
	other := <-server
	fmt.Println(other.Identity, tls.VersionName(peer.TLS.Version), peer.MSK == other.MSK)
	fmt.Println("a key does not show itself:", peer.MSK)
	// Output:
	// @example.org TLS 1.3 true
	// a key does not show itself: (secret)
}
