package tunnel

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
)

// A resolver finds the addresses of servers, anew each time. Its questions stay out of the tunnel, which may be down;
// and if they are not answered, because the name servers are those in the tunnel, the last answer counts.
type resolver struct {
	net net.Resolver

	mu    sync.Mutex
	known map[string][]netip.Addr
}

func newResolver(mark uint32) *resolver {
	r := &resolver{known: map[string][]netip.Addr{}}
	if mark != 0 {
		r.net.PreferGo = true
		d := net.Dialer{Control: marked(mark)}
		r.net.Dial = d.DialContext
	}
	return r
}

// lookup returns the addresses of a host, at least one.
func (r *resolver) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{numbered(a)}, nil
	}
	list, err := r.net.LookupNetIP(ctx, "ip", host)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil && len(list) > 0 {
		for i := range list {
			list[i] = list[i].Unmap()
		}
		r.known[host] = list
	} else if r.known[host] == nil {
		return nil, fmt.Errorf("the name %s has no address: %w", host, err)
	}
	return slices.Clone(r.known[host]), nil
}

// numbered returns an address whose zone, if it has one, is the number of the interface instead of its name. The name may
// be that of another interface now, such as one that was taken out and put in again, and package net notices that only
// after a minute.
func numbered(a netip.Addr) netip.Addr {
	if a.Zone() == "" {
		return a
	}
	i, err := net.InterfaceByName(a.Zone())
	if err != nil {
		return a
	}
	return a.WithZone(strconv.Itoa(i.Index))
}
