package cobs

import (
	"bytes"
	"fmt"
	"sync/atomic"

	"github.com/encase-tls/encase/frame"
)

const (
	full   = 0xff // the code of a block of maxRun bytes
	maxRun = full - 1
)

// codec is COBS in one direction.
type codec struct {
	options Options // Max is set
	dropped atomic.Uint64
}

// Limits implements [frame.Codec]. Head has room for the codes: one, and one for each 254 bytes.
func (c *codec) Limits() frame.Limits {
	n := c.options.Max + c.sumLen()
	return frame.Limits{Head: 1 + n/maxRun, Tail: c.sumLen() + 1, Max: c.options.Max}
}

func (c *codec) sumLen() int   { return c.options.CRC / 8 }
func (c *codec) maxFrame() int { return c.Limits().MaxFrame() }

// Lenient returns what Decode ignores.
func (c *codec) Lenient() string {
	if c.options.Lossy {
		return "frames that are none, and an empty block at the end"
	}
	return "an empty block at the end, and a zero on its own"
}

// Dropped returns how many frames Decode has dropped. It may be called at any time.
func (c *codec) Dropped() uint64 { return c.dropped.Load() }

// Encode implements [frame.Codec].
func (c *codec) Encode(b *frame.Buf) error {
	if b.Len() > c.options.Max {
		return errTooLarge
	}
	appendSum(b, c.options.CRC)
	codes := countCodes(b.Bytes())
	b.Prepend(codes)
	stuff(b.Bytes(), codes)
	b.Append(1)[0] = 0
	return nil
}

// countCodes returns how many codes p needs besides those that take the place of a zero.
func countCodes(p []byte) int {
	codes := 1
	for len(p) > 0 {
		n := run(p)
		if p = p[n:]; n == maxRun && len(p) > 0 {
			codes++
		} else if n < maxRun && len(p) > 0 {
			p = p[1:] // a zero
		}
	}
	return codes
}

// run returns how many bytes at the front of p are not zero, 254 at most.
func run(p []byte) int {
	p = p[:min(len(p), maxRun)]
	if i := bytes.IndexByte(p, 0); i >= 0 {
		return i
	}
	return len(p)
}

// stuff makes blocks in place of what lies gap bytes behind the front of p, where countCodes has found gap codes.
func stuff(p []byte, gap int) {
	to, from := 0, gap
	for {
		n := run(p[from:])
		p[to] = byte(n + 1)
		if to+1 != from { // not yet where it has to be
			copy(p[to+1:], p[from:from+n])
		}
		to += n + 1
		from += n
		switch {
		case from == len(p):
			return
		case n < maxRun:
			from++ // a zero
		}
	}
}

// FrameLen implements [frame.Delimiter].
func (c *codec) FrameLen(p []byte) (int, error) {
	if i := bytes.IndexByte(p[:min(len(p), c.maxFrame())], 0); i >= 0 {
		return i + 1, nil
	}
	switch {
	case len(p) < c.maxFrame():
		return 0, nil
	case c.options.Lossy:
		return c.maxFrame(), nil // it has no zero: Decode drops it
	}
	return 0, errEndless
}

// Decode implements [frame.Codec].
func (c *codec) Decode(b *frame.Buf) error {
	err := c.decode(b)
	if err == nil || !c.options.Lossy || err == errTruncated && b.Len() < c.maxFrame() {
		return err
	}
	c.dropped.Add(1)
	b.TrimBack(b.Len())
	return nil
}

func (c *codec) decode(b *frame.Buf) error {
	p := b.Bytes()
	if len(p) == 0 || p[len(p)-1] != 0 {
		return errTruncated
	}
	b.TrimBack(1)
	if p = b.Bytes(); len(p) == 0 {
		return nil
	}
	if bytes.IndexByte(p, 0) >= 0 {
		return errTwo
	}
	n, ok := unstuff(p)
	if !ok {
		return errBlock
	}
	b.TrimBack(len(p) - n)
	if !trimSum(b, c.options.CRC) {
		return errSum
	}
	if b.Len() > c.options.Max {
		return errLong
	}
	return nil
}

// unstuff takes the blocks in p apart, in place, and returns how many bytes they held. ok is false if the last one is
// cut short.
func unstuff(p []byte) (n int, ok bool) {
	for from := 0; from < len(p); {
		code := p[from]
		next := from + int(code)
		if next > len(p) {
			return n, false
		}
		n += copy(p[n:], p[from+1:next])
		if from = next; code != full && from < len(p) {
			p[n] = 0
			n++
		}
	}
	return n, true
}

// Errors of bytes that a peer sent are made once, so that a flood of them allocates nothing.
var (
	errTruncated = malformed("it does not end with a zero")
	errTwo       = malformed("a zero inside")
	errBlock     = malformed("the last block is cut short")
	errSum       = malformed("the checksum is wrong")
	errLong      = malformed("longer than max")
	errEndless   = malformed("no zero within the length of the longest frame; is max the same at both ends?")
	errTooLarge  = fmt.Errorf("cobs: %w", frame.ErrTooLarge)
)

func malformed(what string) error { return fmt.Errorf("cobs: %w: %s", frame.ErrMalformed, what) }
