// Package network gives a network interface its addresses, routes, rules and MTU, and takes them away again: what is
// left behind is what was there before. It speaks netlink, and names the interface by its number, in any network
// namespace.
//
// When all traffic is to go through a tunnel, that of the tunnel itself must not. The routes of the tunnel then stand
// in a table of their own, which a rule leads to for all packets but those with the mark of the tunnel's own sockets.
// Routes of the main table that are more special than a default route stay in force, so that the local network is in
// reach.
package network

import (
	"fmt"
	"net/netip"
)

// Settings are what an interface is to have.
type Settings struct {
	MTU        int // in bytes; 0: as it is
	QueueLen   int // packets that may wait for the program; 0: as it is
	GSOMaxSize int // the longest super-packet that the kernel makes, in bytes; 0: as it is

	Addresses []netip.Prefix
	Routes    []netip.Prefix // that lead through the interface

	// Mark, if not 0, is the mark (SO_MARK) of the tunnel's own sockets. Default routes are then policy, see the package
	// documentation. Without it they replace nothing, and go into the main table as they are.
	Mark uint32
	// Table is the number of the table for that; 0 means Mark.
	Table int
	// KillSwitch lets nothing out that a default route would have led into the tunnel when the tunnel is gone, until
	// Clear. It needs Mark.
	KillSwitch bool
}

func (s *Settings) check() error {
	if s.KillSwitch && s.Mark == 0 {
		return fmt.Errorf("network: a kill switch needs a mark for the tunnel's own sockets")
	}
	for _, a := range s.Addresses {
		if !a.IsValid() || a.Addr().Is4In6() || a.Addr().Zone() != "" {
			return fmt.Errorf("network: %v is no address with a prefix", a)
		}
	}
	for _, r := range s.Routes {
		if !r.IsValid() || r.Masked() != r {
			return fmt.Errorf("network: %v is no network; write %v", r, r.Masked())
		}
	}
	return nil
}

// isDefault reports whether a route is for everything of its family.
func isDefault(r netip.Prefix) bool { return r.Bits() == 0 }
