package tunnel

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/encase-tls/encase/cmd/encase/conf"
	"github.com/encase-tls/encase/tun"
	"github.com/encase-tls/encase/tun/wire"
)

// A policy says who is let in and what they get. It is replaced in parts while the server runs.
type policy struct {
	bans  *bans
	clock func() time.Time // what dates are compared with; nil: time.Now

	mu      sync.Mutex
	clients map[string]listed
	refuses bool
	revoked *revocations
}

// set takes over what a configuration says.
func (p *policy) set(c *config) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clients, p.refuses, p.revoked = c.clients, c.refuses, c.who.revoked
}

// revocations returns the lists that count, nil if none are asked.
func (p *policy) revocations() *revocations {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.revoked
}

func (p *policy) now() time.Time {
	if p.clock != nil {
		return p.clock()
	}
	return time.Now()
}

// authorize is tun.ServerConfig.Authorize.
func (p *policy) authorize(id tun.Identity) (tun.Grant, error) {
	now := p.now()
	p.mu.Lock()
	client, known := p.clients[id.Name]
	revoked, refuses := p.revoked, p.refuses
	p.mu.Unlock()
	cert := id.Certificate
	if now.After(cert.NotAfter) {
		return tun.Grant{}, refusal(wire.ReasonRevoked, fmt.Errorf("the certificate has expired on %s", conf.Date(cert.NotAfter)))
	}
	if revoked != nil {
		if err := revoked.check(cert, now); err != nil {
			return tun.Grant{}, refusal(wire.ReasonRevoked, err)
		}
	}
	switch {
	case p.bans.of(id.Name, addressOf(id.From), now):
		return tun.Grant{}, refusal(wire.ReasonRefused, fmt.Errorf("%s is banned", id.Name))
	case client.disabled:
		return tun.Grant{}, refusal(wire.ReasonRefused, fmt.Errorf("%s is disabled in the configuration", id.Name))
	case !known && refuses:
		return tun.Grant{}, refusal(wire.ReasonRefused, fmt.Errorf("%s is not listed in the configuration", id.Name))
	}
	return client.grant, nil
}

// refusal tells the client the reason, and the log more.
func refusal(r wire.Reason, err error) error { return fmt.Errorf("%w: %w", &wire.Bye{Reason: r}, err) }

func addressOf(a net.Addr) netip.Addr {
	if a == nil {
		return netip.Addr{}
	}
	p, _ := netip.ParseAddrPort(a.String())
	return p.Addr().Unmap().WithZone("")
}
