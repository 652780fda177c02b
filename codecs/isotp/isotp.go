// Package isotp carries TLS over a CAN bus by ISO-TP, ISO 15765-2: messages cut into frames of 8 bytes, or of 64 with
// CAN FD, under the control of the receiver. CAN and ISO-TP authenticate nothing: any node on the bus can speak for any
// other, and end the connection. TLS over ISO-TP is no standard; both ends have to be told of it.
//
// # CAN frames
//
// A frame of this package is one of a CAN bus, as Linux has it in struct can_frame and struct canfd_frame. They come
// one behind the other in a stream, or one in a datagram:
//
//	offset  bytes
//	0       4        identifier; bit 31 set if it has 29 bits
//	4       1        length of the data
//	5       1        flags of CAN FD
//	6       2        zero
//	8       8 or 64  data
//
// Frames with another identifier than the peer's are side traffic: [frame.Side] has all of one.
//
// https://www.kernel.org/doc/html/latest/networking/can.html#how-to-use-socketcan
//
// # Data of ISO-TP
//
//	0L data         single frame: a message of L bytes. CAN FD: 00 LL data, if it exceeds 7
//	1L LL data      first frame of a message of LLL bytes. 10 00 and four bytes of length, if it exceeds 4095
//	2N data         consecutive frame: N counts from 1, and after 15 from 0 on
//	3S BS STmin     flow control: S 0 continue, 1 wait, 2 too long; BS frames until the next flow control, 0 for any
//	                number; at least STmin between two, 00 to 7f milliseconds or f1 to f9 times 100 microseconds
//
// The length of a message stands in its first frame, so what TLS has to say is gathered until a flight ends or a
// message is full. Messages mean nothing to TLS: it is a stream, and they are strung together. One message at a time is
// under way in each direction, both at once unless the spec says half.
//
// What cannot be understood, and a frame that is missing, ends the connection: TLS can do without nothing. So does a
// peer that does not go on in time. Consecutive frames and flow control that nothing has asked for are ignored.
//
// # Grammar
//
// A spec is "isotp", followed by options after a colon, with commas between them:
//
//	ids=HEX/HEX  identifiers that the client and the server send with: three digits each for 11 bits, eight for 29;
//	             7e0/7e8 if left out
//	fd           CAN FD: units of 72 bytes, 64 of them data
//	brs          CAN FD with the faster bit rate for the data
//	be           identifiers are big-endian, as in captures; little-endian if left out, as on most machines
//	pad=HEX      what fills a frame of less than eight bytes: cc if left out; "none" for short frames
//	bs=N         frames that this end takes between flow controls, 0 for any number: 0 if left out
//	stmin=T      least time between two frames that this end takes: up to 127ms, or 100us to 900us; 0 if left out
//	max=N        longest message in bytes, sent or accepted: 4095 if left out, and at most 65535
//	timeout=T    how long the peer may take to go on: 1s if left out, as the standard has it
//	half         do not begin a message while one is received. When both begin at once, the client's goes first
//
// A bus makes a sender wait; UDP does not, and loses what comes too fast. There, bs=20 or so keeps a block within the
// buffer of a socket.
package isotp

import (
	"fmt"
	"time"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
)

func init() {
	codecs.Register("isotp", codecs.Info{
		Summary:  "ISO-TP (ISO 15765-2) in frames of CAN or CAN FD, with flow control",
		Class:    codecs.Segmenting,
		Carriers: codecs.Stream | codecs.Datagram,
		Syntax:   syntax,
		Example:  "isotp:fd,ids=7e0/7e8",
		Tested:   "scapy 2.5 (both roles), tshark 4.0, own vectors",
	}, Parse)
}

const syntax = `[OPTION[,OPTION]...]
OPTION  ids=HEX/HEX  what the client and the server send with, 3 or 8 digits (default: 7e0/7e8)
        fd           CAN FD: units of 72 bytes
        brs          CAN FD with the faster bit rate for the data
        be           big-endian identifiers (default: little-endian)
        pad=HEX      what fills short frames, or none (default: cc)
        bs=N         frames between flow controls (default: 0, any number)
        stmin=T      least time between frames, up to 127ms (default: 0)
        max=N        longest message in bytes (default: 4095, at most 65535)
        timeout=T    how long the peer may take (default: 1s)
        half         one direction at a time`

const (
	// DefaultMax is the longest message unless Options say otherwise: what its short form can say.
	DefaultMax = 4095

	// DefaultTimeout is how long a peer may take unless Options say otherwise: N_Bs and N_Cr of the standard.
	DefaultTimeout = time.Second

	// Extended is set in an identifier of 29 bits.
	Extended = 1 << 31

	minMax, maxMax = 64, 1<<16 - 1
)

// Options describe a connection over a bus. ClientID and ServerID are needed.
type Options struct {
	ClientID, ServerID uint32        // identifiers that they send with: 11 bits, or 29 and Extended
	FD, BitRateSwitch  bool          // CAN FD, and its faster bit rate
	BigEndian          bool          // identifiers
	NoPadding          bool          // short frames stay short
	Padding            byte          // what fills them, if not
	BlockSize          uint8         // frames that this end takes between flow controls; 0: any number
	Separation         time.Duration // least time between them: whole milliseconds up to 127, or 100 to 900 microseconds
	Max                int           // longest message in bytes; 0: DefaultMax
	Timeout            time.Duration // how long the peer may take; 0: DefaultTimeout
	HalfDuplex         bool          // one direction at a time
}

// New returns the Maker of Machines that implement [frame.Delimiter], [frame.Timed] and [frame.Backlogger].
func New(o Options) (frame.Maker, error) {
	if o.Max == 0 {
		o.Max = DefaultMax
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	return func(role frame.Role) (frame.Machine, error) { return newMachine(&o, role), nil }, nil
}

func (o *Options) check() error {
	for _, id := range []uint32{o.ClientID, o.ServerID} {
		if id&Extended == 0 && id >= 1<<11 || id&^Extended >= 1<<29 {
			return fmt.Errorf("isotp: bad identifier %x (allowed: 000 to 7ff, or 00000000 to 1fffffff with 29 bits)", id)
		}
	}
	_, ok := encodeSeparation(o.Separation)
	switch {
	case o.ClientID == o.ServerID:
		return fmt.Errorf("isotp: client and server cannot both have identifier %x", o.ClientID)
	case o.BitRateSwitch && !o.FD:
		return fmt.Errorf("isotp: only CAN FD has another bit rate")
	case !ok:
		return fmt.Errorf("isotp: bad stmin %v (allowed: 0 to 127ms, or 100us to 900us in steps of 100us)", o.Separation)
	case o.Max < minMax || o.Max > maxMax:
		return fmt.Errorf("isotp: bad max %d (allowed: %d to %d)", o.Max, minMax, maxMax)
	case o.Timeout < time.Millisecond:
		return fmt.Errorf("isotp: bad timeout %v (allowed: 1ms and more)", o.Timeout)
	}
	return nil
}

// encodeSeparation returns STmin for d.
func encodeSeparation(d time.Duration) (stmin byte, ok bool) {
	const few = 100 * time.Microsecond
	switch {
	case d >= 0 && d <= 127*time.Millisecond && d%time.Millisecond == 0:
		return byte(d / time.Millisecond), true
	case d >= few && d <= 9*few && d%few == 0:
		return 0xf0 + byte(d/few), true
	}
	return 0, false
}

// decodeSeparation returns what STmin says. Reserved values stand for the longest time.
func decodeSeparation(stmin byte) time.Duration {
	switch {
	case stmin <= 0x7f:
		return time.Duration(stmin) * time.Millisecond
	case stmin >= 0xf1 && stmin <= 0xf9:
		return time.Duration(stmin-0xf0) * 100 * time.Microsecond
	}
	return 127 * time.Millisecond
}
