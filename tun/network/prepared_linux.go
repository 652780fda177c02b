package network

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// An interface may have been prepared by an administrator for a program that has no privileges: what is there already,
// and as it is to be, needs none, and is not taken away at the end.

// forbidden reports whether err says that this program may not do it.
func forbidden(err error) bool { return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) }

// hasAddress reports whether the interface has an address with its prefix.
func (n *Network) hasAddress(link netlink.Link, want netip.Prefix) bool {
	list, err := n.h.AddrList(link, family(want.Addr()))
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return false
	}
	net := ipNet(want)
	return slices.ContainsFunc(list, func(a netlink.Addr) bool {
		return a.IP.Equal(net.IP) && slices.Equal(a.Mask, net.Mask)
	})
}

// hasRoute reports whether there is a route to the same place through the same interface.
func (n *Network) hasRoute(want *netlink.Route) bool {
	filter := &netlink.Route{LinkIndex: want.LinkIndex, Dst: want.Dst, Table: want.Table, Type: want.Type}
	to, _ := netip.AddrFromSlice(want.Dst.IP)
	list, err := n.h.RouteListFiltered(family(to.Unmap()), filter,
		netlink.RT_FILTER_OIF|netlink.RT_FILTER_DST|netlink.RT_FILTER_TABLE|netlink.RT_FILTER_TYPE)
	return err == nil && len(list) > 0
}

func family(a netip.Addr) int {
	if a.Is4() {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}
