package tpkt

import (
	"encoding/binary"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

const (
	version    = 3
	packetLen  = 4 // of TPKT's header
	dataLen    = 3 // of COTP's header in front of data
	headerLen  = packetLen + dataLen
	minPacket  = 7
	lastOfUnit = 0x80

	maxUnit = MaxTPDU - dataLen // what is handed over at once
)

// Codes of TPDUs.
//
// https://www.rfc-editor.org/rfc/rfc905.html#section-13.1
const (
	codeRequest    = 0xe0
	codeConfirm    = 0xd0
	codeDisconnect = 0x80
	codeError      = 0x70
	codeData       = 0xf0
)

// machine is one end of a connection that is made.
type machine struct {
	tpdu  int // longest TPDU that the peer takes
	ended bool
}

var _ frame.Delimiter = (*machine)(nil)

// Limits implements [frame.Machine].
func (m *machine) Limits() frame.Limits { return frame.Limits{Head: headerLen, Max: maxUnit} }

// Start implements [frame.Machine].
func (m *machine) Start(ev []frame.Event) ([]frame.Event, error) { return ev, nil }

// Send implements [frame.Machine]. Each b becomes one unit, in one frame or several.
func (m *machine) Send(ev []frame.Event, b *frame.Buf, _ bool) ([]frame.Event, error) {
	switch {
	case b == nil:
		return ev, nil
	case b.Len() > maxUnit:
		b.Release()
		return ev, errTooLarge
	}
	for most := m.tpdu - dataLen; b.Len() > most; {
		part := frame.Get(headerLen, most)
		copy(part.Append(most), b.Bytes())
		b.TrimFront(most)
		ev = out(ev, part, 0)
	}
	return out(ev, b, lastOfUnit), nil
}

// out makes a frame of the data in b.
func out(ev []frame.Event, b *frame.Buf, last byte) []frame.Event {
	p := b.Prepend(headerLen)
	p[0], p[1] = version, 0
	binary.BigEndian.PutUint16(p[2:], uint16(b.Len()))
	p[4], p[5], p[6] = dataLen-1, codeData, last
	return append(ev, frame.Event{Kind: frame.Out, Buf: b})
}

// FrameLen implements [frame.Delimiter].
func (m *machine) FrameLen(p []byte) (int, error) { return packet(p) }

// packet returns the length of the packet that begins p, 0 if p is too short to tell.
func packet(p []byte) (int, error) {
	switch {
	case len(p) > 0 && p[0] != version:
		return 0, errVersion
	case len(p) < packetLen:
		return 0, nil
	}
	n := int(binary.BigEndian.Uint16(p[2:]))
	if n < minPacket {
		return 0, errUnderrun
	}
	return n, nil
}

// Recv implements [frame.Machine].
func (m *machine) Recv(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	p := b.Bytes()
	n, err := packet(p)
	switch {
	case err != nil:
		return ev, err
	case n == 0 || n != len(p):
		return ev, errLength
	case m.ended:
		return ev, errAfterEnd
	}
	switch tpdu := p[packetLen:]; tpdu[1] {
	case codeData:
		if tpdu[0] != dataLen-1 {
			return ev, errHeader
		}
	case codeDisconnect:
		return m.disconnected(ev, tpdu)
	default:
		return ev, errCode
	}
	if b.TrimFront(headerLen); b.Len() == 0 {
		return ev, nil
	}
	return append(ev, frame.Event{Kind: frame.In, Buf: b}), nil
}

// disconnected takes a disconnect request.
//
// https://www.rfc-editor.org/rfc/rfc905.html#section-13.5
func (m *machine) disconnected(ev []frame.Event, tpdu []byte) ([]frame.Event, error) {
	r, ok := disconnectReason(tpdu)
	if !ok {
		return ev, errHeader
	}
	m.ended = true
	done := frame.Event{Kind: frame.Done}
	if r != reasonNone && r != reasonNormal {
		done.Err = fmt.Errorf("tpkt: the peer has disconnected: %w", r)
	}
	return append(ev, done), nil
}

// A reason is that of a disconnect request.
type reason byte

const (
	reasonNone    reason = 0
	reasonUnknown reason = 3 // address unknown
	reasonNormal  reason = 128
	reasonFailed  reason = 130 // negotiation failed

	reasonAt = 6 // its offset in the TPDU
)

func (r reason) Error() string {
	switch r {
	case reasonUnknown:
		return "no such TSAP (reason 3)"
	case reasonFailed:
		return "negotiation failed (reason 130)"
	}
	return fmt.Sprintf("reason %d", byte(r))
}

func disconnectReason(tpdu []byte) (r reason, ok bool) {
	if int(tpdu[0]) < reasonAt || len(tpdu) <= reasonAt || int(tpdu[0]) >= len(tpdu) {
		return 0, false
	}
	return reason(tpdu[reasonAt]), true
}

// Errors of bytes that a peer sent are made once, so that a flood of them allocates nothing.
var (
	errVersion  = malformed("it does not begin with version 3 of TPKT")
	errUnderrun = malformed("the length says less than the header takes")
	errLength   = malformed("not as long as its length field says")
	errHeader   = malformed("a COTP header of another length")
	errCode     = malformed("a TPDU that is neither data nor a disconnect request")
	errAfterEnd = malformed("it comes after the disconnect request")
	errTooLarge = fmt.Errorf("tpkt: %w", frame.ErrTooLarge)
)

func malformed(what string) error { return fmt.Errorf("tpkt: %w: %s", frame.ErrMalformed, what) }
