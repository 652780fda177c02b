package isotp

import (
	"encoding/binary"
	"time"

	"github.com/encase-tls/encase/frame"
)

// A receiver has the message that is being received, if there is one.
type receiver struct {
	blockSize  int // what this end asks for: frames between flow controls, 0 for any number
	separation byte

	message *frame.Buf
	size    int  // it will have in the end
	dataLen int  // of its consecutive frames, but for the last
	number  byte // of the next one
	block   int  // frames until flow control is due, 0 for never
	until   time.Time
}

func (r *receiver) active() bool { return r.message != nil }

// drop forgets the message.
func (r *receiver) drop() {
	if r.message != nil {
		r.message.Release()
		r.message = nil
	}
}

// recvSingle takes a message of one frame, b. One that was being received is not finished any more.
func (m *machine) recvSingle(ev []frame.Event, b *frame.Buf, data []byte) ([]frame.Event, error) {
	n, header := int(data[0]&0x0f), 1
	if n == 0 && len(data) > classicLen {
		n, header = int(data[1]), 2
	}
	if n == 0 || header+n > len(data) || header == 1 && len(data) > classicLen {
		return ev, errSingle
	}
	m.incoming.drop()
	b.TrimFront(dataAt + header)
	b.TrimBack(b.Len() - n)
	ev = append(ev, frame.Event{Kind: frame.In, Buf: b})
	return m.begin(ev), nil
}

// recvFirst takes the first frame of a message. Memory is bounded by max, whatever length it announces.
func (m *machine) recvFirst(ev []frame.Event, data []byte) ([]frame.Event, error) {
	n, header, ok := firstLength(data)
	if !ok {
		return ev, errFirst
	}
	if m.half && m.sending.state == awaiting && !m.sending.confirmed {
		if m.role == frame.Client {
			return ev, nil // both have begun: the server yields
		}
		m.sending.yield()
	}
	if n > m.max {
		return m.flowControl(ev, overflow), errLong
	}
	r := &m.incoming
	r.drop()
	r.message = frame.Get(0, n)
	r.size, r.dataLen, r.number = n, len(data)-1, 1
	copy(r.message.Append(len(data)-header), data[header:])
	return m.flowControl(ev, goOn), nil
}

// firstLength returns how long the message of a first frame is, and how long the frame's own header.
func firstLength(data []byte) (n, header int, ok bool) {
	if len(data) < classicLen {
		return 0, 0, false // only the last frame of a message may be short
	}
	n, header = int(binary.BigEndian.Uint16(data)&0x0fff), 2
	if n == 0 {
		long := binary.BigEndian.Uint32(data[2:])
		n, header = int(min(long, maxMax+1)), 6
		if long <= maxShort {
			return 0, 0, false
		}
	}
	fits := len(data) - 1 // in a single frame of that length
	if len(data) > classicLen {
		fits--
	}
	return n, header, n > fits
}

// recvConsecutive takes another frame of the message. Without one it means nothing.
func (m *machine) recvConsecutive(ev []frame.Event, data []byte) ([]frame.Event, error) {
	r := &m.incoming
	if !r.active() {
		return ev, nil
	}
	missing := r.size - r.message.Len()
	have := len(data) - 1
	switch {
	case data[0]&0x0f != r.number:
		return ev, errLost
	case have < min(missing, r.dataLen):
		return ev, errShortCF
	}
	n := min(missing, have)
	copy(r.message.Append(n), data[1:])
	if n == missing {
		ev = append(ev, frame.Event{Kind: frame.In, Buf: r.message})
		r.message = nil // whoever gets the event releases it
		return m.begin(ev), nil
	}
	r.number = (r.number + 1) & 0x0f
	if r.block--; r.block == 0 {
		return m.flowControl(ev, goOn), nil
	}
	r.until = m.now.Add(m.timeout)
	return ev, nil
}

// flowControl tells the peer to go on, or not.
func (m *machine) flowControl(ev []frame.Event, status byte) []frame.Event {
	r := &m.incoming
	r.block, r.until = r.blockSize, m.now.Add(m.timeout)
	header := [3]byte{flowControl<<4 | status, byte(r.blockSize), r.separation}
	return m.out(ev, header[:], nil)
}
