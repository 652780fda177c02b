package carrier

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// least4 and least6 are what a report can make of an MTU, and no less.
	// https://www.rfc-editor.org/rfc/rfc1122#section-3.3.3
	// https://www.rfc-editor.org/rfc/rfc8200#section-5
	least4 = 576
	least6 = 1280

	// pathLife is how long a report counts. https://www.rfc-editor.org/rfc/rfc1191#section-6.3
	pathLife = 10 * time.Minute

	// maxPaths bounds what reports, which anybody may make up, take of memory.
	maxPaths = 1024
)

// paths are the peers to which the path is narrower than the device. The zero value is ready.
type paths struct {
	some atomic.Bool // there are any: most often there are none, and nobody has to look

	mu    sync.Mutex
	known map[netip.Addr]path
}

type path struct {
	mtu   int
	until time.Time
}

// narrow takes in that the path to a peer carries packets of mtu bytes, and reports whether that is news.
func (s *paths) narrow(to netip.Addr, mtu int, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.known[to]
	if ok && old.mtu <= mtu && now.Before(old.until) {
		return false
	}
	if !ok && len(s.known) >= maxPaths && !s.forget(now) {
		return false
	}
	if s.known == nil {
		s.known = map[netip.Addr]path{}
	}
	s.known[to] = path{mtu, now.Add(pathLife)}
	s.some.Store(true)
	return true
}

// forget drops what is too old, and reports whether there is room.
func (s *paths) forget(now time.Time) bool {
	for a, p := range s.known {
		if !now.Before(p.until) {
			delete(s.known, a)
		}
	}
	return len(s.known) < maxPaths
}

// mtu returns the longest packet for a peer, most if nothing else is known.
func (s *paths) mtu(to netip.Addr, most int) int {
	if !s.some.Load() {
		return most
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.known[to]
	if !ok || !time.Now().Before(p.until) {
		return most
	}
	return min(p.mtu, most)
}
