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
	peer memAddr

	// Read side, used under tlsEngine.open.
	in      []byte // the rest of Open's src; never kept
	wait    func() error
	partial int // bytes of the record under way that Read has handed out
	missing int // bytes that still belong to it, once its header is known
	header  [recordHeaderLen]byte

	// Write side. One ordered log: the wire order is the order of sealing, whoever seals.
	mu      sync.Mutex
	queue   []byte // waits for flush from queue[sent:]
	sent    int
	cut     int    // bytes at the front of queue[sent:] that end a record of which the first part was flushed
	sealing []byte // what Seal collects
	inSeal  bool
	last    tls.AlertError // code of the last alert that was written in clear text
	alerts  bool
	nQueued atomic.Int64
	nWrites atomic.Int64
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
		m.partial = 0
	}
	return n, nil
}

func (m *memConn) take(p []byte, most int) int {
	n := copy(p, m.in[:most])
	m.in = m.in[n:]
	m.partial += n
	return n
}

// Write takes all of p, which holds whole records.
func (m *memConn) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.nWrites.Add(1)
	if len(p) == recordHeaderLen+2 && p[0] == recordAlert {
		m.last, m.alerts = tls.AlertError(p[6]), true
	}
	if m.inSeal {
		m.sealing = append(m.sealing, p...)
	} else {
		m.queue = append(m.queue, p...)
		m.nQueued.Store(int64(len(m.queue) - m.sent))
	}
	return len(p), nil
}

// sealInto makes what is queued and what is written from now on go to the end of dst.
func (m *memConn) sealInto(dst []byte) {
	m.mu.Lock()
	if m.sent < len(m.queue) {
		dst = append(dst, m.queue[m.sent:]...)
		m.emptied()
	}
	m.sealing, m.inSeal = dst, true
	m.mu.Unlock()
}

// sealed returns what sealInto has collected.
func (m *memConn) sealed() []byte {
	m.mu.Lock()
	out := m.sealing
	m.sealing, m.inSeal = nil, false
	m.mu.Unlock()
	return out
}

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

func (m *memConn) drop() {
	m.mu.Lock()
	m.emptied()
	m.mu.Unlock()
}

func (m *memConn) queued() int  { return int(m.nQueued.Load()) }
func (m *memConn) wrote() int64 { return m.nWrites.Load() }

// alert returns the code of the last alert that was sent, if it was sent in clear text.
func (m *memConn) alert() (code tls.AlertError, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last, m.alerts
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
