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
	limits := admission.Limits{HelloRate: get[int](doc, "limits.hellos_per_address"),
		AdmitRate: get[int](doc, "limits.handshakes")}
	t := &tls.Config{
		MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: cfg.who.roots,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return d.pair.Load(), nil },
	}
	s := tun.ServerConfig{
		Interface: cfg.iface, Addresses: cfg.addresses, Pools: cfg.pools, LeaseFile: get[string](doc, "server.lease_file"),
		Authorize: d.policy.authorize, Routes: cfg.push.routes, DNS: cfg.push.dns, Domains: cfg.push.domains,
		Keepalive: get[time.Duration](doc, "server.keepalive"), Dead: get[time.Duration](doc, "server.dead"),
		Rekey: get[time.Duration](doc, "server.rekey"), ClientToClient: get[bool](doc, "server.client_to_client"),
		MaxClients: get[int](doc, "limits.max_clients"), MaxHalfOpen: get[int](doc, "limits.max_half_open"),
		QueueLimit: get[int](doc, "limits.queue"), QueueTarget: get[time.Duration](doc, "limits.queue_target"), Log: d.log,
	}
	for i := range cfg.listens {
		e, err := cfg.listens[i].entrance(t, limits)
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
	dial := &dialer{mark: mark, find: newResolver(mark), tls: &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: cfg.who.roots,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return d.pair.Load(), nil },
	}}
	host, _ := os.Hostname()
	c := tun.ClientConfig{
		Interface: cfg.iface, FallbackAfter: get[time.Duration](doc, "peer[0].fallback_after"),
		Routes: get[[]netip.Prefix](doc, "interface.routes"), Mark: mark, KillSwitch: get[bool](doc, "interface.kill_switch"),
		Name: host, Program: "encase " + d.version, OnUp: d.up, OnDown: d.down,
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

func (d *daemon) down(string) {
	d.tell(doPreDown)
	d.tell(doRestore)
}
