package wrap_test

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

// A tds is a frame.Machine that stops framing, as MS-TDS 7 does: the handshake travels in packets, a flight is one
// message of them, and from then on TLS travels as it is.
// https://learn.microsoft.com/openspecs/windows_protocols/ms-tds/60f56408-0188-4cd5-8b90-25c6f2423868
//
//	| type 1 | status 1: 0x01 ends the message | length 2, of it all | SPID 2 | packet id 1 | window 1 | data |
type tds struct {
	size   int // of a packet, at most
	packet byte
	spare  *frame.Buf // TLS bytes of which nobody knows yet whether they end the flight
}

const (
	tdsHeader   = 8
	tdsPrelogin = 0x12
	tdsEnd      = 0x01
)

func tdsMaker(size int) frame.Maker {
	return func(frame.Role) (frame.Machine, error) { return &tds{size: size}, nil }
}

func tdsError(what string) error { return fmt.Errorf("tds: %w: %s", frame.ErrMalformed, what) }

// LimitTLS implements wrap.TLSLimiter. A server's tickets would leave in packets when the client, which has finished
// before, no longer looks for any.
func (m *tds) LimitTLS(cfg *tls.Config, role frame.Role) {
	if role == frame.Server {
		cfg.SessionTicketsDisabled = true
	}
}

// OnHandshake implements wrap.HandshakeObserver.
func (m *tds) OnHandshake(ev []frame.Event, _ *tls.ConnectionState) ([]frame.Event, error) {
	return append(ev, frame.Event{Kind: frame.SwitchRaw}), nil
}

// Limits implements frame.Machine.
func (m *tds) Limits() frame.Limits { return frame.Limits{Head: tdsHeader, Max: m.size - tdsHeader} }

// Start implements frame.Machine.
func (m *tds) Start(ev []frame.Event) ([]frame.Event, error) { return ev, nil }

// Send implements frame.Machine. One packet is held back, for it may turn out to be the last of its flight.
func (m *tds) Send(ev []frame.Event, b *frame.Buf, flush bool) ([]frame.Event, error) {
	if b != nil && m.spare != nil {
		ev = m.out(ev, 0)
	}
	if b != nil {
		m.spare = b
	}
	if flush && m.spare != nil {
		ev = m.out(ev, tdsEnd)
	}
	return ev, nil
}

// out sends what is held back.
func (m *tds) out(ev []frame.Event, status byte) []frame.Event {
	b := m.spare
	m.spare = nil
	length := tdsHeader + b.Len()
	header := b.Prepend(tdsHeader)
	clear(header)
	header[0], header[1], header[6] = tdsPrelogin, status, m.packet
	binary.BigEndian.PutUint16(header[2:], uint16(length))
	m.packet++
	if status == tdsEnd {
		m.packet = 0
	}
	return append(ev, frame.Event{Kind: frame.Out, Buf: b})
}

// FrameLen implements frame.Delimiter.
func (m *tds) FrameLen(p []byte) (int, error) {
	if len(p) < 4 {
		return 0, nil
	}
	n := int(binary.BigEndian.Uint16(p[2:]))
	if n < tdsHeader || n > m.size {
		return 0, tdsError("a packet shorter than its header or longer than agreed")
	}
	return n, nil
}

// Recv implements frame.Machine.
func (m *tds) Recv(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	if n, err := m.FrameLen(b.Bytes()); err != nil || n != b.Len() {
		return ev, tdsError("not as long as it says")
	}
	if b.Bytes()[0] != tdsPrelogin {
		return ev, tdsError("not a packet of the handshake")
	}
	if b.TrimFront(tdsHeader); b.Len() == 0 {
		return ev, nil
	}
	return append(ev, frame.Event{Kind: frame.In, Buf: b}), nil
}
