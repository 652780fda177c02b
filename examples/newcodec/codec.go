package main

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/encase-tls/encase/frame"
)

// The frame. Numbers are big-endian; the check is the CRC-32C of all bytes before it.
//
//	0        1        2        3        4
//	| magic  | type   |     length      | payload ...  |      check (32 bits)      |
//
// The type is tls, or idle for a frame without payload, which keeps a connection alive. Everything in a frame outside
// its payload can be changed by whoever is on the path, the check included: it finds accidents, TLS finds attacks.
const (
	magic      = 0xd7
	typeIdle   = 0
	typeTLS    = 1
	headerLen  = 4
	trailerLen = 4
	maxPayload = 1<<16 - 1
)

// Maker is what wrap.Config.Codec takes. To give the codec a name that a configuration can choose, an init function
// would pass it to codecs.Register.
var Maker = frame.Symmetric(func() frame.Codec { return codec{} })

// A codec has no state here. One that counts frames, say, would have fields, and Maker would return a new one each
// time.
type codec struct{}

// Errors of what a peer sends are made once: a flood of bad frames then allocates nothing.
var (
	errTooLarge = fmt.Errorf("newcodec: more than %d bytes: %w", maxPayload, frame.ErrTooLarge)
	errShort    = fmt.Errorf("newcodec: %w: shorter than header and check", frame.ErrMalformed)
	errHeader   = fmt.Errorf("newcodec: %w: wrong magic, or type and length do not agree", frame.ErrMalformed)
	errLength   = fmt.Errorf("newcodec: %w: not as long as its length says", frame.ErrMalformed)
	errCheck    = fmt.Errorf("newcodec: %w: wrong CRC-32C", frame.ErrMalformed)

	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// Limits implements frame.Codec. The room that it asks for is there when Encode is called.
func (codec) Limits() frame.Limits {
	return frame.Limits{Head: headerLen, Tail: trailerLen, Max: maxPayload}
}

// Encode implements frame.Codec: header in front, check behind, in place. What can fail comes first: b stays as it was.
func (codec) Encode(b *frame.Buf) error {
	n := b.Len()
	if n > maxPayload {
		return errTooLarge
	}
	h := b.Prepend(headerLen)
	h[0], h[1] = magic, typeOf(n)
	binary.BigEndian.PutUint16(h[2:], uint16(n))
	sum := crc32.Checksum(b.Bytes(), castagnoli)
	binary.BigEndian.PutUint32(b.Append(trailerLen), sum)
	return nil
}

// Decode implements frame.Codec. Over a stream FrameLen has seen the frame before, over datagrams it has not: whatever
// b holds must be refused or understood, never panic.
func (c codec) Decode(b *frame.Buf) error {
	p := b.Bytes()
	if len(p) < headerLen+trailerLen {
		return errShort
	}
	if n, err := c.FrameLen(p); err != nil {
		return err
	} else if n != len(p) {
		return errLength
	}
	end := len(p) - trailerLen
	if crc32.Checksum(p[:end], castagnoli) != binary.BigEndian.Uint32(p[end:]) {
		return errCheck
	}
	b.TrimFront(headerLen)
	b.TrimBack(trailerLen)
	return nil
}

// FrameLen implements frame.Delimiter: without it the codec would be good for datagrams only. It trusts nothing but the
// header; that the length is at most what the receiver accepts is checked by frame.Reader.
func (codec) FrameLen(p []byte) (int, error) {
	if len(p) < headerLen {
		return 0, nil
	}
	n := int(binary.BigEndian.Uint16(p[2:]))
	if p[0] != magic || p[1] != typeOf(n) {
		return 0, errHeader
	}
	return headerLen + n + trailerLen, nil
}

// typeOf returns the type of a frame with n bytes of payload.
func typeOf(n int) byte {
	if n == 0 {
		return typeIdle
	}
	return typeTLS
}
