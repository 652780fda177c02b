package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/encase-tls/encase/codecs/eap"
	"github.com/encase-tls/encase/codecs/radius"
	"github.com/encase-tls/encase/wrap"
)

// maxPacket is the longest packet of RADIUS.
const maxPacket = 4096

// ask asks the server at s.connect to be let in.
func (s *settings) ask(ctx context.Context, stdout io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	host, _, err := net.SplitHostPort(s.connect)
	if err != nil {
		return err
	}
	udp, err := new(net.Dialer).DialContext(ctx, "udp", s.connect)
	if err != nil {
		return err
	}
	exchange := eap.NewExchange()
	codec, err := radius.New(s.options(exchange))
	if err != nil {
		udp.Close()
		return err
	}
	cfg := &wrap.Config{TLS: s.config(), Codec: codec}
	cfg.TLS.ServerName = cmp.Or(s.serverName, host)
	conn := wrap.Client(wrap.Datagram(udp.(net.PacketConn), nil, maxPacket), cfg)
	defer conn.Close()
	result, err := exchange.Run(ctx, conn)
	if err != nil {
		return fmt.Errorf("not let in: %w", err)
	}
	fmt.Fprintf(stdout, "peer: let in, %s, session %x...\n", tls.VersionName(result.TLS.Version), result.SessionID[:4])
	return nil
}
