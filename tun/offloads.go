package tun

import (
	"log/slog"
	"strings"

	"github.com/encase-tls/encase/tun/device"
	"github.com/encase-tls/encase/wrap/datagram"
)

// asConfigured is the reason of what nobody has to be told: it is in the configuration.
const asConfigured = "as configured"

// warn logs which offloads have been turned off since it was called last, and why. One goroutine calls it.
func (o *opened) warn(log *slog.Logger) {
	all := o.device.Withheld()
	for _, w := range all[min(o.warned, len(all)):] {
		if w.Why != asConfigured {
			log.Warn("an offload of the interface is off, which costs speed but no data", "offload", w.Offload, "reason", w.Why)
		}
	}
	o.warned = len(all)
}

// socketOffloads returns what the kernel does for the socket of a connection of datagrams, and what it does not.
func (c *connection) socketOffloads() (on string, off []device.Withheld) {
	d, ok := c.conn.(*datagram.Conn)
	if !ok {
		return "", nil
	}
	gso, gro, withheld := d.Offloads()
	var names []string
	if gso {
		names = append(names, "gso")
	}
	if gro {
		names = append(names, "gro")
	}
	for _, w := range withheld {
		off = append(off, device.Withheld{Offload: strings.ToLower(w.Offload), Why: w.Err.Error()})
	}
	if on = strings.Join(names, " "); on == "" && off != nil {
		on = "off"
	}
	return on, off
}
