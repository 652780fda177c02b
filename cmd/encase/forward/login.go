package forward

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"

	"github.com/encase-tls/encase/codecs/tds"
	"github.com/encase-tls/encase/frame"
)

// Ends of TDS whose TLS is for the login alone: it ends behind the first packet of the client, and what follows is in
// clear, to the client, to the server or both, as each of them has agreed with this program.

const tdsHeaderLen = 8

// loginOnly reports whether TLS of an end is for the login alone.
func (e *end) loginOnly() bool {
	if e.tls == nil {
		return false
	}
	agreed, ok := tds.Agreed(e.tls.Machine())
	return ok && agreed.LoginOnly
}

// passLogin passes the first packet of the client on, if TLS of an end is for that alone, and then takes that end out of
// TLS. It lasts as long as a handshake may; if it fails, both ends are of no use any more.
func (s *session) passLogin(ctx context.Context) error {
	c, srv := s.relay.ends[client], s.relay.ends[server]
	if !c.loginOnly() && !srv.loginOnly() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.handshake)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		c.sock.reset()
		srv.sock.reset()
	})
	err := s.login(c, srv)
	if !stop() {
		err = context.Cause(ctx)
	}
	return err
}

func (s *session) login(c, srv *end) error {
	c.sock.hasty = false
	packet, err := c.readPacket()
	c.sock.hasty = true
	if err != nil {
		return err
	}
	if err := srv.send(packet); err != nil {
		return err
	}
	s.relay.moved[client].Add(int64(len(packet)))
	for _, e := range s.relay.ends {
		if e.loginOnly() {
			if err := e.leaveTLS(); err != nil {
				return err
			}
		}
	}
	return nil
}

// readPacket returns the next packet of TDS and takes no byte behind it.
func (e *end) readPacket() ([]byte, error) {
	src := e.source()
	packet := make([]byte, tdsHeaderLen)
	if _, err := io.ReadFull(src, packet); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(packet[2:])) - len(packet)
	if n < 0 || n > tds.MaxPacketSize-tdsHeaderLen {
		return nil, fmt.Errorf("forward: %w: what comes first under TLS is no packet of TDS", frame.ErrMalformed)
	}
	packet = append(packet, make([]byte, n)...)
	_, err := io.ReadFull(src, packet[tdsHeaderLen:])
	return packet, err
}

// leaveTLS makes an end plain. Nobody may be receiving or sending.
func (e *end) leaveTLS() error {
	clear, err := e.tls.Detach()
	if err != nil {
		return err
	}
	e.left = slog.Group(e.party.String()+"_tls", append(tlsAttrs(e), slog.Bool("login_only", true))...)
	e.tls, e.ahead, e.sock.counts = nil, clear, nil
	return nil
}
