package tun

import (
	"net/netip"
	"slices"
	"sync"
)

// A table says which session packets to an address belong to. It is safe for concurrent use.
type table struct {
	mu       sync.RWMutex
	hosts    map[netip.Addr]*session
	networks []network4or6 // the longest prefix first
}

type network4or6 struct {
	prefix  netip.Prefix
	session *session
}

// lookup returns the session that an address leads to, nil if there is none.
func (t *table) lookup(a netip.Addr) *session {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if s := t.hosts[a]; s != nil {
		return s
	}
	for _, n := range t.networks {
		if n.prefix.Contains(a) {
			return n.session
		}
	}
	return nil
}

// add leads addresses and networks to s, in the place of whom they led to before.
func (t *table) add(s *session, hosts []netip.Addr, networks []netip.Prefix) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hosts == nil {
		t.hosts = map[netip.Addr]*session{}
	}
	for _, a := range hosts {
		t.hosts[a] = s
	}
	for _, p := range networks {
		t.networks = slices.DeleteFunc(t.networks, func(n network4or6) bool { return n.prefix == p })
		t.networks = append(t.networks, network4or6{p, s})
	}
	slices.SortStableFunc(t.networks, func(a, b network4or6) int { return b.prefix.Bits() - a.prefix.Bits() })
}

// remove forgets what leads to s.
func (t *table) remove(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for a, o := range t.hosts {
		if o == s {
			delete(t.hosts, a)
		}
	}
	t.networks = slices.DeleteFunc(t.networks, func(n network4or6) bool { return n.session == s })
}
