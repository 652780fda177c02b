package wrap

import (
	"errors"
	"fmt"
	"net"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// WriteSide sends b, which is not kept, as traffic of the codec's protocol beside TLS: what the peer's Config.Side is
// given. What b must be is for the codec to say; see frame.SideSender. Nothing protects it but what the protocol itself
// does.
//
// It takes its place behind what was sealed before and never waits: while WriteBuffer bytes wait for the carrier it
// returns bio.ErrWantWrite, and whether to drop b or to try again is the caller's choice. So it may be called by
// Config.Side, and from the beginning of the handshake on. Nor does Close say whether side traffic was lost. An error
// leaves the connection as it was.
func (c *Conn) WriteSide(b []byte) error {
	s, ok := c.mach.(frame.SideSender)
	switch {
	case c.closing.Load():
		return net.ErrClosed
	case !ok:
		return errNoSide
	}
	err := c.out.side(s, b)
	if err != nil && c.closing.Load() {
		err = net.ErrClosed
	}
	return err
}

var (
	errNoSide  = errors.New("wrap: WriteSide: the codec sends nothing but TLS (no SendSide)")
	errNoFrame = errors.New("wrap: WriteSide: the handshake has not begun, or the codec has ended the framing")
)

// side gives side traffic to the machine.
func (s *sender) side(m frame.SideSender, p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tick()
	switch {
	case s.err != nil:
		return s.err
	case !s.started || s.ended || s.c.raw.Load():
		return errNoFrame
	case s.stored >= s.c.cfg.writeBuffer():
		return bio.ErrWantWrite
	}
	b := frame.Get(s.lim.Head, len(p)+s.lim.Tail)
	copy(b.Append(len(p)), p)
	ev, err := m.SendSide(s.ev[:0], b)
	s.take(ev, nil)
	s.kick()
	if err != nil {
		return fmt.Errorf("wrap: WriteSide: %w", err)
	}
	return s.err
}
