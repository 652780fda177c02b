package bio

import (
	"crypto/tls"
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// memConn is the net.Conn under a tls.Conn: what it reads was given to Open, what it writes is queued. Three rules of
// crypto/tls shape it: an error of Read must be a bare net.Error that is Temporary to leave the connection usable, an
// error of Write is for ever, so there is none, and (0, nil) from Read spins.
type memConn struct {
	engine *tlsEngine // for callbacks, which are given the memConn
	peer   memAddr

	// Read side, used under tlsEngine.open.
	in      []byte // the rest of Open's src; never kept
	wait    func() error
	partial int // bytes of the record under way that Read has handed out
	missing int // bytes that still belong to it, once its header is known
	whole   int // length of the last record that it has handed out to its end
	header  [recordHeaderLen]byte

	// Write side. One ordered log: the wire order is the order of sealing, whoever seals.
	mu      sync.Mutex
	queue   []byte // waits for flush from queue[sent:]
	sent    int
	cut     int  // bytes at the front of queue[sent:] that end a record of which the first part was flushed
	muted   bool // nobody will flush: what is written is dropped
	nQueued atomic.Int64

	// What Seal writes is told from what an Open under way answers by its length, if that is enough to tell. Then it
	// goes to record, which belongs to the goroutine that seals, and takes no lock.
	established bool
	record      []byte

	// Otherwise, between collect and its end, what is written goes to sealing: Seal's record, and those answers.
	collecting bool
	sealing    []byte
	fresh      int // where in sealing that begins; before it lies what was queued, which the queue still holds
	writes     int // how often something was written there

	answers atomic.Int32   // writes that neither Seal nor CloseWrite has made
	alerted bool           // one of them was an alert
	last    tls.AlertError // its code, if it was sent in clear text
}

// wantRead is the only error that tls.Conn.Read survives: it must be returned as it is, not wrapped.
type wantRead struct{}

func (wantRead) Error() string   { return "bio: more input wanted" }
func (wantRead) Timeout() bool   { return true }
func (wantRead) Temporary() bool { return true }

var errWantRead net.Error = wantRead{}

// Read hands out at most the rest of one record. So crypto/tls never buffers a second one, and a call that returns data
// leaves no complete record behind in it.
func (m *memConn) Read(p []byte) (int, error) {
	for len(m.in) == 0 {
		if m.wait == nil {
			return 0, errWantRead
		}
		if err := m.wait(); err != nil {
			return 0, err
		}
	}
	if m.missing == 0 {
		n := copy(m.header[m.partial:], m.in)
		if n += m.partial; n < recordHeaderLen {
			return m.take(p, len(m.in)), nil
		}
		m.missing = recordHeaderLen - m.partial + int(binary.BigEndian.Uint16(m.header[3:]))
	}
	n := m.take(p, min(m.missing, len(m.in)))
	if m.missing -= n; m.missing == 0 {
		m.whole, m.partial = m.partial, 0
	}
	return n, nil
}

func (m *memConn) take(p []byte, most int) int {
	n := copy(p, m.in[:most])
	m.in = m.in[n:]
	m.partial += n
	return n
}

// longestAnswer is more than any record that crypto/tls writes by itself once the handshake is done: an alert, with the
// padding of TLS 1.2, or a key update.
const longestAnswer = 128

// Write takes all of p, which holds whole records.
func (m *memConn) Write(p []byte) (int, error) {
	if m.established && len(p) > longestAnswer && !m.collecting { // so this is Seal's goroutine
		m.takeQueue()
		m.record = append(m.record, p...)
		return len(p), nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.collecting:
		m.sealing = append(m.sealing, p...)
		m.writes++
	case !m.muted:
		m.answers.Add(1)
		m.noteAlert(p)
		m.enqueue(p)
	}
	return len(p), nil
}

// takeQueue moves what is queued to record: it was sealed before. Nothing is written meanwhile, crypto/tls sees to
// that.
func (m *memConn) takeQueue() {
	if m.nQueued.Load() == 0 {
		return
	}
	m.mu.Lock()
	m.record = append(m.record, m.queue[m.sent:]...)
	m.emptied()
	m.mu.Unlock()
}

// noteAlert looks for an alert in p, which holds whole records and was asked for by nobody. TLS 1.3 hides the type of
// an encrypted record, but no other that a handshake or an answer brings has this length.
func (m *memConn) noteAlert(p []byte) {
	const clear, encrypted13 = recordHeaderLen + 2, recordHeaderLen + 2 + 1 + 16
	for n := 0; len(p) > 0; p = p[n:] {
		n = recordLen(p)
		switch {
		case p[0] == recordAlert && n == clear:
			m.alerted, m.last = true, tls.AlertError(p[clear-1])
		case p[0] == recordAlert, p[0] == recordData && n == encrypted13:
			m.alerted = true
		}
	}
}

// enqueue appends p to the queue. What was flushed makes room first, or a queue that is never empty would grow for
// ever.
func (m *memConn) enqueue(p []byte) {
	if m.sent > 0 && len(m.queue)+len(p) > cap(m.queue) {
		m.queue = m.queue[:copy(m.queue, m.queue[m.sent:])]
		m.sent = 0
	}
	m.queue = append(m.queue, p...)
	m.nQueued.Store(int64(len(m.queue) - m.sent))
}

// collect makes what is queued and what is written from now on go to the end of dst.
func (m *memConn) collect(dst []byte) {
	m.mu.Lock()
	m.sealing = append(dst, m.queue[m.sent:]...)
	m.collecting, m.fresh, m.writes = true, len(m.sealing), 0
	m.mu.Unlock()
}

// collected ends collect and returns dst. own is how many of the writes the caller has made.
func (m *memConn) collected(own int) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.sealing
	m.endCollect(own)
	m.emptied()
	return out
}

// keep ends collect as if what was written had gone to the queue: dst is forgotten.
func (m *memConn) keep(own int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	written := m.sealing[m.fresh:]
	m.endCollect(own)
	if !m.muted {
		m.enqueue(written)
	}
}

func (m *memConn) endCollect(own int) {
	m.answers.Add(int32(m.writes - own))
	m.collecting, m.sealing = false, nil
}

// answered reports whether something was written since the last call that neither Seal nor CloseWrite had asked for.
// What is written during one of them counts when it has ended.
func (m *memConn) answered() bool { return m.answers.Load() > 0 && m.answers.Swap(0) > 0 }

// flush moves queued bytes to dst: whole records up to limit bytes, or limit bytes of a record that is longer.
func (m *memConn) flush(dst []byte, limit int) (out []byte, more bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rest := m.queue[m.sent:]
	n := len(rest)
	if limit > 0 && n > limit {
		n = m.recordsWithin(rest, limit)
	}
	dst = append(dst, rest[:n]...)
	if m.sent += n; m.sent == len(m.queue) {
		m.emptied()
		return dst, false
	}
	m.nQueued.Store(int64(len(m.queue) - m.sent))
	return dst, true
}

// recordsWithin returns how many bytes of rest, which is longer than limit, to take.
func (m *memConn) recordsWithin(rest []byte, limit int) int {
	end := m.cut
	for next := end; next <= limit; next = end + recordLen(rest[end:]) {
		end = next
	}
	switch {
	case end > limit:
		m.cut -= limit
		return limit
	case end == 0:
		m.cut = recordLen(rest) - limit
		return limit
	}
	m.cut = 0
	return end
}

// recordLen returns the length of the record at the start of p, which is whole.
func recordLen(p []byte) int { return recordHeaderLen + int(binary.BigEndian.Uint16(p[3:])) }

// emptied gives the queue's memory back: an idle connection holds none.
func (m *memConn) emptied() {
	m.queue, m.sent, m.cut = nil, 0, 0
	m.nQueued.Store(0)
}

// mute drops what will be written: there is nobody to flush it to.
func (m *memConn) mute() {
	m.mu.Lock()
	m.muted = true
	m.mu.Unlock()
}

// drop also drops what is queued.
func (m *memConn) drop() {
	m.mu.Lock()
	m.muted = true
	m.emptied()
	m.mu.Unlock()
}

func (m *memConn) queued() int { return int(m.nQueued.Load()) }

// alert reports whether an alert was sent, and its code if that was in clear text.
func (m *memConn) alert() (code tls.AlertError, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last, m.alerted
}

// crypto/tls calls these; there is nothing to do.
func (m *memConn) Close() error                     { return nil }
func (m *memConn) SetDeadline(time.Time) error      { return nil }
func (m *memConn) SetReadDeadline(time.Time) error  { return nil }
func (m *memConn) SetWriteDeadline(time.Time) error { return nil }
func (m *memConn) LocalAddr() net.Addr              { return memAddr("memory") }
func (m *memConn) RemoteAddr() net.Addr             { return m.peer }

// memAddr is an address for crypto/tls, which uses a peer's as the key of a session without a server name.
type memAddr string

func (a memAddr) Network() string { return "memory" }
func (a memAddr) String() string  { return string(a) }
