package inspect

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

// A conn is a connection, or what goes to and fro between two ports of UDP.
type conn struct {
	in      *inspector
	number  int
	carrier string
	ends    [2]string // addresses, by role
	lanes   [2]*lane  // by the role of the sender
}

func (in *inspector) newConn(carrier string, ends [2]string) *conn {
	in.sum.Connections++
	c := &conn{in: in, number: in.sum.Connections, carrier: carrier, ends: ends}
	known := new(agreement)
	for role := range c.lanes {
		l := &lane{conn: c, from: frame.Role(role), records: RecordReader{known: known}}
		l.begin()
		c.lanes[role] = l
	}
	c.lanes[frame.Client].emit(Event{Kind: Connection})
	return c
}

// A lane is one direction of a conn. It is read by a Machine of the receiver's role.
type lane struct {
	*conn
	from    frame.Role
	machine frame.Machine
	watch   observer        // reads frames in place of the Machine; nil: the Machine does
	delim   frame.Delimiter // nil: frames cannot be told apart in a stream
	records RecordReader
	events  []frame.Event // reused

	// Of a stream.
	mode    mode
	bare    bool // TLS without frames may come: there have been some, or the codec has none
	buf     []byte
	offset  int64 // of buf in the stream
	skipped int   // bytes in front of buf that belong to no frame and have not been reported
	start   []byte
	passed  int // bytes that have been skipped without a frame behind them

	frames int
}

// A mode is how the bytes of a stream are taken.
type mode uint8

const (
	framed    mode = iota
	searching      // where does a frame begin that has TLS in it?
	unframed       // TLS as it is
	deaf           // nothing has been found for too long
)

// emit reports an event of the lane.
func (l *lane) emit(e Event) {
	e.Connection, e.Carrier, e.From = l.number, l.carrier, l.from.String()
	e.Source, e.Target = l.ends[l.from], l.ends[l.from.Peer()]
	l.in.emit(e)
}

// renew gives the lane a new Machine.
func (l *lane) renew() {
	m, err := l.in.Maker(l.from.Peer())
	if err == nil {
		var ev []frame.Event
		ev, err = m.Start(nil)
		release(ev)
	}
	if err != nil {
		if l.in.err == nil {
			l.in.err = fmt.Errorf("inspect: the codec cannot be used: %w", err)
		}
		m = nil
	}
	l.machine = m
	l.delim, _ = m.(frame.Delimiter)
}

// begin decides what a stream begins with.
func (l *lane) begin() {
	l.renew()
	l.watch = newObserver(l.in.Spec)
	if _, talks := l.machine.(frame.Preamble); talks || l.delim == nil {
		l.mode = searching
	}
	l.bare = l.machine != nil && frame.IsRaw(l.machine)
}

func release(ev []frame.Event) {
	for _, e := range ev {
		if e.Buf != nil {
			e.Buf.Release()
		}
	}
}

// A reading is what a Machine makes of a frame.
type reading struct {
	payload []byte
	again   bool // what is in it has been there before
	side    bool // nothing for TLS
	note    string
	raw     bool // framing ends behind it
	done    bool
	err     error
}

// recv has the Machine read a frame, which is not changed.
func (l *lane) recv(p []byte) (r reading) {
	if l.watch != nil {
		return l.watch.observe(p)
	}
	if l.machine == nil {
		return reading{err: errors.New("the codec cannot be used")}
	}
	ev := l.events[:0]
	if t, ok := l.machine.(frame.Timed); ok {
		if ev, r.err = t.Tick(ev, l.in.now); r.err != nil {
			release(ev)
			return r
		}
	}
	ev, r.err = l.machine.Recv(ev, frame.NewBuf(0, bytes.Clone(p), 0))
	for _, e := range ev {
		switch e.Kind {
		case frame.In:
			r.payload = append(r.payload, e.Buf.Bytes()...)
		case frame.Side:
			r.side = true
		case frame.SwitchRaw:
			r.raw = true
		case frame.Done:
			r.done = true
		}
	}
	release(ev)
	l.events = ev[:0]
	return r
}

// frame reports one frame.
func (l *lane) frame(p []byte) reading {
	r := l.recv(p)
	l.frames++
	l.skip()
	e := Event{Kind: Frame, Frame: l.frames, Offset: l.offset, Length: len(p), Payload: len(r.payload)}
	e.Bytes = bytes.Clone(p)
	switch {
	case r.err != nil:
		e.Kind, e.Message = Malformed, r.err.Error()
		l.records.lose()
	case r.again:
		e.Kind, e.Message = Retransmission, "a frame that has been there before"
	case r.side && len(r.payload) == 0:
		e.Kind, e.Message = Side, r.note
	default:
		e.Records = l.records.Read(r.payload)
	}
	if e.Kind != Side {
		e.Fields = Fields(l.in.Description, p, r.payload)
	}
	l.emit(e)
	if r.done {
		l.emit(Event{Kind: End, Offset: l.offset + int64(len(p))})
	}
	return r
}

const maxStart = 64 // bytes of what is skipped that are shown

// pass takes bytes that belong to no frame.
func (l *lane) pass(n int) {
	l.start = append(l.start, l.buf[:min(n, maxStart-len(l.start))]...)
	l.skipped += n
	l.passed += n
	l.take(n)
}

// take takes bytes off the front of buf.
func (l *lane) take(n int) {
	l.buf = l.buf[n:]
	l.offset += int64(n)
}

// skip reports what has been passed.
func (l *lane) skip() {
	l.passed = 0
	if l.skipped == 0 {
		return
	}
	e := Event{Kind: Skipped, Offset: l.offset - int64(l.skipped), Length: l.skipped, Bytes: l.start}
	e.Message = printable(l.start)
	l.skipped, l.start = 0, nil
	l.emit(e)
}
