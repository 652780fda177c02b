package tds

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

const (
	headerLen  = 8
	maxPayload = MaxPacketSize - headerLen

	statusEnd = 0x01 // the last packet of its message
	firstID   = 1
)

// Types of packets.
//
// https://learn.microsoft.com/openspecs/windows_protocols/ms-tds/9b4a463c-2634-4a4b-ac35-bebfff2fb0f7
const (
	typeOldLogin = 0x02
	typeReply    = 0x04
	typeLogin7   = 0x10
	typePrelogin = 0x12

	// These are none of TDS, but types of TLS records by themselves.
	typeTLS     = 0x16 // as a ClientHello's
	typeTLSData = 0x17
)

// machine is one end of a connection while TLS shakes hands.
type machine struct {
	role    frame.Role
	payload int // most bytes in a packet that is sent
	freeTDS bool
	sent    byte       // packets of the message under way
	part    *frame.Buf // those bytes of a message that have not left: the rest of it, or no more
}

var _ frame.Delimiter = (*machine)(nil)

// Limits implements [frame.Machine]. They are those of receiving, not of PacketSize: after the handshake no packet
// limits a record.
func (m *machine) Limits() frame.Limits { return frame.Limits{Head: headerLen, Max: maxPayload} }

// Start implements [frame.Machine].
func (m *machine) Start(ev []frame.Event) ([]frame.Event, error) { return ev, nil }

// Send implements [frame.Machine]. A flight is one message. All of its packets but the last are full: one stays here
// until it is known which of the two it is.
func (m *machine) Send(ev []frame.Event, b *frame.Buf, flush bool) ([]frame.Event, error) {
	switch {
	case b == nil:
	case b.Len() > maxPayload:
		b.Release()
		return ev, errTooLarge
	case flush && m.part == nil && b.Len() > 0 && b.Len() <= m.payload:
		m.part = b // as most flights: nothing is copied
	default:
		ev = m.fill(ev, b)
	}
	if flush && m.part != nil {
		ev = m.out(ev, statusEnd)
		m.sent = 0
	}
	return ev, nil
}

// fill moves b into packets and sends those that are full and not the last.
func (m *machine) fill(ev []frame.Event, b *frame.Buf) []frame.Event {
	for b.Len() > 0 {
		if m.part != nil && m.part.Len() == m.payload {
			ev = m.out(ev, 0)
		}
		if m.part == nil {
			m.part = frame.Get(headerLen, m.payload)
		}
		n := min(b.Len(), m.payload-m.part.Len())
		copy(m.part.Append(n), b.Bytes())
		b.TrimFront(n)
	}
	b.Release()
	return ev
}

// out makes a packet of what is held here.
func (m *machine) out(ev []frame.Event, status byte) []frame.Event {
	b := m.part
	m.part = nil
	putHeader(b.Prepend(headerLen), typePrelogin, status, b.Len(), firstID+m.sent)
	m.sent++
	return append(ev, frame.Event{Kind: frame.Out, Buf: b})
}

// putHeader writes the header of a packet of n bytes in all to p.
func putHeader(p []byte, typ, status byte, n int, id byte) {
	p[0], p[1] = typ, status
	binary.BigEndian.PutUint16(p[2:], uint16(n))
	p[4], p[5], p[6], p[7] = 0, 0, id, 0
}

// FrameLen implements [frame.Delimiter].
func (m *machine) FrameLen(p []byte) (int, error) {
	if len(p) > 0 && p[0] != typePrelogin {
		if err := m.checkType(p[0]); err != nil {
			return 0, err
		}
	}
	return packetLen(p)
}

// checkType says what is wrong with a packet that is no PRELOGIN.
func (m *machine) checkType(typ byte) error {
	switch {
	case typ == typeReply && m.role == frame.Client:
		return nil
	case typ == typeLogin7:
		return errClearLogin
	case typ == typeTLS:
		return errBareTLS
	case typ == typeTLSData:
		return errLostFlight
	}
	return errType
}

// packetLen returns the length of the packet that begins p, 0 if p is too short to tell.
func packetLen(p []byte) (int, error) {
	if len(p) < 4 {
		return 0, nil
	}
	switch n := int(binary.BigEndian.Uint16(p[2:])); {
	case n < headerLen:
		return 0, errUnderrun
	case n > MaxPacketSize:
		return 0, errLong
	default:
		return n, nil
	}
}

// Recv implements [frame.Machine].
func (m *machine) Recv(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	n, err := m.FrameLen(b.Bytes())
	switch {
	case err != nil:
		return ev, err
	case n == 0 || n != b.Len():
		return ev, errLength
	}
	if b.TrimFront(headerLen); b.Len() == 0 {
		return ev, nil
	}
	return append(ev, frame.Event{Kind: frame.In, Buf: b}), nil
}

// LimitTLS has the form that wrap.TLSLimiter asks for.
func (m *machine) LimitTLS(cfg *tls.Config, _ frame.Role) {
	cfg.SessionTicketsDisabled = true // with which a client does not ask for any either
	if m.freeTDS && (cfg.MaxVersion == 0 || cfg.MaxVersion > tls.VersionTLS12) {
		cfg.MaxVersion = tls.VersionTLS12
	}
}

// OnHandshake has the form that wrap.HandshakeObserver asks for.
func (m *machine) OnHandshake(ev []frame.Event, _ *tls.ConnectionState) ([]frame.Event, error) {
	return append(ev, frame.Event{Kind: frame.SwitchRaw}), nil
}

// Errors of bytes that a peer sent are made once, so that a flood of them allocates nothing.
var (
	errType       = malformed("neither a packet of the handshake nor anything else that can come here")
	errClearLogin = malformed("a login in clear; the peer has agreed to encrypt it")
	errBareTLS    = malformed("TLS without packets, before the handshake is done")
	errLostFlight = malformed("data of TLS while the handshake is not done: a client that loses its last flight of " +
		"TLS 1.3, as old ones do? Limit TLS to 1.2: the option freetds")
	errUnderrun = malformed("the length says less than the header takes")
	errLong     = malformed("a packet of more than 32767 bytes")
	errLength   = malformed("not as long as its length field says")
	errTooLarge = fmt.Errorf("tds: %w", frame.ErrTooLarge)
)

func malformed(what string) error { return fmt.Errorf("tds: %w: %s", frame.ErrMalformed, what) }
