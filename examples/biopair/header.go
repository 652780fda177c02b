package main

import (
	"encoding/binary"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

// The header: two bytes that name the protocol, and the length of what follows in 16 bits, big-endian.
//
//	| 'B' 'P' | length | TLS bytes |
const (
	headerLen  = 4
	maxPayload = 16 << 10 // what this program sends and accepts: it must fit the pair
)

// header is the codec of that header. It has no state: both directions may share it.
type header struct{}

var (
	errTooLarge  = fmt.Errorf("header: more than %d bytes: %w", maxPayload, frame.ErrTooLarge)
	errMalformed = fmt.Errorf("header: %w: not BP, a length and as many bytes", frame.ErrMalformed)
)

// Limits implements frame.Codec.
func (header) Limits() frame.Limits { return frame.Limits{Head: headerLen, Max: maxPayload} }

// Encode implements frame.Codec. The room for the header is there already: nothing is copied.
func (header) Encode(b *frame.Buf) error {
	n := b.Len()
	if n > maxPayload {
		return errTooLarge
	}
	h := b.Prepend(headerLen)
	h[0], h[1] = 'B', 'P'
	binary.BigEndian.PutUint16(h[2:], uint16(n))
	return nil
}

// Decode implements frame.Codec.
func (h header) Decode(b *frame.Buf) error {
	if n, err := h.FrameLen(b.Bytes()); err != nil || n == 0 || n != b.Len() {
		return errMalformed
	}
	b.TrimFront(headerLen)
	return nil
}

// FrameLen implements frame.Delimiter.
func (header) FrameLen(p []byte) (int, error) {
	if len(p) < headerLen {
		return 0, nil
	}
	n := int(binary.BigEndian.Uint16(p[2:]))
	if p[0] != 'B' || p[1] != 'P' || n > maxPayload {
		return 0, errMalformed
	}
	return headerLen + n, nil
}
