package wasm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// A reader takes a module apart. It trusts no count: before anything is allocated for a vector, its elements have to be
// there, one byte each at least. The runtime does not look at that, and would reserve gigabytes for a file of ten
// bytes.
type reader struct {
	rest []byte
	err  error // the first one; all that is read afterwards is zero
}

var (
	errCutShort = errors.New("it is cut short")
	errNumber   = errors.New("a number is longer than its type")
	errCount    = errors.New("a vector has more elements than there are bytes")
)

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

func (r *reader) failf(format string, args ...any) { r.fail(fmt.Errorf(format, args...)) }

// more reports whether something is left to read.
func (r *reader) more() bool { return len(r.rest) > 0 }

// take returns the next n bytes, which are part of the module.
func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.fail(errCutShort)
		return nil
	}
	p := r.rest[:n:n]
	r.rest = r.rest[n:]
	return p
}

func (r *reader) byte() byte {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

// u32 reads an unsigned number of at most five bytes.
//
// https://www.w3.org/TR/wasm-core-2/#integers%E2%91%A4
func (r *reader) u32() uint32 {
	v, n := binary.Uvarint(r.rest[:min(5, len(r.rest))])
	switch {
	case n == 0 && len(r.rest) < 5:
		r.fail(errCutShort)
		return 0
	case n <= 0 || v > math.MaxUint32:
		r.fail(errNumber)
		return 0
	}
	r.rest = r.rest[n:]
	return uint32(v)
}

// signed skips a signed number of at most so many bytes. Whether its last byte is right, the runtime looks at.
func (r *reader) signed(most int) {
	for range most {
		if r.byte() < 0x80 {
			return
		}
	}
	r.fail(errNumber)
}

// count reads the length of a vector.
func (r *reader) count() int {
	n := r.u32()
	if uint64(n) > uint64(len(r.rest)) {
		r.fail(errCount)
		return 0
	}
	return int(n)
}

// vector reads a vector of bytes.
func (r *reader) vector() []byte { return r.take(r.count()) }

// blockType skips the type of a block: nothing, a value, or the index of a function type. A negative number in more
// bytes than it needs is refused: it could be read in two ways.
//
// https://www.w3.org/TR/wasm-core-2/#control-instructions%E2%91%A6
func (r *reader) blockType() {
	if b := r.byte(); b < 0x80 {
		return
	}
	for range 4 {
		if b := r.byte(); b < 0x80 {
			if b&0x40 != 0 {
				r.failf("the type of a block is no index")
			}
			return
		}
	}
	r.fail(errNumber)
}
