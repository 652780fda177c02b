package carrier

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// protocol marks the routes and rules of this package, so that they can be told from others.
	protocol = 0x6e

	// Rules are looked at before those of tunnels, see package network, and those of the kernel.
	priorityMain = 31000 // the main table, but not its ways through tunnels
	priorityPins = 31001 // what else is known of the way to a peer
	priorityStop = 31002 // nothing else

	// avoidGroup is the group of interfaces that frames do not leave by.
	avoidGroup = 0x656e

	// tables + the number of a device is its table of pins.
	tables = 0x656e0000

	queueLen    = 2000 // packets that wait for this program, in bursts
	addrGenNone = 1    // no link-local address: there is nobody to hear what it would say from there
)

// A host is what the machine has been told of a device.
type host struct {
	name  string
	index int
	table int

	mu    sync.Mutex // guards the following
	h     *netlink.Handle
	rules []*netlink.Rule
	pins  []netlink.Route
}

// openHost sets up a device. If it fails, nothing is left but what goes with the device.
func openHost(name string, index, mtu int, own []netip.Addr) (*host, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fault("netlink", err)
	}
	o := &host{name: name, index: index, table: tables + index&0xffff, h: h}
	if err = o.setUp(mtu, own); err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

// fault says what could not be done, and what that needs.
func fault(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("carrier: %s: %w; it needs CAP_NET_ADMIN", what, err)
	}
	return fmt.Errorf("carrier: %s: %w", what, err)
}

func (o *host) setUp(mtu int, own []netip.Addr) error {
	link, err := o.h.LinkByIndex(o.index)
	if err != nil {
		return fault("interface "+o.name, err)
	}
	if err := o.refuseLocal(own); err != nil {
		return err
	}
	if _, err := sweep(o.h, func(name string) bool { return name == o.name }); err != nil {
		return err
	}
	if err := o.h.LinkSetMTU(link, mtu); err != nil {
		return fault(fmt.Sprintf("MTU %d of %s", mtu, o.name), err)
	}
	if err := o.h.LinkSetTxQLen(link, queueLen); err != nil {
		return fault("queue length of "+o.name, err)
	}
	if err := o.h.LinkSetIP6AddrGenMode(link, addrGenNone); err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
		return fault("addresses of "+o.name, err)
	}
	if err := o.h.LinkSetUp(link); err != nil {
		return fault("setting "+o.name+" up", err)
	}
	for _, family := range familiesOf(own) {
		if err := o.addRules(family); err != nil {
			return err
		}
		forwardFrom(o.name, family)
	}
	return o.addRoutes(own)
}

// refuseLocal refuses addresses that the machine would keep for itself.
func (o *host) refuseLocal(own []netip.Addr) error {
	list, err := o.h.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return fault("addresses", err)
	}
	for _, a := range list {
		if has, _ := netip.AddrFromSlice(a.IP); slices.Contains(own, has.Unmap()) {
			return fmt.Errorf("carrier: %v is an address of this machine, and its packets do not get here; choose another",
				has.Unmap())
		}
	}
	return nil
}

// familiesOf returns the families of addresses, as netlink numbers them.
func familiesOf(own []netip.Addr) (list []int) {
	for _, a := range own {
		if f := familyOf(a); !slices.Contains(list, f) {
			list = append(list, f)
		}
	}
	return list
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}

// addRoutes leads packets for this end to the device.
func (o *host) addRoutes(own []netip.Addr) error {
	for _, a := range own {
		r := netlink.Route{LinkIndex: o.index, Dst: netOf(a), Scope: netlink.SCOPE_LINK, Protocol: protocol}
		err := o.h.RouteAdd(&r)
		if errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("carrier: there is a route to %v already: %w; choose another address, or remove it", a, err)
		}
		if err != nil {
			return fault(fmt.Sprintf("route to %v", a), err)
		}
	}
	return nil
}

func netOf(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

// addRules leads what comes from the device: by the main table unless that leads into a tunnel, by what is pinned in
// that case, and nowhere else. The check of where packets come from asks the same question the other way round.
func (o *host) addRules(family int) error {
	rule := func(priority, table int) *netlink.Rule {
		r := netlink.NewRule()
		r.Family, r.IifName, r.Priority, r.Table, r.Protocol = family, o.name, priority, table, protocol
		return r
	}
	main, pins := rule(priorityMain, unix.RT_TABLE_MAIN), rule(priorityPins, o.table)
	main.SuppressIfgroup = avoidGroup
	stop := rule(priorityStop, 0)
	stop.Type = unix.RTN_UNREACHABLE
	for _, r := range []*netlink.Rule{main, pins, stop} {
		o.rules = append(o.rules, r)
		if err := o.h.RuleAdd(r); err != nil {
			return fault(fmt.Sprintf("rule %v", r), err)
		}
	}
	return nil
}

// avoid keeps frames from leaving by an interface.
func (o *host) avoid(index int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	link, err := o.h.LinkByIndex(index)
	if err != nil {
		return fault(fmt.Sprintf("interface %d", index), err)
	}
	return fault("group of "+link.Attrs().Name, o.h.LinkSetGroup(link, avoidGroup))
}

// close takes away what does not go with the device.
func (o *host) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all error
	for _, r := range o.rules {
		if err := o.h.RuleDel(r); err != nil && !errors.Is(err, unix.ENOENT) {
			all = errors.Join(all, fault(fmt.Sprintf("removing the rule %v", r), err))
		}
	}
	for _, p := range o.pins {
		if err := o.h.RouteDel(&p); err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENODEV) {
			all = errors.Join(all, fault("removing the route to "+p.Dst.String(), err))
		}
	}
	o.h.Close()
	return all
}

// Sweep removes the rules that a program has left behind that was killed, and reports how many they were: those of
// devices that there are not any more.
func Sweep() (removed int, err error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return 0, fault("netlink", err)
	}
	defer h.Close()
	return sweep(h, func(name string) bool {
		_, err := h.LinkByName(name)
		return errors.As(err, new(netlink.LinkNotFoundError))
	})
}

// sweep removes the rules of this package for the devices with stale names.
func sweep(h *netlink.Handle, stale func(name string) bool) (removed int, err error) {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := h.RuleList(family)
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return removed, fault("rules", err)
		}
		for _, r := range list {
			if r.Protocol != protocol || !stale(r.IifName) {
				continue
			}
			if r.Family = family; h.RuleDel(&r) == nil {
				removed++
			}
		}
	}
	return removed, nil
}
