package hdlc

import (
	"bytes"
	"fmt"
	"sync/atomic"

	"github.com/encase-tls/encase/frame"
)

// The special bytes.
//
// https://www.rfc-editor.org/rfc/rfc1662.html#section-4.2
const (
	flag   = 0x7e
	escape = 0x7d
	turned = 0x20 // in the byte behind an escape
)

// codec is one direction.
type codec struct {
	special *specials
	header  []byte
	fcsLen  int
	max     int
	lossy   bool
	dropped atomic.Uint64
}

// Limits implements [frame.Codec]. Head has room for an escape in front of every byte of header, payload and FCS.
func (c *codec) Limits() frame.Limits {
	n := len(c.header) + c.max + c.fcsLen
	return frame.Limits{Head: 1 + n + len(c.header), Tail: c.fcsLen + 1, Max: c.max}
}

// maxFrame is the length of the longest frame: every byte is escaped.
func (c *codec) maxFrame() int { return 2*(len(c.header)+c.max+c.fcsLen) + 2 }

// Lenient returns what Decode ignores.
func (c *codec) Lenient() string {
	return "needless escapes, frames that are too short or aborted, and whether there is a flag in front"
}

// Dropped returns how many frames Decode has taken for noise. It may be called at any time.
func (c *codec) Dropped() uint64 { return c.dropped.Load() }

// Encode implements [frame.Codec].
func (c *codec) Encode(b *frame.Buf) error {
	if b.Len() > c.max {
		return errTooLarge
	}
	copy(b.Prepend(len(c.header)), c.header)
	appendFCS(b, c.fcsLen)
	escapes := c.special.count(b.Bytes())
	b.Prepend(escapes)
	c.special.stuff(b.Bytes(), escapes)
	b.Prepend(1)[0] = flag
	b.Append(1)[0] = flag
	return nil
}

// FrameLen implements [frame.Delimiter].
func (c *codec) FrameLen(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	from := 0
	if p[0] == flag {
		from = 1
	}
	if i := bytes.IndexByte(p[from:min(len(p), c.maxFrame())], flag); i >= 0 {
		return from + i + 1, nil
	}
	switch {
	case len(p) < c.maxFrame():
		return 0, nil
	case c.lossy:
		return c.maxFrame(), nil // it has no flag: Decode drops it
	}
	return 0, errEndless
}

// Decode implements [frame.Codec].
func (c *codec) Decode(b *frame.Buf) error {
	p := b.Bytes()
	ended := len(p) > 0 && p[len(p)-1] == flag && (len(p) > 1 || p[0] != flag)
	if !ended && (!c.lossy || len(p) < c.maxFrame()) {
		return errTruncated
	}
	err := errTruncated
	if ended {
		err = c.decode(b)
	}
	if err == nil || err != errNoise && !c.lossy {
		return err
	}
	c.dropped.Add(1)
	b.TrimBack(b.Len())
	return nil
}

// decode takes a frame with a flag at its end apart. It returns errNoise for one that means nothing.
//
// https://www.rfc-editor.org/rfc/rfc1662.html#section-4.3
func (c *codec) decode(b *frame.Buf) error {
	if b.Bytes()[0] == flag {
		b.TrimFront(1)
	}
	b.TrimBack(1)
	p := b.Bytes()
	if len(p) == 0 {
		return nil
	}
	if bytes.IndexByte(p, flag) >= 0 {
		return errTwo
	}
	n, ok := unstuff(p[:c.special.strip(p)])
	if !ok || n < len(c.header)+c.fcsLen {
		return errNoise
	}
	b.TrimBack(len(p) - n)
	switch {
	case !trimFCS(b, c.fcsLen):
		return errFCS
	case !bytes.HasPrefix(b.Bytes(), c.header):
		return errHeader
	case b.Len() > len(c.header)+c.max:
		return errLong
	}
	b.TrimFront(len(c.header))
	return nil
}

// Errors of bytes that a peer sent are made once, so that a flood of them allocates nothing.
var (
	errTruncated = malformed("it does not end with a flag")
	errTwo       = malformed("a flag inside")
	errNoise     = malformed("too short, or aborted")
	errFCS       = malformed("the frame check sequence is wrong")
	errHeader    = malformed("another header")
	errLong      = malformed("longer than max")
	errEndless   = malformed("no flag within the length of the longest frame; is max the same at both ends?")
	errTooLarge  = fmt.Errorf("hdlc: %w", frame.ErrTooLarge)
)

func malformed(what string) error { return fmt.Errorf("hdlc: %w: %s", frame.ErrMalformed, what) }
