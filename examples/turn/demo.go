package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"

	"github.com/pion/turn/v4"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/wrap/datagram"
)

// demo has a client reach a server through a TURN server, which is pion's, over UDP and over TCP, all here.
func demo(ctx context.Context, stdout io.Writer) error {
	ca, err := ephemeral.New("example CA")
	if err != nil {
		return err
	}
	cert, err := ca.Issue("127.0.0.1")
	if err != nil {
		return err
	}
	peer, err := datagram.Listen("udp", "127.0.0.1:0", &datagram.Config{
		TLS:     &tls.Config{Certificates: []tls.Certificate{cert}},
		Handler: func(c *datagram.Conn, message []byte) { c.Write(message) },
	}, datagram.ListenOptions{})
	if err != nil {
		return err
	}
	defer peer.Close()
	user := Credentials{"alice", "secret"}
	server, addresses, err := turnServer(user)
	if err != nil {
		return err
	}
	defer server.Close()
	out := &lines{w: stdout}
	for _, proto := range []string{"udp", "tcp"} {
		e := &end{proto: proto, server: addresses[proto], user: user, say: "hello by " + proto,
			peers: []*net.UDPAddr{peer.Addr().(*net.UDPAddr)}, stdout: out,
			tls: &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1"}}
		if err := e.demonstrate(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (e *end) demonstrate(ctx context.Context) error {
	relay, err := Dial(ctx, e.proto, e.server, e.user)
	if err != nil {
		return err
	}
	defer relay.Close()
	return e.ask(ctx, relay)
}

// turnServer starts pion's TURN server on loopback, and returns its addresses: that of "udp" and that of "tcp".
func turnServer(user Credentials) (*turn.Server, map[string]string, error) {
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, nil, errors.Join(err, pc.Close())
	}
	relays := &turn.RelayAddressGeneratorNone{Address: "127.0.0.1"}
	s, err := turn.NewServer(turn.ServerConfig{
		Realm: "example",
		AuthHandler: func(name, realm string, _ net.Addr) ([]byte, bool) {
			return turn.GenerateAuthKey(user.Username, realm, user.Password), name == user.Username
		},
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: pc, RelayAddressGenerator: relays}},
		ListenerConfigs:   []turn.ListenerConfig{{Listener: l, RelayAddressGenerator: relays}},
	})
	if err != nil {
		return nil, nil, errors.Join(err, pc.Close(), l.Close())
	}
	return s, map[string]string{"udp": pc.LocalAddr().String(), "tcp": l.Addr().String()}, nil
}
