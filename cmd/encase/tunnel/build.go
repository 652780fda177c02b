package tunnel

import (
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/encase-tls/encase/tun"
	"github.com/encase-tls/encase/tun/wire"
	"github.com/encase-tls/encase/wrap/admission"
)

// newServer makes a server: its sockets and its interface.
func (d *daemon) newServer(cfg *config) (*tun.Server, error) {
	doc := cfg.doc
	limits := cfg.limits()
	t := &tls.Config{
		MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: cfg.who.roots,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return d.pair.Load(), nil },
	}
	s := tun.ServerConfig{
		Interface: cfg.iface, Addresses: cfg.addresses, Pools: cfg.pools, LeaseFile: get[string](doc, "server.lease_file"),
		Authorize: d.policy.authorize, Push: cfg.push.tun(),
		ClientToClient: between(get[string](doc, "server.client_to_client")),
		Keepalive:      get[time.Duration](doc, "server.keepalive"), Dead: get[time.Duration](doc, "server.dead"),
		Rekey: get[time.Duration](doc, "server.rekey"), Limits: cfg.limits(),
		QueueTarget: get[time.Duration](doc, "limits.queue_target"), Log: d.log,
	}
	for i := range cfg.listens {
		e, err := cfg.listens[i].entrance(t, admission.Limits{HelloRate: limits.Rate, AdmitRate: limits.RateAll},
			d.frames)
		if err != nil {
			closeEntrances(s.Entrances)
			return nil, err
		}
		s.Entrances = append(s.Entrances, e)
		d.log.Info("listening", "address", cfg.listens[i].String(), "codec", e.Codec)
	}
	out, err := tun.NewServer(s)
	if err != nil {
		closeEntrances(s.Entrances)
	}
	return out, err
}

// limits returns what strangers and clients may cost.
func (c *config) limits() tun.Limits {
	d := c.doc
	return tun.Limits{
		HalfOpen: get[int](d, "limits.max_half_open"), PerAddress: get[int](d, "limits.half_open_per_address"),
		Rate: get[int](d, "limits.hellos_per_address"), RateAll: get[int](d, "limits.handshakes"),
		Clients: get[int](d, "limits.max_clients"), SameName: get[int](d, "limits.max_same_cert"),
		KeepOld: get[string](d, "limits.same_cert") == "refuse",
		Queue:   get[int](d, "limits.queue"), QueueAll: get[int](d, "limits.queue_all"),
	}
}

// between returns what server.client_to_client stands for.
func between(s string) tun.ClientToClient {
	return map[string]tun.ClientToClient{"direct": tun.Direct, "kernel": tun.ByKernel}[s]
}

func closeEntrances(list []tun.Entrance) {
	for _, e := range list {
		for _, l := range []net.Listener{e.Stream, e.Datagrams} {
			if l != nil {
				l.Close()
			}
		}
	}
}

// newClient makes a client and its interface.
func (d *daemon) newClient(cfg *config) (*tun.Client, error) {
	doc := cfg.doc
	mark := uint32(get[int](doc, "interface.fwmark"))
	dial := &dialer{mark: mark, find: newResolver(mark), frames: d.frames, tls: &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: cfg.who.roots,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return d.pair.Load(), nil },
	}}
	host, _ := os.Hostname()
	c := tun.ClientConfig{
		Interface: cfg.iface, FallbackAfter: get[time.Duration](doc, "peer[0].fallback_after"),
		Routes: get[[]netip.Prefix](doc, "interface.routes"), Mark: mark, KillSwitch: get[bool](doc, "interface.kill_switch"),
		Name: host, Program: "encase " + d.version, OnUp: d.up, OnChange: d.changed, OnDown: d.down,
		QueueLimit: get[int](doc, "limits.queue"), QueueTarget: get[time.Duration](doc, "limits.queue_target"), Log: d.log,
	}
	if doc.has("interface.accept_routes") {
		c.Accept = get[[]netip.Prefix](doc, "interface.accept_routes")
	}
	for _, e := range cfg.endpoints {
		c.Endpoints = append(c.Endpoints, dial.endpoint(e))
	}
	return tun.NewClient(c)
}

// up is told that a client has its addresses. What fails here does not end the tunnel.
func (d *daemon) up(_ string, c wire.Config) error {
	if err := d.steward.ask(stewardRequest{Do: doNames, Servers: c.DNS, Domains: c.Domains}); err != nil {
		d.log.Error("name servers are not set", "error", err)
	}
	d.tell(doPostUp)
	return nil
}

// changed is told that the server has changed what a client is to be.
func (d *daemon) changed(_ string, c wire.Config) {
	do := stewardRequest{Do: doNames, Servers: c.DNS, Domains: c.Domains}
	if len(c.DNS) == 0 {
		do = stewardRequest{Do: doRestore}
	}
	if err := d.steward.ask(do); err != nil {
		d.log.Error("name servers are not changed", "error", err)
	}
}

func (d *daemon) down(string) {
	d.tell(doPreDown)
	d.tell(doRestore)
}
