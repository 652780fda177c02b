package inspect

import (
	"fmt"
)

const (
	// maxFrame bounds a frame in a stream.
	maxFrame = 1 << 20

	// window is how far a search looks: a frame with the longest record fits.
	window = 40 << 10

	// maxPassed is when a search gives up.
	maxPassed = 1 << 20

	// undecided is how many bytes a header has at most: a Delimiter that has seen so many and cannot tell the length
	// looks for the end of a frame, so that the search has found the front of one as well as it can.
	undecided = 64
)

// write takes the next bytes of a stream.
func (l *lane) write(p []byte) {
	if l.mode == deaf {
		l.offset += int64(len(p))
		return
	}
	l.buf = append(l.buf, p...)
	for l.step() {
	}
	if len(l.buf) == 0 {
		l.buf = nil
	}
}

// step takes what is at the front of buf, and reports whether more can be done.
func (l *lane) step() bool {
	switch {
	case len(l.buf) == 0 || l.mode == deaf || l.in.err != nil:
		return false
	case l.mode == searching:
		return l.search()
	case l.mode == unframed:
		l.plain()
		return false
	}
	n, err := l.delim.FrameLen(l.buf)
	if err == nil && (n < 0 || n > maxFrame || n == 0 && len(l.buf) >= maxFrame) {
		err = fmt.Errorf("a frame of more than %d bytes", maxFrame)
	}
	if err != nil {
		l.stumble(err)
		return true
	}
	if n == 0 || n > len(l.buf) {
		return false
	}
	r := l.frame(l.buf[:n])
	l.take(n)
	switch {
	case r.err != nil:
		l.renew()
	case r.raw:
		l.mode = unframed
		l.lanes[l.from.Peer()].bare = true
	}
	return true
}

// stumble reports bytes that begin no frame, and searches for one behind them.
func (l *lane) stumble(err error) {
	l.bare = l.bare || l.frames > 0
	l.mode = searching
	if l.bare && isTLS(l.buf) {
		return // not malformed: the frames have ended
	}
	e := Event{Kind: Malformed, Offset: l.offset, Length: len(l.buf), Message: err.Error()}
	e.Fields = Fields(l.in.Description, l.buf, nil)
	l.emit(e)
	l.renew()
	l.mode = searching
	l.records.lose()
	l.pass(1)
}

// plain reports TLS without frames.
func (l *lane) plain() {
	l.skip()
	l.emit(Event{Kind: TLS, Offset: l.offset, Length: len(l.buf), Payload: len(l.buf), Records: l.records.Read(l.buf)})
	l.take(len(l.buf))
}

// search looks for the front of a frame that has TLS in it, or of TLS itself where that may come.
func (l *lane) search() bool {
	first := -1 // where a frame may begin that is not complete
	for at := range l.buf {
		switch l.try(at) {
		case found:
			l.settle(at)
			return true
		case foundBare:
			if first < 0 {
				l.settle(at)
				l.mode = unframed
				return true
			}
		case perhaps:
			if first < 0 {
				first = at
			}
			if l.endless(at) {
				return l.keep(first)
			}
		}
	}
	if first < 0 {
		first = len(l.buf)
	}
	return l.keep(first)
}

// settle ends a search.
func (l *lane) settle(at int) {
	l.pass(at)
	l.mode = framed
	l.records.find()
}

// endless reports whether the Delimiter finds no end behind at, which does not depend on where it begins to look.
func (l *lane) endless(at int) bool {
	if l.delim == nil {
		return false
	}
	n, err := l.delim.FrameLen(l.buf[at:])
	return err == nil && n == 0 && len(l.buf)-at > undecided
}

// keep passes what comes before the first place where a frame may begin, and all that is too long ago.
func (l *lane) keep(first int) bool {
	l.pass(max(first, len(l.buf)-window))
	if l.passed > maxPassed {
		l.skip()
		l.emit(Event{Kind: Malformed, Offset: l.offset, Message: "no frame with TLS has been found for a megabyte"})
		l.mode, l.buf = deaf, nil
	}
	return false
}

// A trial is what a search finds.
type trial uint8

const (
	nothing trial = iota
	perhaps       // more bytes would tell
	found
	foundBare // TLS without frames
)

// try tells whether a frame with TLS begins at a place.
func (l *lane) try(at int) trial {
	p := l.buf[at:]
	if l.bare && isTLS(p) && (at == 0 || isHello(p)) {
		return foundBare
	}
	if l.bare && len(p) < tlsHeaderLen+1 {
		return perhaps
	}
	if l.delim == nil {
		return nothing
	}
	n, err := l.delim.FrameLen(p)
	switch {
	case err != nil || n < 0 || n > maxFrame:
		return nothing
	case n == 0 || n > len(p):
		return perhaps
	}
	if !l.probe(p[:n]) {
		return nothing
	}
	return found
}

// probe reports whether p is a frame with TLS, as a Machine sees it that has seen no other.
func (l *lane) probe(p []byte) bool {
	m, err := l.in.Maker(l.from.Peer())
	if err != nil {
		return false
	}
	ev, err := m.Start(nil)
	release(ev)
	other := lane{conn: l.conn, machine: m}
	r := other.recv(p)
	return err == nil && r.err == nil && (isTLS(r.payload) || isDTLS(r.payload))
}
