package datagram

import (
	"fmt"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap/udp"
)

// WriteBatch sends messages, each as Write does, in as few system calls as the socket needs: those of equal length lie
// side by side in one buffer, frames included. It returns how many it took, and why not more.
func (c *Conn) WriteBatch(messages [][]byte) (n int, err error) {
	for n < len(messages) && err == nil {
		if err = c.awaitWrite(); err != nil {
			break
		}
		var m int
		c.writing.Lock()
		m, err = c.writeSome(messages[n:])
		c.doneWriting()
		c.attend()
		n += m
	}
	return n, err
}

// writeSome sends some of messages, at least the first.
func (c *Conn) writeSome(messages [][]byte) (n int, err error) {
	out, gathers := c.out.(gatherer)
	if gathers && c.batch != nil && c.codec.mach == nil && c.cfg.Trace == nil {
		return c.gather(out, messages)
	}
	return c.writeEach(messages[:min(len(messages), maxSegments)])
}

// writeEach seals messages one by one and sends what that makes at once.
func (c *Conn) writeEach(messages [][]byte) (n int, err error) {
	s := scratches.Get().(*scratch)
	defer s.release()
	var count, size int
	for n < len(messages) && err == nil {
		if m := messages[n]; len(m) > 0 {
			if err = c.seal(s, m, c.MTU()); err != nil {
				break
			}
			count++
			size += len(m)
		}
		n++
	}
	if sent := c.sendFrames(s); sent != nil {
		return 0, c.explain(sent, len(messages[0]))
	}
	c.wrote(count, size)
	return n, err
}

// What one send can carry. https://docs.kernel.org/networking/segmentation-offloads.html
const maxSegments = 64

// gather seals the first messages that may be sent together, frames them where they lie, and sends them.
func (c *Conn) gather(out gatherer, messages [][]byte) (n int, err error) {
	switch size, room := len(messages[0]), c.MTU(); {
	case size == 0:
		return 1, nil
	case size > room:
		return 0, &bio.TooLongError{Len: size, Limit: room}
	}
	lim := c.codec.lim
	segment := lim.Head + len(messages[0]) + int(c.overhead.Load()) + lim.Tail
	batch := alike(messages[:min(len(messages), maxSegments, max(maxPayload/segment, 1))])
	b := frame.Get(0, len(batch)*segment)
	defer b.Release()
	flat, segment, n, err := c.batch.SealBatch(b.Tail(), batch, lim.Head, lim.Tail)
	if err != nil {
		return 0, fmt.Errorf("datagram: %w", err)
	}
	s := scratches.Get().(*scratch)
	defer s.release()
	if n, err = c.frameAll(s, flat, segment, n); n == 0 {
		return 0, err
	}
	if sendErr := c.sendGathered(out, s, batch[:n]); sendErr != nil {
		return 0, sendErr
	}
	return n, err
}

// alike returns the first messages that make datagrams of one length, and one that is shorter.
func alike(messages [][]byte) [][]byte {
	size := len(messages[0])
	for i, m := range messages {
		if len(m) == 0 || len(m) > size {
			return messages[:i]
		}
		if len(m) < size {
			return messages[:i+1]
		}
	}
	return messages
}

// frameAll frames the records in flat, n of them, each of segment bytes with room around it, and makes packets of what
// still lies side by side. It returns how many it could frame.
func (c *Conn) frameAll(s *scratch, flat []byte, segment, n int) (int, error) {
	if c.codec.raw() {
		s.packets = append(s.packets, udp.Packet{Data: flat, Segment: segment})
		return n, nil
	}
	lim, end := c.codec.lim, 0
	for i := range n {
		at := i * segment
		part := flat[at:min(at+segment, len(flat))]
		s.view.Borrow(part, lim.Head, len(part)-lim.Tail)
		if err := c.codec.send.Encode(&s.view); err != nil {
			return i, fmt.Errorf("datagram: codec: %w", err)
		}
		from := at + s.view.Headroom()
		to := from + s.view.Len()
		if k := len(s.packets); k > 0 && joins(&s.packets[k-1], from == end, to-from) {
			s.packets[k-1].Data = flat[from-len(s.packets[k-1].Data) : to]
		} else {
			s.packets = append(s.packets, udp.Packet{Data: flat[from:to], Segment: to - from})
		}
		end = to
	}
	return n, nil
}

// joins reports whether a frame of size bytes may go into p, of which all are equal but the last, which may be shorter.
func joins(p *udp.Packet, adjacent bool, size int) bool {
	return adjacent && size <= p.Segment && len(p.Data)%p.Segment == 0
}

// sendGathered sends the packets in s, which hold messages.
func (c *Conn) sendGathered(out gatherer, s *scratch, messages [][]byte) error {
	var wire, plain int
	for i := range s.packets {
		wire += len(s.packets[i].Data)
	}
	for _, m := range messages {
		plain += len(m)
	}
	c.stats.framesOut.Add(uint64(len(messages)))
	c.stats.wireOut.Add(uint64(wire))
	if err := c.judge(out.sendPackets(c, s.packets)); err != nil {
		return c.explain(err, len(messages[0]))
	}
	c.wrote(len(messages), plain)
	return nil
}
