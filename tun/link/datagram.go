package link

import (
	"cmp"
	"errors"
	"net/netip"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/tun/packet"
	"github.com/encase-tls/encase/tun/wire"
)

// A MessageConn sends and receives messages that may get lost, such as a *datagram.Conn.
type MessageConn interface {
	// WriteBatch sends messages and returns how many it took. One that is too long for the path is refused with a
	// *bio.TooLongError.
	WriteBatch(messages [][]byte) (n int, err error)
	// Serve hands to handle the messages that come, several at once if they came so, until the connection or handle fails,
	// and returns that error. They may be changed, and are valid during the call; calls do not overlap.
	Serve(handle func(messages [][]byte) error) error
	// Ready reports whether a message can be written without waiting for the peer.
	Ready() bool
	// MTU returns how long a message may be, in bytes.
	MTU() int
	// Probe sends a message although it is longer than MTU. What cannot leave is refused with a *bio.TooLongError.
	Probe(message []byte) error
}

// Datagrams moves packets over messages that may get lost: one packet, one message. One goroutine calls Send, one
// Receive.
type Datagrams struct {
	receiver
	conn  MessageConn
	queue *Queue
	far   []netip.Addr // where messages about packets that are too big come from
	told  time.Time    // when the last of them was written
	long  long
	parts wire.Assembler
}

// NewDatagrams returns a link between conn and a device: what is put into q is sent, what comes is written to w. far are
// addresses of the other end, from which senders hear that a packet is too big: a kernel believes none of its own. Where
// it has none of the right family, they hear it from where their packet was to go.
func NewDatagrams(conn MessageConn, q *Queue, w *Writer, far []netip.Addr, cfg Config) *Datagrams {
	return &Datagrams{receiver: receiver{cfg: cfg, to: w}, conn: conn, queue: q, far: far}
}

// Stats returns a snapshot. It may be called at any time.
func (d *Datagrams) Stats() Stats { return d.stats.snapshot(d.queue) }

const (
	// batch is how many messages are sent or received at once, as many as the kernel cuts a datagram into.
	batch = 64
	// longest is how long a message may be.
	longest = LongestMessage
)

// LongestMessage is how long a message may be, in bytes, to be sent and received in one piece, whatever the path allows.
const LongestMessage = 2048

// A sheet holds the messages of a batch side by side.
type sheet struct {
	flat     []byte
	messages [][]byte
}

func newSheet() *sheet {
	return &sheet{flat: make([]byte, 0, batch*longest), messages: make([][]byte, 0, batch)}
}

func (s *sheet) full() bool { return len(s.messages) == batch || cap(s.flat)-len(s.flat) < longest }

// add adds a copy of p and returns it.
func (s *sheet) add(p []byte) []byte {
	at := len(s.flat)
	s.flat = append(s.flat, p...)
	m := s.flat[at:len(s.flat):len(s.flat)]
	s.messages = append(s.messages, m)
	return m
}

func (s *sheet) clear() { s.flat, s.messages = s.flat[:0], s.messages[:0] }

// Send sends what the queue gives until the queue is closed, and returns nil then, or the error of the connection.
func (d *Datagrams) Send() error {
	var s *sheet
	var cut packet.Segmenter
	for {
		if s != nil && len(s.messages) == 0 { // while this end has nothing to say, it needs none
			sheets.Put(s)
			s = nil
		}
		control, u, ok := d.queue.Pop(s == nil)
		if s == nil {
			s = sheets.Get().(*sheet)
		}
		for _, m := range control {
			if err := d.putControl(s, m); err != nil {
				return err
			}
		}
		var err error
		if u != nil {
			err = d.sendUnit(s, u, &cut)
		} else {
			err = d.flush(s)
		}
		if err != nil || !ok {
			return err
		}
	}
}

// Push puts Units, which it takes over, into the queue, or sends them if they are few. It does not wait, and may be called
// at any time.
func (d *Datagrams) Push(units ...*Unit) {
	if !d.queue.offer(units, true) {
		return
	}
	defer d.queue.yield()
	if !d.conn.Ready() {
		d.queue.Push(units...)
		return
	}
	s := sheets.Get().(*sheet)
	defer sheets.Put(s)
	var cut packet.Segmenter
	for _, u := range units {
		d.sendUnit(s, u, &cut) // Send will find the error, too
	}
	d.flush(s)
}

// sendUnit puts the pieces of a Unit into the batch.
func (d *Datagrams) sendUnit(s *sheet, u *Unit, cut *packet.Segmenter) error {
	defer u.Release()
	mtu := d.conn.MTU()
	packet.ClampMSS(u.Data, &u.Header, min(mtu, d.cfg.MTU), u.GSO.Partial)
	if d.longestPiece(u) > min(mtu, longest) {
		return d.sendLong(s, u, cut, min(mtu, longest))
	}
	d.stats.sent.Add(1)
	d.stats.sentBytes.Add(uint64(len(u.Data)))
	cut.Reset(u.Data, u.Header, u.GSO, d.cfg.Partial)
	for p, partial := cut.Next(); p != nil; p, partial = cut.Next() {
		if err := d.put(s, p, partial); err != nil {
			return err
		}
	}
	return nil
}

func (d *Datagrams) longestPiece(u *Unit) int {
	if u.GSO.Kind == packet.Single {
		return len(u.Data)
	}
	return min(len(u.Data), u.Header.Payload+int(u.GSO.Size))
}

// put puts a message into the batch, which leaves when it is full.
func (d *Datagrams) put(s *sheet, p []byte, partial bool) error {
	if m := s.add(p); partial {
		wire.MarkPartial(m)
	}
	if s.full() {
		return d.flush(s)
	}
	return nil
}

// flush sends the batch. A message that is too long for the path is left out: the path has become narrower just now.
func (d *Datagrams) flush(s *sheet) error {
	defer s.clear()
	limit := longest + 1
	for rest := s.messages; len(rest) > 0; {
		n, err := d.conn.WriteBatch(rest)
		rest = rest[n:]
		tooLong, ok := errors.AsType[*bio.TooLongError](err)
		switch {
		case ok && len(rest) > 0:
			d.refused(0)
			if len(rest[0]) > tooLong.Limit || tooLong.Limit >= limit { // else it is another of the batch
				rest = rest[1:]
				d.stats.tooBig.Add(1)
			}
			limit = tooLong.Limit
		case err != nil:
			return err
		}
	}
	return nil
}

// Receive writes what the connection brings to the device until the connection ends, and returns its error; io.EOF is
// an end in order.
func (d *Datagrams) Receive() error { return d.conn.Serve(d.receive) }

// receive handles messages that have come together.
func (d *Datagrams) receive(messages [][]byte) error {
	join := joins.Get().(*packet.Coalescer)
	defer joins.Put(join)
	join.NoTCP, join.NoUDP = !d.cfg.Joined.TCP, !d.cfg.Joined.UDP
	var taken error
	for _, m := range messages {
		if taken = d.take(m, join); taken != nil {
			break
		}
	}
	return cmp.Or(d.delivered(d.to.writeAll(join)), taken)
}

// take handles a message of the peer.
func (d *Datagrams) take(m []byte, join *packet.Coalescer) error {
	f, body, err := wire.ParseDatagram(m)
	if err == nil && f.Control && f.Type == wire.TypePart {
		var whole []byte
		if whole, err = d.parts.Add(body); whole == nil && err == nil {
			return nil
		} else if err == nil {
			f, body, err = wire.ParseDatagram(whole)
		}
	}
	switch {
	case err != nil:
		d.stats.refused.Add(1) // it is one message: the next may be good
		return nil
	case f.Control:
		return d.control(f.Type, body)
	}
	if h, ok := d.admit(body, f.GSO); ok {
		packet.ClampMSS(body, &h, d.conn.MTU(), f.GSO.Partial)
		join.Add(body, h, f.GSO.Partial)
	}
	return nil
}
