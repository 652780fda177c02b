package network

import "net/netip"

// A Path is the way that packets to an address take out of this machine. The zero Path says that there is none.
type Path struct {
	Source    netip.Addr // of this machine, where such packets come from; without a zone
	Gateway   netip.Addr // the next machine on the way; without a zone; invalid: the address is on the link
	Interface int        // the number of the interface
}
