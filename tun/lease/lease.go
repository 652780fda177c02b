// Package lease gives the clients of a tunnel their addresses: each the same as before, as long as there is room, also
// after the server was started anew.
package lease

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrFull is wrapped by the error of Acquire when all addresses are in use.
var ErrFull = errors.New("all addresses are in use")

// A Lease is what a client has.
type Lease struct {
	Client    string       `json:"client"`
	Addresses []netip.Addr `json:"addresses"` // one of each pool, in the order of the pools
	Seen      time.Time    `json:"seen"`      // when it was last acquired or released
	InUse     bool         `json:"-"`

	order uint64 // of Book.order when it was Seen: clocks may be set back
}

// A Book knows who has which addresses. It is safe for concurrent use.
type Book struct {
	pools []netip.Prefix
	file  string

	mu     sync.Mutex
	leases map[string]*Lease
	taken  map[netip.Addr]string // by whom
	order  uint64                // counts what happens
	dirty  bool
}

// maxPool bounds how many addresses are looked through in search of a free one.
const maxPool = 1 << 20

// Open returns a Book of pools: at most one of IPv4 and one of IPv6. reserved addresses, such as the server's own, are
// given to nobody. What was written to file before is taken over, where it still fits; an empty file is none.
func Open(file string, pools []netip.Prefix, reserved ...netip.Addr) (*Book, error) {
	b := &Book{pools: pools, file: file, leases: map[string]*Lease{}, taken: map[netip.Addr]string{}}
	if err := b.checkPools(); err != nil {
		return nil, err
	}
	for _, a := range reserved {
		b.taken[a] = "(reserved)"
	}
	if file == "" {
		return b, nil
	}
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return b, nil
	case err != nil:
		return nil, fmt.Errorf("lease: %w", err)
	}
	var list []Lease
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("lease: %s: %w; mend it, or remove it: clients may get other addresses then", file, err)
	}
	slices.SortStableFunc(list, func(x, y Lease) int { return x.Seen.Compare(y.Seen) })
	for _, l := range list {
		b.restore(l)
	}
	return b, nil
}

func (b *Book) checkPools() error {
	var seen [2]bool
	for _, p := range b.pools {
		family := 0
		if p.Addr().Is6() {
			family = 1
		}
		switch {
		case !p.IsValid() || p.Masked() != p:
			return fmt.Errorf("lease: the pool %v has bits behind its prefix; write %v", p, p.Masked())
		case seen[family]:
			return fmt.Errorf("lease: two pools of the same family, %v is one of them", p)
		case p.Addr().BitLen()-p.Bits() < 2:
			return fmt.Errorf("lease: the pool %v has no room for clients", p)
		}
		seen[family] = true
	}
	return nil
}

// restore takes over a lease from a file, with those of its addresses that are still to be had.
func (b *Book) restore(l Lease) {
	if l.Client == "" || b.leases[l.Client] != nil {
		return
	}
	addresses := make([]netip.Addr, len(b.pools))
	for _, a := range l.Addresses {
		for i, p := range b.pools {
			if usable(p, a) && b.taken[a] == "" {
				addresses[i] = a
				b.taken[a] = l.Client
			}
		}
	}
	l.Addresses = addresses
	b.order++
	l.order = b.order
	b.leases[l.Client] = &l
}

// usable reports whether a is an address of p that a client can have: neither the first, which is the network's, nor
// the last of IPv4, which is everybody's.
func usable(p netip.Prefix, a netip.Addr) bool {
	return p.Contains(a) && a != p.Addr() && !(a.Is4() && !p.Contains(a.Next()))
}

// Acquire gives a client its addresses, those in fixed if there are any. A client that has its lease in use gets it
// again: who else uses it is for the caller to end. The error wraps ErrFull if there is no address left.
func (b *Book) Acquire(client string, fixed []netip.Addr, now time.Time) (Lease, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.leases[client]
	if l == nil {
		l = &Lease{Client: client, Addresses: make([]netip.Addr, len(b.pools))}
	}
	if err := b.fix(l, fixed); err != nil {
		return Lease{}, err
	}
	for i, p := range b.pools {
		if l.Addresses[i].IsValid() {
			continue
		}
		a, err := b.find(p)
		if err != nil {
			b.forgetUnless(l)
			return Lease{}, err
		}
		l.Addresses[i] = a
		b.taken[a] = client
	}
	b.see(l, true, now)
	b.leases[client] = l
	b.dirty = true
	return l.copy(), nil
}

// fix gives l the addresses that its client must have.
func (b *Book) fix(l *Lease, fixed []netip.Addr) error {
	for _, a := range fixed {
		i := slices.IndexFunc(b.pools, func(p netip.Prefix) bool { return usable(p, a) })
		if i < 0 {
			return fmt.Errorf("lease: %v, which is fixed for %s, is in no pool (%v)", a, l.Client, b.pools)
		}
		if owner := b.taken[a]; owner != "" && owner != l.Client {
			other := b.leases[owner]
			if other == nil || other.InUse {
				return fmt.Errorf("lease: %v, which is fixed for %s, is in use by %s", a, l.Client, owner)
			}
			b.drop(other)
		}
		if old := l.Addresses[i]; old.IsValid() && old != a {
			delete(b.taken, old)
		}
		l.Addresses[i] = a
		b.taken[a] = l.Client
	}
	return nil
}

// find returns a free address: one that nobody has, or else that of the client that was away longest.
func (b *Book) find(p netip.Prefix) (netip.Addr, error) {
	a := p.Addr().Next()
	for range maxPool {
		if !usable(p, a) {
			break
		}
		if b.taken[a] == "" {
			return a, nil
		}
		a = a.Next()
	}
	var oldest *Lease
	for _, l := range b.leases {
		if !l.InUse && slices.ContainsFunc(l.Addresses, p.Contains) && (oldest == nil || l.order < oldest.order) {
			oldest = l
		}
	}
	if oldest == nil {
		return netip.Addr{}, fmt.Errorf("lease: %w: the pool %v is too small for its clients", ErrFull, p)
	}
	i := slices.IndexFunc(oldest.Addresses, p.Contains)
	a = oldest.Addresses[i]
	b.drop(oldest)
	return a, nil
}

func (b *Book) drop(l *Lease) {
	for _, a := range l.Addresses {
		delete(b.taken, a)
	}
	delete(b.leases, l.Client)
}

// forgetUnless takes back what a lease that was not made has taken, unless the client had it before.
func (b *Book) forgetUnless(l *Lease) {
	if b.leases[l.Client] == nil {
		b.drop(l)
	}
}

// Release says that a client has gone. Its addresses stay its own as long as nobody else needs them.
func (b *Book) Release(client string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.leases[client]; l != nil {
		b.see(l, false, now)
		b.dirty = true
	}
}

func (b *Book) see(l *Lease, inUse bool, now time.Time) {
	b.order++
	l.InUse, l.Seen, l.order = inUse, now, b.order
}

func (l *Lease) copy() Lease {
	c := *l
	c.Addresses = slices.Clone(l.Addresses)
	return c
}

// List returns all leases, by client.
func (b *Book) List() []Lease {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]Lease, 0, len(b.leases))
	for _, l := range b.leases {
		list = append(list, l.copy())
	}
	slices.SortFunc(list, func(x, y Lease) int { return strings.Compare(x.Client, y.Client) })
	return list
}

// Save writes the leases to the file if something has changed: whole, or not at all.
func (b *Book) Save() error {
	b.mu.Lock()
	dirty := b.dirty && b.file != ""
	b.dirty = false
	b.mu.Unlock()
	if !dirty {
		return nil
	}
	err := b.save()
	if err != nil {
		b.mu.Lock()
		b.dirty = true
		b.mu.Unlock()
		return fmt.Errorf("lease: %w", err)
	}
	return nil
}

func (b *Book) save() error {
	data, err := json.MarshalIndent(b.List(), "", " ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(b.file), filepath.Base(b.file)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // unless it has been renamed
	_, err = f.Write(append(data, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), b.file)
	}
	return err
}
