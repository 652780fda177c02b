package carrier

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// reach pins the way to a peer that the machine would take if there were no tunnel, for the time when a route of a
// tunnel covers it. Without one there is nothing to do, and no error: there may be a way later.
func (o *host) reach(peer netip.Addr) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	r, err := o.way(peer)
	if err != nil || r == nil {
		return err
	}
	pin := netlink.Route{LinkIndex: r.LinkIndex, Gw: r.Gw, Via: r.Via, MultiPath: r.MultiPath, Scope: r.Scope,
		Flags: r.Flags, MTU: r.MTU, Dst: netOf(peer), Table: o.table, Protocol: protocol}
	if err := o.h.RouteReplace(&pin); err != nil {
		return fault(fmt.Sprintf("pinning the way to %v", peer), err)
	}
	same := func(p netlink.Route) bool { return p.Dst.IP.Equal(pin.Dst.IP) }
	o.pins = append(slices.DeleteFunc(o.pins, same), pin)
	return nil
}

// way returns the best route of the main table to a peer that leads through no tunnel, nil if there is none.
func (o *host) way(peer netip.Addr) (best *netlink.Route, err error) {
	list, err := o.h.RouteListFiltered(familyOf(peer), &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fault("routes", err)
	}
	avoided, err := o.avoided()
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		usable := r.Type == unix.RTN_UNICAST && (r.Dst == nil || r.Dst.Contains(peer.AsSlice())) && !avoided[r.LinkIndex]
		if usable && (best == nil || better(&r, best)) {
			best = &r
		}
	}
	return best, nil
}

// avoided returns the numbers of the interfaces that frames do not leave by.
func (o *host) avoided() (map[int]bool, error) {
	links, err := o.h.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fault("interfaces", err)
	}
	set := map[int]bool{o.index: true}
	for _, l := range links {
		if l.Attrs().Group == avoidGroup {
			set[l.Attrs().Index] = true
		}
	}
	return set, nil
}

// better reports whether the kernel would choose a before b.
func better(a, b *netlink.Route) bool {
	if m, n := bitsOf(a), bitsOf(b); m != n {
		return m > n
	}
	return a.Priority < b.Priority
}

func bitsOf(r *netlink.Route) int {
	if r.Dst == nil {
		return 0
	}
	n, _ := r.Dst.Mask.Size()
	return n
}
