package wire

import (
	"encoding/binary"
	"hash/crc32"
)

// A message that is too long for a datagram, a packet or a control message, travels in several, each of which is a
// control message of TypePart. What comes together is the message as one datagram would have held it. It is for what
// cannot be shorter: for packets there is ICMP, and TCP.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------------------------------+---------------+---------------+
//	|              id               |     index     |     last      |
//	+-------------------------------+---------------+---------------+
//	|  bytes of the message ...
const partHeader = 4

const (
	// PartRoom is what the header of a part takes of a datagram, with its type, in bytes.
	PartRoom = 1 + partHeader

	maxParts   = 64
	maxMessage = 1 + MaxBody
	// assembling is how many messages an Assembler puts together at once. Parts of more than that are from a network
	// that has lost some, and the oldest goes.
	assembling = 4
)

// Split calls put with a datagram for each part of a message: its last bytes are valid during the call. most is how long a
// datagram may be, in bytes. It does nothing and reports false if the message is too long for so short datagrams, or
// empty. Parts that are lost can be sent again under the same id, if message and most are the same.
func Split(message []byte, id uint16, most int, put func(datagram []byte) error) (ok bool, err error) {
	room := most - PartRoom
	if len(message) < 2 || len(message) > maxMessage || room < 1 || len(message) > room*maxParts {
		return false, nil
	}
	count := max(2, (len(message)+room-1)/room)
	size := (len(message) + count - 1) / count
	last := (len(message)+size-1)/size - 1
	buf := make([]byte, 0, PartRoom+size)
	for i := 0; i <= last && err == nil; i++ {
		part := message[i*size : min(len(message), (i+1)*size)]
		buf = binary.BigEndian.AppendUint16(append(buf[:0], byte(TypePart)), id)
		err = put(append(append(buf, byte(i), byte(last)), part...))
	}
	return true, err
}

// SplitID returns an id for a message that is sent again until it is answered: parts of each time then fit together.
// Those of other messages have an id that it never returns: see PacketID.
func SplitID(message []byte) uint16 { return uint16(crc32.ChecksumIEEE(message)) &^ packetIDs }

// PacketID returns the id of the nth message that is sent only once.
func PacketID(n uint16) uint16 { return n | packetIDs }

const packetIDs = 0x8000

// An Assembler puts messages together from their parts, which may come in any order, twice, and not at all. It keeps a
// few messages at most. The zero value is ready.
type Assembler struct {
	open [assembling]assembly
	next int // the oldest of open
}

// An assembly is a message of which parts are missing.
type assembly struct {
	id    uint16
	parts [][]byte // nil: there is no message
	have  int
	size  int // of the parts that are there, in bytes
}

// Add takes in the body of a part, of which it keeps a copy, and returns the message if that was the last that was
// missing; it is the caller's. The error wraps ErrMalformed.
func (a *Assembler) Add(body []byte) (message []byte, err error) {
	if len(body) <= partHeader {
		return nil, malformed("a part of %d bytes", len(body))
	}
	id, index, last := binary.BigEndian.Uint16(body), int(body[2]), int(body[3])
	if last == 0 || last >= maxParts || index > last {
		return nil, malformed("part %d, the last is %d", index, last)
	}
	m := a.find(id, last+1)
	if m.parts[index] != nil {
		return nil, nil
	}
	part := append([]byte(nil), body[partHeader:]...)
	m.parts[index] = part
	m.have++
	if m.size += len(part); m.size > maxMessage {
		*m = assembly{}
		return nil, malformed("a message in parts of more than %d bytes", maxMessage)
	}
	if m.have <= last {
		return nil, nil
	}
	for _, p := range m.parts {
		message = append(message, p...)
	}
	*m = assembly{}
	return message, nil
}

// find returns the message that a part belongs to, which may be a new one.
func (a *Assembler) find(id uint16, count int) *assembly {
	for i := range a.open {
		if m := &a.open[i]; m.id == id && len(m.parts) == count {
			return m
		}
	}
	m := &a.open[a.next]
	a.next = (a.next + 1) % assembling
	*m = assembly{id: id, parts: make([][]byte, count)}
	return m
}
