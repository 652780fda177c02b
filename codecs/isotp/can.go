package isotp

import (
	"encoding/binary"

	"github.com/encase-tls/encase/frame"
)

// The layout of struct can_frame and struct canfd_frame.
//
// https://www.kernel.org/doc/html/latest/networking/can.html#how-to-use-socketcan
const (
	lengthAt   = 4
	flagsAt    = 5
	dataAt     = 8
	classicLen = 8 // of the data
	fdLen      = 64

	bitRateSwitch = 0x01
	isFD          = 0x04
)

// cells are Bufs for frames: there are many, and they are small.
var cells = frame.NewPool(dataAt + fdLen)

// A bus is how frames of a CAN bus look like.
type bus struct {
	bigEndian bool
	unit      int // bytes in a frame
	dataLen   int // most bytes of data in a frame
	flags     byte
	pad       byte
	noPadding bool
}

func newBus(o *Options) bus {
	c := bus{bigEndian: o.BigEndian, dataLen: classicLen, pad: o.Padding, noPadding: o.NoPadding}
	if o.FD {
		c.dataLen, c.flags = fdLen, isFD
	}
	if o.BitRateSwitch {
		c.flags |= bitRateSwitch
	}
	c.unit = dataAt + c.dataLen
	return c
}

// frame returns a frame with header and data, which fit.
func (c *bus) frame(id uint32, header, data []byte) *frame.Buf {
	b := cells.Get(0)
	p := b.Append(c.unit)
	if c.bigEndian {
		binary.BigEndian.PutUint32(p, id)
	} else {
		binary.LittleEndian.PutUint32(p, id)
	}
	n := len(header) + len(data)
	size := c.padded(n)
	p[lengthAt], p[flagsAt], p[6], p[7] = byte(size), c.flags, 0, 0
	d := p[dataAt:]
	copy(d[copy(d, header):], data)
	for i := n; i < size; i++ {
		d[i] = c.pad
	}
	clear(d[size:])
	return b
}

// padded returns how long a frame with n bytes is on the bus. CAN FD has not every length.
func (c *bus) padded(n int) int {
	switch {
	case n <= classicLen && c.noPadding:
		return n
	case n <= classicLen:
		return classicLen
	case n <= 24:
		return (n + 3) &^ 3
	case n <= 32:
		return 32
	case n <= 48:
		return 48
	}
	return fdLen
}

// parse returns the identifier of a frame and its data; ok is false if it is none.
func (c *bus) parse(p []byte) (id uint32, data []byte, ok bool) {
	if len(p) != c.unit || int(p[lengthAt]) > c.dataLen {
		return 0, nil, false
	}
	id = binary.LittleEndian.Uint32(p)
	if c.bigEndian {
		id = binary.BigEndian.Uint32(p)
	}
	return id, p[dataAt : dataAt+int(p[lengthAt])], true
}
