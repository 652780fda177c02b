package shim

import (
	"fmt"

	"github.com/encase-tls/encase/frame"
)

// codec is any of the headers. Nothing changes it.
type codec struct {
	value   []byte // what is written
	mask    []byte // and the bits of it that a reader wants
	options byte   // mask of the first byte: length of the options behind the header, in words
	ignored string // what a reader ignores, in words
}

const word = 4

// Limits implements [frame.Codec].
func (c *codec) Limits() frame.Limits {
	return frame.Limits{Head: len(c.value), Max: maxDatagram - len(c.value)}
}

// Lenient returns what Decode ignores, "" for nothing.
func (c *codec) Lenient() string { return c.ignored }

// Encode implements [frame.Codec].
func (c *codec) Encode(b *frame.Buf) error {
	if b.Len() > maxDatagram-len(c.value) {
		return errTooLarge
	}
	copy(b.Prepend(len(c.value)), c.value)
	return nil
}

// Decode implements [frame.Codec].
func (c *codec) Decode(b *frame.Buf) error {
	p := b.Bytes()
	if len(p) < len(c.value) {
		return errShort
	}
	for i, v := range c.value {
		if (p[i]^v)&c.mask[i] != 0 {
			return errHeader
		}
	}
	n := len(c.value) + int(p[0]&c.options)*word
	if len(p) < n {
		return errShort
	}
	b.TrimFront(n)
	return nil
}

// Errors of bytes that a peer sent are made once, so that a flood of them allocates nothing.
var (
	errShort    = malformed("shorter than its header")
	errHeader   = malformed("another network, protocol or kind of packet")
	errTooLarge = fmt.Errorf("shim: %w", frame.ErrTooLarge)
)

func malformed(what string) error { return fmt.Errorf("shim: %w: %s", frame.ErrMalformed, what) }
