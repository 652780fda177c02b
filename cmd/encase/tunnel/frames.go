package tunnel

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/encase-tls/encase/tun/carrier"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/datagram"
)

// overFrames is the carrier of endpoints whose frames are IP packets.
const overFrames = "tun253"

// readCarrier reads what all of them have in common.
func (c *config) readCarrier() {
	d := c.doc
	own := get[[]netip.Addr](d, "carrier.addresses")
	c.frames = &carrier.Config{Name: get[string](d, "carrier.name"), Addresses: own, MTU: get[int](d, "carrier.mtu"),
		Queue: socketBuffer}
	if err := carrier.CheckName(c.frames.Name); err != nil {
		d.wrong("carrier.name", "%v", err)
	} else if c.frames.Name == c.iface.Name {
		d.wrong("carrier.name", "is that of the tunnel's interface; choose another")
	}
	for i, a := range own {
		switch err := carrier.CheckAddress(a); {
		case err != nil:
			d.wrong("carrier.addresses", "%v", err)
		case slices.Contains(own[:i], a):
			d.wrong("carrier.addresses", "%v is there twice; take one out", a)
		}
	}
}

// checkCarrier reports what does not fit together: a carrier that nobody uses, or one that is missing.
func (c *config) checkCarrier() {
	d := c.doc
	all := slices.Concat(c.listens, c.endpoints)
	used := slices.ContainsFunc(all, func(e endpoint) bool { return e.carrier == overFrames })
	switch {
	case used && !d.has("carrier.addresses"):
		d.wrong("carrier", `needs addresses for carrier = "tun253"; write: addresses = ["198.18.0.2"]`)
	case !used && d.has("carrier"):
		d.wrong("carrier", `has no effect without carrier = "tun253"; take the table out`)
	}
	inside := slices.Concat(c.addresses, c.pools)
	for _, a := range c.frames.Addresses {
		if i := slices.IndexFunc(inside, func(p netip.Prefix) bool { return p.Masked().Contains(a) }); i >= 0 {
			d.wrong("carrier.addresses", "%v is in the tunnel (%v), and frames travel outside of it; choose another", a,
				inside[i].Masked())
		}
	}
	if !used {
		c.frames = nil
	}
}

// readFrames reads the address of an endpoint whose frames are IP packets.
func (c *config) readFrames(e *endpoint) {
	d, at := c.doc, e.path+".address"
	own := get[[]netip.Addr](d, "carrier.addresses")
	e.host = e.address
	a, err := netip.ParseAddr(e.address)
	same := func(o netip.Addr) bool { return o.Is4() == a.Is4() }
	switch {
	case c.side == server && len(own) == 0: // which checkCarrier reports
	case c.side == server && (err != nil || !slices.Contains(own, a)):
		d.wrong(at, "%q is not in carrier.addresses, which are %v; name one of them, without a port", e.address, own)
	case c.side == server:
	case err != nil && !isHostName(e.address):
		d.wrong(at, `%q is no host; write "198.18.0.1" or "vpn.example.net", without a port`, e.address)
	case err == nil && carrier.CheckAddress(a) != nil:
		d.wrong(at, "%v", carrier.CheckAddress(a))
	case err == nil && slices.Contains(own, a):
		d.wrong(at, "%v is in carrier.addresses, the addresses of this end; write that of the server", a)
	case err == nil && len(own) > 0 && !slices.ContainsFunc(own, same):
		d.wrong("carrier.addresses", "%v cannot be reached from %v; add an address of its family", a, own)
	}
}

// isHostName reports whether a text can be the name of a host.
func isHostName(s string) bool {
	for _, c := range []byte(s) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
		if !letter && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return s != ""
}

// openFrames makes the device for frames as IP packets, if there are any.
func (d *daemon) openFrames(cfg *config) (err error) {
	if cfg.frames == nil {
		return nil
	}
	settings := *cfg.frames
	settings.Warn = func(err error) { d.log.Warn("frames may not arrive", "error", err) }
	if d.frames, err = carrier.Open(settings); err != nil {
		return err
	}
	d.log.Info("frames travel as IP packets", "interface", d.frames.Name(), "addresses", fmt.Sprint(d.frames.Addresses()))
	return nil
}

// keepOut sees to it that frames never go into the tunnel, whose interface is there, and that the daemon ends if their
// own interface does.
func (d *daemon) keepOut(cfg *config) error {
	if d.frames == nil {
		return nil
	}
	if cfg.iface.Namespace == "" { // else no route of the tunnel is one of theirs
		link, err := net.InterfaceByName(cfg.iface.Name)
		if err != nil {
			return fmt.Errorf("the interface of the tunnel: %w", err)
		}
		if err := d.frames.Avoid(link.Index); err != nil {
			return err
		}
	}
	go func() {
		<-d.frames.Ended()
		d.stop(d.frames.Err())
	}()
	return nil
}

func (d *daemon) closeFrames() {
	if d.frames == nil {
		return
	}
	if err := d.frames.Close(); err != nil {
		d.log.Warn("network settings are left behind", "error", err)
	}
}

// listenFrames returns an interface, which is nil if there is an error.
func (e *endpoint) listenFrames(d *carrier.Device, cfg *datagram.Config, o datagram.ListenOptions) (net.Listener,
	error) {
	a, err := netip.ParseAddr(e.address)
	if err != nil {
		return nil, err
	}
	conn, err := d.Listen(a)
	if err != nil {
		return nil, err
	}
	l, err := datagram.NewListener(conn, cfg, o)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return l, nil
}

// viaFrames connects to a server by IP packets.
func (d *dialer) viaFrames(ctx context.Context, e *endpoint, t *tls.Config, to netip.Addr) (net.Conn, error) {
	conn, err := d.frames.Dial(to)
	if err != nil {
		return nil, err
	}
	c, err := datagram.Client(wrap.Datagram(conn, nil, conn.MTU()), e.datagramConfig(t, 0))
	if err != nil {
		conn.Close()
		return nil, err
	}
	if err := c.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}
