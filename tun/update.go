package tun

import (
	"fmt"
	"slices"

	"github.com/encase-tls/encase/tun/wire"
)

// control handles what the server says on a connection that carries packets.
func (c *Client) control(o *connection, t wire.Type, body []byte) error {
	if t != wire.TypeConfig {
		return fmt.Errorf("tun: %w: the server sends %v", wire.ErrMalformed, t)
	}
	cfg, err := wire.ParseConfig(body)
	if err != nil {
		return err
	}
	j := c.current.Load()
	if j == nil || j.session != o.session { // an answer to Hello that was given twice
		return nil
	}
	if cfg.Token != j.config.Token || !slices.Equal(cfg.Addresses, j.config.Addresses) {
		return fmt.Errorf("tun: %w: the server changes the session", wire.ErrMalformed)
	}
	switch latest := j.latest.Load().Revision; {
	case cfg.Revision > latest:
		j.offered.Store(&cfg)
	case cfg.Revision > 0: // the answer was lost
		o.say(wire.TypeConfigured, wire.AppendConfigured(nil, latest))
	}
	return nil
}

// update takes over what the server has said anew. If that fails, what was in force stays, and the server need not say
// it again: it would fail again.
func (c *Client) update(j *joined) {
	next, last := j.offered.Load(), j.latest.Load()
	if next == nil || next.Revision <= last.Revision {
		return
	}
	if err := c.configure(next); err != nil {
		c.log.Error("what the server has changed is not taken over", "error", err)
		kept := *last
		kept.Revision = next.Revision
		if next = &kept; c.configure(next) != nil {
			c.log.Error("the network is not as it was")
		}
	} else {
		c.log.Info("the server has changed the configuration", "routes", fmt.Sprint(next.Routes), "mtu", next.MTU)
	}
	j.latest.Store(next)
	if c.cfg.OnChange != nil {
		c.cfg.OnChange(c.dev.device.Name(), *next)
	}
	if a := j.active.Load(); a != nil {
		a.say(wire.TypeConfigured, wire.AppendConfigured(nil, next.Revision))
	}
}
