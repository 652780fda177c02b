package main

import (
	"encoding/binary"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

// The proprietary protocol of this example: a magic, a type, and the length of what follows, in 16 bits, big-endian.
//
//	| 'A' 'C' 'M' | type | length | TLS bytes |
const (
	headerLen  = 6
	maxPayload = 16 << 10
	typeTLS    = 0x17
)

// header is its codec, for both directions.
type header struct{}

var (
	errTooLarge  = fmt.Errorf("header: more than %d bytes: %w", maxPayload, frame.ErrTooLarge)
	errMalformed = fmt.Errorf("header: %w: not ACM, a known type, a length and as many bytes", frame.ErrMalformed)
)

// Limits implements frame.Codec.
func (header) Limits() frame.Limits { return frame.Limits{Head: headerLen, Max: maxPayload} }

// Encode implements frame.Codec.
func (header) Encode(b *frame.Buf) error {
	n := b.Len()
	if n > maxPayload {
		return errTooLarge
	}
	h := b.Prepend(headerLen)
	h[0], h[1], h[2], h[3] = 'A', 'C', 'M', typeTLS
	binary.BigEndian.PutUint16(h[4:], uint16(n))
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
	n := int(binary.BigEndian.Uint16(p[4:]))
	if p[0] != 'A' || p[1] != 'C' || p[2] != 'M' || p[3] != typeTLS || n > maxPayload {
		return 0, errMalformed
	}
	return headerLen + n, nil
}
