package channeldata

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

const (
	headerLen = 4
	alignment = 4 // of messages in a stream
	maxData   = 1<<16 - 1

	// Of STUN messages.
	//
	// https://www.rfc-editor.org/rfc/rfc8489.html#section-5
	stunHeaderLen = 20
	stunCookie    = 0x2112a442
	stunCookieAt  = 4

	// In the first byte, the two bits that tell messages apart.
	kindShift   = 6
	kindSTUN    = 0
	kindChannel = 1
)

// machine is one channel. Nothing changes it.
type machine struct {
	channel uint16
	stream  bool
}

// streamMachine is one over a stream.
type streamMachine struct{ machine }

var (
	_ frame.SideSender = (*machine)(nil)
	_ frame.Delimiter  = (*streamMachine)(nil)
)

// Limits implements [frame.Machine]. Tail has room for the padding.
func (m *machine) Limits() frame.Limits {
	l := frame.Limits{Head: headerLen, Max: maxData}
	if m.stream {
		l.Tail = alignment - 1
	}
	return l
}

// Start implements [frame.Machine].
func (m *machine) Start(ev []frame.Event) ([]frame.Event, error) { return ev, nil }

// Send implements [frame.Machine]. Each b becomes one message.
func (m *machine) Send(ev []frame.Event, b *frame.Buf, _ bool) ([]frame.Event, error) {
	if b == nil {
		return ev, nil
	}
	n := b.Len()
	if n > maxData {
		b.Release()
		return ev, errTooLarge
	}
	header := b.Prepend(headerLen)
	binary.BigEndian.PutUint16(header, m.channel)
	binary.BigEndian.PutUint16(header[2:], uint16(n))
	if m.stream {
		clear(b.Append(padded(n) - n))
	}
	return append(ev, frame.Event{Kind: frame.Out, Buf: b}), nil
}

// SendSide implements [frame.SideSender]. In a stream it adds the padding that a message lacks.
func (m *machine) SendSide(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	p := b.Bytes()
	err := m.checkSide(p)
	if err != nil {
		b.Release()
		return ev, err
	}
	if m.stream {
		clear(b.Append(padded(len(p)) - len(p)))
	}
	return append(ev, frame.Event{Kind: frame.Out, Buf: b}), nil
}

// checkSide returns why p cannot be side traffic.
func (m *machine) checkSide(p []byte) error {
	if len(p) < headerLen {
		return errNotSide
	}
	n := int(binary.BigEndian.Uint16(p[2:]))
	switch kind := p[0] >> kindShift; {
	case kind == kindSTUN && isSTUN(p):
		if len(p) > m.Limits().MaxFrame() {
			return errTooLarge
		}
		return nil
	case kind == kindChannel && headerLen+n <= len(p) && len(p) <= headerLen+padded(n) &&
		binary.BigEndian.Uint16(p) != m.channel:
		return nil
	}
	return errNotSide
}

// padded returns n, rounded up.
func padded(n int) int { return (n + alignment - 1) &^ (alignment - 1) }

// FrameLen implements [frame.Delimiter].
func (m *streamMachine) FrameLen(p []byte) (int, error) {
	if len(p) < headerLen {
		return 0, nil
	}
	n := int(binary.BigEndian.Uint16(p[2:]))
	switch p[0] >> kindShift {
	case kindChannel:
		return headerLen + padded(n), nil
	case kindSTUN:
		if n%alignment != 0 {
			return 0, errSTUN
		}
		if n += stunHeaderLen; n > m.Limits().MaxFrame() {
			return 0, errLongSTUN
		}
		return n, nil
	}
	return 0, errKind
}

// Recv implements [frame.Machine].
func (m *machine) Recv(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	p := b.Bytes()
	if len(p) < headerLen {
		return ev, errShort
	}
	switch p[0] >> kindShift {
	case kindSTUN:
		if !isSTUN(p) {
			return ev, errSTUN
		}
	case kindChannel:
		return m.data(ev, b)
	default:
		return ev, errKind
	}
	return append(ev, frame.Event{Kind: frame.Side, Buf: b}), nil
}

// isSTUN reports whether p, which begins as a STUN message does, is one. Its contents are for others to check.
func isSTUN(p []byte) bool {
	n := len(p) - stunHeaderLen
	return n >= 0 && n%alignment == 0 && int(binary.BigEndian.Uint16(p[2:])) == n &&
		binary.BigEndian.Uint32(p[stunCookieAt:]) == stunCookie
}

// data takes a message on a channel.
func (m *machine) data(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	p := b.Bytes()
	n := int(binary.BigEndian.Uint16(p[2:]))
	padding := len(p) - headerLen - n
	if padding < 0 || padding > padded(n)-n || m.stream && padding != padded(n)-n {
		return ev, errLength
	}
	if binary.BigEndian.Uint16(p) != m.channel {
		return append(ev, frame.Event{Kind: frame.Side, Buf: b}), nil
	}
	b.TrimFront(headerLen)
	b.TrimBack(padding)
	if n == 0 {
		return ev, nil
	}
	return append(ev, frame.Event{Kind: frame.In, Buf: b}), nil
}

// Errors of bytes that a peer sent are made once, so that a flood of them allocates nothing.
var (
	errShort    = malformed("shorter than its header")
	errLength   = malformed("not as long as its header says")
	errKind     = malformed("neither ChannelData nor STUN")
	errSTUN     = malformed("it begins as STUN does, and is not")
	errLongSTUN = malformed("a STUN message that no ChannelData could be as long as")

	errTooLarge = fmt.Errorf("channeldata: %w", frame.ErrTooLarge)
	errNotSide  = errors.New("channeldata: SendSide takes STUN messages, and ChannelData on other channels than TLS")
)

func malformed(what string) error { return fmt.Errorf("channeldata: %w: %s", frame.ErrMalformed, what) }
