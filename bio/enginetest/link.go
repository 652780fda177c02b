package enginetest

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/encase-tls/encase/bio"
)

// A link is a connection whose carrier is memory, driven step by step.
type link struct {
	client, server  end
	datagram, async bool
	fake            bool     // time is that of a bubble
	net             *network // nil: the peer gets everything, at once
	// cut returns how many of n waiting bytes to deliver at once; nil for all. Datagrams are never cut.
	cut func(n int) int
}

// An end is an engine, with what its user has sent and got.
type end struct {
	bio.Engine
	name     string
	peer     *end
	datagram bool
	ready    <-chan struct{} // of a bio.Notifier; nil if it is none

	sent   [][]byte // on the way to the peer; a stream may be cut anywhere, a datagram nowhere
	got    []byte   // application data
	events []bio.Events
	err    error // what Open, or Tick, returned
	limit  int   // for Flush
	budget *int  // how many bytes the carrier still brings to the peer; nil: all
}

const (
	prefix  = "contents of dst"
	poison  = 0xdb
	longest = time.Minute // for anything
)

// waiting is how long to wait for what goroutines do.
var waiting = 10 * time.Second

// count returns how often an event has come.
func (e *end) count(want bio.Events) (n int) {
	for _, ev := range e.events {
		if ev.Has(want) {
			n++
		}
	}
	return n
}

// open gives src to the engine and checks what is true of every call of Open. It returns how much was taken.
func (e *end) open(src []byte) (int, error) {
	scratch := bytes.Clone(src)
	plain, st, err := e.Open([]byte(prefix), scratch)
	for i := range scratch {
		scratch[i] = poison // an engine that keeps src will not see what it was given
	}
	if !bytes.HasPrefix(plain, []byte(prefix)) {
		return 0, fmt.Errorf("Open of the %s: dst was %q, what came back begins with %.15q", e.name, prefix, plain)
	}
	e.got = append(e.got, plain[len(prefix):]...)
	if e.note(st.Events, err); err != nil {
		return len(src), nil
	}
	if e.datagram && st.Consumed != len(src) {
		return 0, fmt.Errorf("Open of the %s took %d bytes of a datagram of %d", e.name, st.Consumed, len(src))
	}
	stuck := st.Out == 0 && e.State().Phase != bio.PhaseChoosing
	if st.Consumed < 0 || st.Consumed > len(src) || st.Consumed < len(src) && stuck {
		return 0, fmt.Errorf("Open of the %s took %d of %d bytes and wants nothing for the rest (output %d, phase %v)",
			e.name, st.Consumed, len(src), st.Out, e.State().Phase)
	}
	return st.Consumed, nil
}

// note keeps what a call has told.
func (e *end) note(events bio.Events, err error) {
	if events != 0 {
		e.events = append(e.events, events)
	}
	e.err = err
}

// flush sends what is queued, and checks it.
func (e *end) flush() error {
	for more := true; more; {
		var out []byte
		out, more = e.Flush([]byte(prefix), e.limit)
		if !bytes.HasPrefix(out, []byte(prefix)) {
			return fmt.Errorf("Flush of the %s: dst was %q, what came back begins with %.15q", e.name, prefix, out)
		}
		out = out[len(prefix):]
		if e.limit > 0 && len(out) > e.limit {
			return fmt.Errorf("Flush of the %s returned %d bytes, limit %d", e.name, len(out), e.limit)
		}
		if len(out) == 0 && more {
			return fmt.Errorf("Flush of the %s returned nothing and says that there is more", e.name)
		}
		if len(out) > 0 {
			e.sent = append(e.sent, out)
		}
	}
	return nil
}

// seal sends all of p, and checks what is true of every call of Seal.
func (e *end) seal(p []byte) error {
	for len(p) > 0 {
		scratch := bytes.Clone(p)
		out, n, err := e.Seal([]byte(prefix), scratch)
		if !bytes.HasPrefix(out, []byte(prefix)) {
			return fmt.Errorf("Seal of the %s: dst was %q, what came back begins with %.15q", e.name, prefix, out)
		}
		if err != nil {
			return fmt.Errorf("Seal of the %s: %w", e.name, err)
		}
		if n < 1 || n > min(len(p), bio.MaxPlaintext) {
			return fmt.Errorf("Seal of the %s took %d of %d bytes", e.name, n, len(p))
		}
		if !bytes.Equal(scratch, p) {
			return fmt.Errorf("Seal of the %s has changed p", e.name)
		}
		for i := range scratch {
			scratch[i] = poison
		}
		e.sent = append(e.sent, out[len(prefix):])
		p = p[n:]
	}
	return nil
}

// deliver gives the peer what waits for it, up to the next cut, and reports whether there was anything.
func (e *end) deliver(cut func(n int) int) (bool, error) {
	if len(e.sent) == 0 || e.peer.err != nil {
		return false, nil
	}
	if !e.datagram && len(e.sent) > 1 {
		e.sent = [][]byte{bytes.Join(e.sent, nil)}
	}
	src := e.sent[0]
	if e.budget != nil {
		if src = src[:min(len(src), *e.budget)]; len(src) == 0 {
			return false, nil
		}
	}
	if cut != nil && !e.datagram {
		src = src[:min(max(cut(len(src)), 1), len(src))]
	}
	n, err := e.peer.open(src)
	if e.budget != nil {
		*e.budget -= n
	}
	if rest := e.sent[0][n:]; len(rest) > 0 && !e.datagram {
		e.sent[0] = rest
	} else {
		e.sent = e.sent[1:]
	}
	return n > 0 || len(src) == 0, err
}

// step lets each end send what it has and take what there is, once. It reports whether anything moved.
func (l *link) step() (moved bool, err error) {
	for _, e := range l.ends() {
		if err := e.flush(); err != nil {
			return false, err
		}
		got, err := l.carry(e)
		if err != nil {
			return false, err
		}
		moved = moved || got
		if t, ok := e.Deadline(); ok && !time.Now().Before(t) {
			if err := e.tick(); err != nil {
				return false, err
			}
		}
	}
	return moved, nil
}

// carry takes what e has sent to its peer.
func (l *link) carry(e *end) (bool, error) {
	if l.net != nil {
		l.net.send(e)
		return l.net.arrive(e.peer)
	}
	return e.deliver(l.cut)
}

// advance is a step that does not end before something has moved, if anything still does.
func (l *link) advance() (bool, error) {
	if moved, err := l.step(); moved || err != nil {
		return moved, err
	}
	return l.await(l.patience())
}

// until steps until done. An end that has failed, or that nothing moves any more, is an error.
func (l *link) until(what string, done func() bool) error {
	for start := time.Now(); !done(); {
		moved, err := l.advance()
		if err = errors.Join(err, l.client.failed(), l.server.failed()); err != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
		switch {
		case time.Since(start) > max(longest, l.patience()):
			return fmt.Errorf("waiting for %s: it takes more than %v", what, time.Since(start))
		case !moved && (l.async || !done()):
			return fmt.Errorf("waiting for %s: nothing moves (%v, %v)",
				what, l.client.State().Phase, l.server.State().Phase)
		}
	}
	return nil
}

// settle steps until nothing moves.
func (l *link) settle() error {
	for start := time.Now(); time.Since(start) < longest; {
		if moved, err := l.step(); err != nil || !moved {
			return err
		}
	}
	return errors.New("the ends do not stop sending to each other")
}

func (e *end) failed() error {
	if e.err != nil {
		return fmt.Errorf("Open of the %s: %w", e.name, e.err)
	}
	return nil
}

// handshake shakes hands, and waits until both ends have said so.
func (l *link) handshake() error {
	return l.until("the handshake", func() bool { return l.client.isOpen() && l.server.isOpen() })
}

func (e *end) isOpen() bool {
	return e.State().Phase == bio.PhaseOpen && (e.ready == nil || e.count(bio.EventHandshakeDone) > 0)
}

// talk sends p from one end and waits until the other has it.
func (l *link) talk(from *end, p []byte) error {
	to := from.peer
	want := append(bytes.Clone(to.got), p...)
	if err := from.seal(p); err != nil {
		return err
	}
	if err := l.until("data", func() bool { return len(to.got) >= len(want) }); err != nil {
		return err
	}
	if !bytes.Equal(to.got, want) {
		return fmt.Errorf("%d bytes from the %s have arrived changed", len(p), from.name)
	}
	return nil
}

// wire returns everything that is on the way to the peer, and takes it away.
func (e *end) wire() []byte {
	p := bytes.Join(e.sent, nil)
	e.sent = nil
	return p
}

// ends returns both, to be tested alike.
func (l *link) ends() []*end { return []*end{&l.client, &l.server} }

// abort ends what the engines have suspended.
func (l *link) abort() {
	l.client.Abort(errTest)
	l.server.Abort(errTest)
}
