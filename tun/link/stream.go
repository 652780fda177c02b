package link

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/tun/packet"
	"github.com/encase-tls/encase/tun/wire"
)

// A Stream moves packets over a byte stream, such as a *wrap.Conn. One goroutine calls Send, one Receive.
type Stream struct {
	receiver
	conn  io.ReadWriter
	room  available // conn, or nil if it does not say
	queue *Queue
	join  *packet.Coalescer // of what comes
}

// NewStream returns a link between conn and a device: what is put into q is sent, what comes is written to w.
func NewStream(conn io.ReadWriter, q *Queue, w *Writer, cfg Config) *Stream {
	room, _ := conn.(available)
	return &Stream{receiver: receiver{cfg: cfg, to: w}, conn: conn, room: room, queue: q}
}

// available is implemented by connections that know how many bytes they take without waiting, such as a *wrap.Conn.
type available interface{ Available() int }

// Stats returns a snapshot. It may be called at any time.
func (s *Stream) Stats() Stats { return s.stats.snapshot(s.queue) }

// gathered is how much of small packets and control messages is written at once, while there are more: four records.
const gathered = 4 * bio.MaxPlaintext

// Send sends what the queue gives until the queue is closed, and returns nil then, or the error of the connection.
func (s *Stream) Send() error {
	var out []byte
	var lent *[]byte
	var cut packet.Segmenter
	for {
		if len(out) == 0 && lent != nil { // while this end has nothing to say, it needs none
			sendBuffers.Put(lent)
			lent = nil
		}
		control, u, ok := s.queue.Pop(len(out) == 0)
		if lent == nil {
			lent = sendBuffers.Get().(*[]byte)
			out = *lent
		}
		for _, m := range control {
			out = wire.AppendControl(out, m.Type, m.Body)
		}
		var err error
		switch {
		case u != nil:
			err = s.sendUnit(&out, u, &cut)
		default: // nothing more to gather
			err = s.write(&out)
		}
		if err != nil || !ok {
			return err
		}
	}
}

// Push puts Units, which it takes over, into the queue, or sends them if they are few. It does not wait, and may be called
// at any time.
func (s *Stream) Push(units ...*Unit) {
	if !s.queue.offer(units, s.room != nil) {
		return
	}
	defer s.queue.yield()
	bytes := 0
	for _, u := range units {
		bytes += len(u.Data)
	}
	if s.room.Available() < 2*(smallUnit+bytes) {
		s.queue.Push(units...)
		return
	}
	lent := sendBuffers.Get().(*[]byte)
	defer sendBuffers.Put(lent)
	out := *lent
	var cut packet.Segmenter
	for _, u := range units {
		s.sendUnit(&out, u, &cut) // Send will find the error, too
	}
	s.write(&out)
}

// sendUnit sends a Unit, or puts it to those that are gathered if it is small.
func (s *Stream) sendUnit(out *[]byte, u *Unit, cut *packet.Segmenter) error {
	defer u.Release()
	packet.ClampMSS(u.Data, &u.Header, s.cfg.MTU, u.GSO.Partial)
	s.stats.sent.Add(1)
	s.stats.sentBytes.Add(uint64(len(u.Data)))
	switch {
	case !s.travelsWhole(u):
		return s.sendCut(out, u, cut)
	case len(u.Data) <= smallUnit:
		return s.gather(out, u.Data, u.GSO)
	}
	if err := s.write(out); err != nil {
		return err
	}
	start := unitHead - wire.HeaderLen
	wire.PutPacket(u.buf[start:], len(u.Data), u.GSO)
	_, err := s.conn.Write(u.buf[start : unitHead+len(u.Data)])
	return err
}

// travelsWhole reports whether the peer can take a packet as it is.
func (s *Stream) travelsWhole(u *Unit) bool {
	switch u.GSO.Kind {
	case packet.Single:
		return true
	case packet.TCP4, packet.TCP6:
		if !s.cfg.Whole.TCP || u.GSO.ECN && !s.cfg.Whole.ECN {
			return false
		}
	default:
		if !s.cfg.Whole.UDP {
			return false
		}
	}
	return u.GSO.Check(u.Data, &u.Header) == nil
}

// sendCut sends the pieces of a Unit.
func (s *Stream) sendCut(out *[]byte, u *Unit, cut *packet.Segmenter) error {
	cut.Reset(u.Data, u.Header, u.GSO, true)
	for p, partial := cut.Next(); p != nil; p, partial = cut.Next() {
		if err := s.gather(out, p, packet.GSO{Partial: partial}); err != nil {
			return err
		}
	}
	return nil
}

// gather puts a packet to those that are written at once.
func (s *Stream) gather(out *[]byte, p []byte, g packet.GSO) error {
	if len(*out)+wire.HeaderLen+len(p) > gathered {
		if err := s.write(out); err != nil {
			return err
		}
	}
	var h [wire.HeaderLen]byte
	wire.PutPacket(h[:], len(p), g)
	*out = append(append(*out, h[:]...), p...)
	return nil
}

// write writes what was gathered.
func (s *Stream) write(out *[]byte) error {
	if len(*out) == 0 {
		return nil
	}
	_, err := s.conn.Write(*out)
	*out = (*out)[:0]
	return err
}

const (
	// readAhead is the room that Receive leaves for the connection: whole records are opened in place.
	readAhead  = 128 << 10
	readBuffer = unitHead + wire.HeaderLen + packet.MaxLen + readAhead
)

// Receive writes what the connection brings to the device until the connection ends, and returns io.EOF if that was in
// order. Any other error says whose fault it is.
func (s *Stream) Receive() error {
	var first [wire.HeaderLen - 1]byte // never a whole frame
	for {
		n, err := s.conn.Read(first[:]) // a peer that has nothing to say costs no buffer
		if n > 0 {
			err = s.receiveMuch(first[:n])
		}
		if err != nil {
			return err
		}
	}
}

// receiveMuch is Receive while there is much to read; begin has been read. It ends between two frames when little comes.
func (s *Stream) receiveMuch(begin []byte) error {
	in := intakes.Get().(*intake)
	defer intakes.Put(in)
	buf := in.buf[:]
	s.join = &in.join
	s.join.NoTCP, s.join.NoUDP = !s.cfg.Joined.TCP, !s.cfg.Joined.UDP
	start, end := unitHead, unitHead+copy(buf[unitHead:], begin)
	for {
		n, err := s.conn.Read(buf[end:])
		end += n
		used, takeErr := s.takeFrames(buf, start, end)
		switch {
		case takeErr != nil:
			return takeErr
		case err == io.EOF && used < end:
			return fmt.Errorf("link: the connection ends inside a frame: %w", io.ErrUnexpectedEOF)
		case err != nil:
			return err
		}
		if start = used; start == end {
			start, end = unitHead, unitHead
			if n < much {
				return nil
			}
		} else if len(buf)-end < readAhead {
			end = unitHead + copy(buf[unitHead:], buf[start:end])
			start = unitHead
		}
	}
}

// takeFrames handles the whole frames in buf[start:end] and returns where they end.
func (s *Stream) takeFrames(buf []byte, start, end int) (used int, err error) {
	defer func() {
		if flushErr := s.flush(); err == nil {
			err = flushErr
		}
	}()
	for end-start >= wire.HeaderLen {
		f, err := wire.ParseHeader(buf[start:])
		if err != nil {
			return start, err
		}
		at := start + wire.HeaderLen
		if end-at < f.Length {
			return start, nil
		}
		next := at + f.Length
		if f.Control {
			err = s.control(f.Type, buf[at:next])
		} else {
			err = s.deliver(buf[:next], at, f.GSO)
		}
		if err != nil {
			return start, err
		}
		start = next
	}
	return start, nil
}

// deliver gives the packet at the end of buf to the device. One that is not a super-packet already waits until flush: it
// may become part of one, which saves the kernel most of its work.
func (s *Stream) deliver(buf []byte, at int, g packet.GSO) error {
	h, ok := s.admit(buf[at:], g)
	switch {
	case !ok:
		return nil
	case g.Kind == packet.Single:
		s.join.Add(buf[at:], h, g.Partial)
		return nil
	}
	if err := s.flush(); err != nil {
		return err
	}
	// The header of the device overwrites what lies in front of the packet: frames that are done with.
	return s.delivered(s.to.write(buf, at, &h, g))
}

func (s *Stream) flush() error { return s.delivered(s.to.writeAll(s.join)) }

func isClosed(err error) bool { return errors.Is(err, os.ErrClosed) }
