package slip

import (
	"bytes"
	"fmt"
	"sync/atomic"

	"github.com/encase-tls/encase/frame"
)

// The special bytes.
//
// https://www.rfc-editor.org/rfc/rfc1055.html
const (
	end    = 0xc0
	esc    = 0xdb
	escEnd = 0xdc // behind esc: end
	escEsc = 0xdd // behind esc: esc
)

// What bytes.Count looks for.
var (
	ends = []byte{end}
	escs = []byte{esc}
)

// codec is SLIP in one direction.
type codec struct {
	options Options // Max is set
	dropped atomic.Uint64
}

// Limits implements [frame.Codec]. Head has room for an escape in front of every byte of the payload.
func (c *codec) Limits() frame.Limits {
	return frame.Limits{Head: 1 + c.options.Max, Tail: 1, Max: c.options.Max}
}

// maxFrame is the length of the longest frame: every byte is escaped.
func (c *codec) maxFrame() int { return 2*c.options.Max + 2 }

// Lenient returns what Decode ignores.
func (c *codec) Lenient() string {
	if c.options.Lossy {
		return "frames that are none, and whether there is an END in front"
	}
	return "whether there is an END in front"
}

// Dropped returns how many frames Decode has dropped. It may be called at any time.
func (c *codec) Dropped() uint64 { return c.dropped.Load() }

// Encode implements [frame.Codec].
func (c *codec) Encode(b *frame.Buf) error {
	p := b.Bytes()
	if len(p) > c.options.Max {
		return errTooLarge
	}
	empty := len(p) == 0
	escapes := bytes.Count(p, ends) + bytes.Count(p, escs)
	b.Prepend(escapes)
	stuff(b.Bytes(), escapes)
	if !c.options.NoFlush || empty {
		b.Prepend(1)[0] = end
	}
	b.Append(1)[0] = end
	return nil
}

// stuff escapes a payload in place. It lies gap bytes behind the front of p, and has that many bytes to escape: with
// each of them it comes one byte nearer to where it has to be, and with the last one it is there.
func stuff(p []byte, gap int) {
	to := 0
	nextEnd, nextEsc := next(p, gap, end), next(p, gap, esc)
	for ; gap > 0; gap-- {
		from := to + gap
		var at int
		var code byte
		if nextEnd < nextEsc {
			at, code = nextEnd, escEnd
			nextEnd = next(p, at+1, end)
		} else {
			at, code = nextEsc, escEsc
			nextEsc = next(p, at+1, esc)
		}
		to += copy(p[to:], p[from:at])
		p[to], p[to+1] = esc, code
		to += 2
	}
}

// next returns where v is next in p, not before from, and len(p) if it is not.
func next(p []byte, from int, v byte) int {
	if i := bytes.IndexByte(p[from:], v); i >= 0 {
		return from + i
	}
	return len(p)
}

// FrameLen implements [frame.Delimiter].
func (c *codec) FrameLen(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	from := 0
	if p[0] == end {
		from = 1
	}
	if i := bytes.IndexByte(p[from:min(len(p), c.maxFrame())], end); i >= 0 {
		return from + i + 1, nil
	}
	switch {
	case len(p) < c.maxFrame():
		return 0, nil
	case c.options.Lossy:
		return c.maxFrame(), nil // it has no END: Decode drops it
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
	if len(p) < 2 && (len(p) == 0 || p[0] == end) || p[len(p)-1] != end {
		return errTruncated
	}
	if p[0] == end {
		b.TrimFront(1)
	}
	b.TrimBack(1)
	p = b.Bytes()
	if bytes.IndexByte(p, end) >= 0 {
		return errTwo
	}
	n, ok := unstuff(p)
	switch {
	case !ok:
		return errEscape
	case n > c.options.Max:
		return errLong
	}
	b.TrimBack(len(p) - n)
	return nil
}

// unstuff takes the escapes out of p, in place, and returns how many bytes remain. ok is false if one is wrong.
func unstuff(p []byte) (n int, ok bool) {
	from := 0
	for {
		at := next(p, from, esc)
		if n != from {
			copy(p[n:], p[from:at])
		}
		n += at - from
		switch {
		case at == len(p):
			return n, true
		case at+1 == len(p):
			return n, false
		case p[at+1] == escEnd:
			p[n] = end
		case p[at+1] == escEsc:
			p[n] = esc
		default:
			return n, false
		}
		n++
		from = at + 2
	}
}

// Errors of bytes that a peer sent are made once, so that a flood of them allocates nothing.
var (
	errTruncated = malformed("it does not end with END")
	errTwo       = malformed("an END inside")
	errEscape    = malformed("an ESC in front of a byte that is never escaped")
	errLong      = malformed("longer than max")
	errEndless   = malformed("no END within the length of the longest frame; is max the same at both ends?")
	errTooLarge  = fmt.Errorf("slip: %w", frame.ErrTooLarge)
)

func malformed(what string) error { return fmt.Errorf("slip: %w: %s", frame.ErrMalformed, what) }
