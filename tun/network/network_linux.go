package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	// protocol marks the routes and rules of this package, so that those of an earlier run can be told from others.
	protocol = 0x6d

	// Rules are looked at before those of the kernel's main table.
	priorityMain   = 32000 // the main table, without its default routes
	priorityTunnel = 32001 // the tunnel's table

	// addrGenNone keeps the kernel from giving the interface a link-local address: there is no link, and nobody to hear
	// what it would say from there.
	addrGenNone = 1

	// lastResort is the metric of the route that lets nothing out.
	lastResort = 1 << 20
)

// A Network sets up interfaces in a network namespace. It is used by one goroutine at a time.
type Network struct {
	h       *netlink.Handle
	index   int // of the interface that was set up; 0: none
	applied Settings
}

// Open returns a Network for the namespace with a file such as /run/netns/red; empty means that of this program.
func Open(namespace string) (*Network, error) {
	if namespace == "" {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		return &Network{h: h}, fault("netlink", err)
	}
	ns, err := netns.GetFromPath(namespace)
	if err != nil {
		return nil, fmt.Errorf("network: the namespace %s: %w", namespace, err)
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	return &Network{h: h}, fault("netlink", err)
}

// fault says what could not be done, and what that needs.
func fault(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("network: %s: %w; it needs CAP_NET_ADMIN, or an interface that is so already", what, err)
	}
	return fmt.Errorf("network: %s: %w", what, err)
}

// Apply gives the interface with a number what s says, and takes from it what an earlier Apply gave it and s does not
// have. It can be called again; what is right already stays untouched.
func (n *Network) Apply(index int, s Settings) error {
	if err := s.check(); err != nil {
		return err
	}
	if s.Table == 0 {
		s.Table = int(s.Mark)
	}
	link, err := n.h.LinkByIndex(index)
	if err != nil {
		return fault(fmt.Sprintf("interface %d", index), err)
	}
	if err := n.setLink(link, &s); err != nil {
		return err
	}
	old := n.applied
	n.index, n.applied = index, s
	if err := n.setAddresses(link, old.Addresses, s.Addresses); err != nil {
		return err
	}
	if err := n.setRoutes(&old, &s); err != nil {
		return err
	}
	return n.setRules(&old, &s)
}

func (n *Network) setLink(link netlink.Link, s *Settings) error {
	a := link.Attrs()
	if s.MTU > 0 && a.MTU != s.MTU {
		if err := n.h.LinkSetMTU(link, s.MTU); err != nil {
			return fault(fmt.Sprintf("MTU %d of %s, which is %d", s.MTU, a.Name, a.MTU), err)
		}
	}
	if s.QueueLen > 0 && a.TxQLen != s.QueueLen {
		if err := n.h.LinkSetTxQLen(link, s.QueueLen); err != nil && !forbidden(err) { // it only costs speed
			return fault(fmt.Sprintf("queue length %d of %s", s.QueueLen, a.Name), err)
		}
	}
	if s.GSOMaxSize > 0 && int(a.GSOMaxSize) != s.GSOMaxSize {
		if err := n.h.LinkSetGSOMaxSize(link, s.GSOMaxSize); err != nil && !forbidden(err) {
			return fault(fmt.Sprintf("size of super-packets %d of %s", s.GSOMaxSize, a.Name), err)
		}
	}
	if a.Flags&net.FlagUp == 0 {
		if err := n.h.LinkSetIP6AddrGenMode(link, addrGenNone); err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
			return fault("addresses of "+a.Name, err)
		}
		return fault("setting "+a.Name+" up", n.h.LinkSetUp(link))
	}
	return nil
}

func (n *Network) setAddresses(link netlink.Link, old, want []netip.Prefix) error {
	for _, a := range want {
		if err := n.h.AddrReplace(link, address(a)); err != nil && !(forbidden(err) && n.hasAddress(link, a)) {
			return fault(fmt.Sprintf("address %v for %s", a, link.Attrs().Name), err)
		}
	}
	for _, a := range old {
		if slices.Contains(want, a) {
			continue
		}
		if err := n.h.AddrDel(link, address(a)); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) && !forbidden(err) {
			return fault(fmt.Sprintf("taking %v from %s", a, link.Attrs().Name), err)
		}
	}
	return nil
}

// address makes one for netlink. IPv6 addresses are used at once: nobody else is on the wire. Without an address of its
// own IPv4 would get one for everybody, which a tunnel has none of.
func address(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	} else {
		a.Broadcast = net.IPv4zero
	}
	return a
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// setRoutes adds the routes of s, and then removes those that only old has: there is no time without any.
func (n *Network) setRoutes(old, s *Settings) error {
	want := n.routes(s)
	for _, r := range want {
		if err := n.h.RouteReplace(&r); err != nil && !(forbidden(err) && n.hasRoute(&r)) {
			return fault("route to "+r.Dst.String(), err)
		}
	}
	for _, r := range n.routes(old) {
		same := func(o netlink.Route) bool {
			return o.Dst.String() == r.Dst.String() && o.Table == r.Table && o.Type == r.Type
		}
		if slices.ContainsFunc(want, same) {
			continue
		}
		if err := n.h.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENODEV) &&
			!forbidden(err) {
			return fault("removing the route to "+r.Dst.String(), err)
		}
	}
	return nil
}

// routes returns what netlink is to have for s.
func (n *Network) routes(s *Settings) (list []netlink.Route) {
	for _, p := range s.Routes {
		r := netlink.Route{LinkIndex: n.index, Dst: ipNet(p), Protocol: protocol, Scope: netlink.SCOPE_LINK,
			Table: unix.RT_TABLE_MAIN, Type: unix.RTN_UNICAST}
		if isDefault(p) && s.Mark != 0 {
			r.Table = s.Table
		}
		list = append(list, r)
		if isDefault(p) && s.KillSwitch {
			list = append(list, netlink.Route{Dst: ipNet(p), Protocol: protocol, Table: s.Table,
				Type: unix.RTN_UNREACHABLE, Priority: lastResort})
		}
	}
	return list
}

// setRules leads packets into the tunnel's table, for those families that have a default route there.
func (n *Network) setRules(old, s *Settings) error {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		had, wants := policy(old, family), policy(s, family)
		if had && (!wants || old.Table != s.Table || old.Mark != s.Mark) {
			if err := n.deleteRules(family, old); err != nil {
				return err
			}
		}
		if !wants {
			continue
		}
		for _, r := range rules(family, s) {
			if err := n.h.RuleAdd(r); err != nil && !errors.Is(err, unix.EEXIST) {
				return fault(fmt.Sprintf("rule %v", r), err)
			}
		}
		if family == netlink.FAMILY_V4 {
			if err := n.believeMarks(); err != nil {
				return err
			}
		}
	}
	return nil
}

func policy(s *Settings, family int) bool {
	return s.Mark != 0 && slices.ContainsFunc(s.Routes, func(r netip.Prefix) bool {
		return isDefault(r) && r.Addr().Is4() == (family == netlink.FAMILY_V4)
	})
}

// rules are: look into the main table, but not at its default routes; then whatever has not our mark looks into ours.
func rules(family int, s *Settings) []*netlink.Rule {
	main := netlink.NewRule()
	main.Family, main.Table, main.Priority, main.SuppressPrefixlen = family, unix.RT_TABLE_MAIN, priorityMain, 0
	main.Protocol = protocol
	tunnel := netlink.NewRule()
	tunnel.Family, tunnel.Table, tunnel.Priority = family, s.Table, priorityTunnel
	tunnel.Mark, tunnel.Invert, tunnel.Protocol = s.Mark, true, protocol
	return []*netlink.Rule{main, tunnel}
}

func (n *Network) deleteRules(family int, s *Settings) error {
	for _, r := range rules(family, s) {
		if err := n.h.RuleDel(r); err != nil && !errors.Is(err, unix.ENOENT) {
			return fault(fmt.Sprintf("removing the rule %v", r), err)
		}
	}
	return nil
}

// believeMarks makes the check of where packets come from (rp_filter) look at their marks: answers to the tunnel's own
// sockets come from where a packet without a mark would not go. It is left on: it changes nothing else.
func (n *Network) believeMarks() error {
	const file = "/proc/sys/net/ipv4/conf/all/src_valid_mark"
	if err := os.WriteFile(file, []byte("1"), 0); err != nil && !errors.Is(err, os.ErrNotExist) &&
		!errors.Is(err, unix.EROFS) {
		return fault(file, err)
	}
	return nil
}

// Clear takes away what Apply gave, the kill switch included. An interface that is gone has taken its part with it.
func (n *Network) Clear() error {
	if n.index == 0 {
		return nil
	}
	old, empty := n.applied, Settings{}
	err := errors.Join(n.setRules(&old, &empty), n.setRoutes(&old, &empty))
	if link, linkErr := n.h.LinkByIndex(n.index); linkErr == nil {
		err = errors.Join(err, n.setAddresses(link, old.Addresses, nil))
	}
	n.index, n.applied = 0, empty
	return err
}

// Sweep removes the rules, and the routes that lead nowhere, which an earlier program has left behind: one that was
// killed, or whose kill switch is still on.
func (n *Network) Sweep() (removed int, err error) {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, listErr := n.h.RuleList(family)
		if listErr != nil && !errors.Is(listErr, netlink.ErrDumpInterrupted) {
			return removed, fault("rules", listErr)
		}
		for _, r := range list {
			if r.Protocol != protocol {
				continue
			}
			r.Family = family
			if delErr := n.h.RuleDel(&r); delErr == nil {
				removed++
			}
		}
		count, sweepErr := n.sweepRoutes(family)
		removed += count
		err = errors.Join(err, sweepErr)
	}
	return removed, err
}

func (n *Network) sweepRoutes(family int) (removed int, err error) {
	filter := &netlink.Route{Protocol: protocol, Table: unix.RT_TABLE_UNSPEC}
	list, err := n.h.RouteListFiltered(family, filter, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return 0, fault("routes", err)
	}
	for _, r := range list {
		if r.Type == unix.RTN_UNREACHABLE && n.h.RouteDel(&r) == nil {
			removed++
		}
	}
	return removed, nil
}

// Close gives up the connection to the kernel. What was set up stays.
func (n *Network) Close() { n.h.Close() }
