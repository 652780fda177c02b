package tunnel

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/encase-tls/encase/cmd/encase/conf"
	"github.com/encase-tls/encase/tun"
	"github.com/encase-tls/encase/tun/carrier"
	"github.com/encase-tls/encase/tun/device"
)

// A config is a configuration that holds together: files are loaded, and names stand for what they name. It is never
// changed.
type config struct {
	doc    *document // for comparing
	side   side
	iface  tun.Interface
	frames *carrier.Config // nil: there are none as IP packets
	fields identityFiles
	who    *identity

	listens   []endpoint
	addresses []netip.Prefix
	pools     []netip.Prefix
	push      push
	clients   map[string]listed
	refuses   bool // clients that are not listed

	peer      string
	endpoints []endpoint

	logLevel   slog.Level
	logFormat  string
	perPeer    bool
	controlAt  string
	metricsAt  string
	postUp     []string
	preDown    []string
	dnsProgram string
	sandbox    string
}

// A push is what all clients are told.
type push struct {
	routes  []netip.Prefix
	dns     []netip.Addr
	domains []string
	mtu     int
}

// A listed client is one that the configuration names.
type listed struct {
	grant    tun.Grant
	disabled bool
}

// readFile makes a config of a file. It is nil if the problems include mistakes.
func readFile(name string) (*config, conf.Problems) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, conf.Problems{{Place: conf.Place{File: name}, Text: err.Error() + "; name a file with --config"}}
	}
	return read(name, data)
}

func read(name string, data []byte) (*config, conf.Problems) {
	d := parse(name, data)
	if d.lines == nil {
		return nil, d.problems
	}
	c := &config{doc: d}
	c.read()
	if d.problems.Err() != nil {
		return nil, d.problems
	}
	return c, d.problems
}

func (c *config) read() {
	d := c.doc
	if !d.has("config_version") {
		d.wrong("config_version", "is missing; write: config_version = 1")
	}
	c.chooseSide()
	c.refuseOtherSide()
	c.readInterface()
	c.readCarrier()
	c.readIdentity()
	if c.side == server {
		c.readServer()
	} else if c.side == client {
		c.readPeer()
	}
	c.checkCarrier()
	c.readObservability()
}

// chooseSide finds out what the file is for.
func (c *config) chooseSide() {
	d := c.doc
	switch serves, connects := d.has("listen") || d.has("server"), d.has("peer"); {
	case serves && connects:
		d.wrong("peer", "a file is for a server, with [[listen]], or for a client, with [[peer]]; make two files")
	case serves:
		c.side = server
	case connects:
		c.side = client
	default:
		d.problems.Add(conf.Place{File: d.file, Line: 1}, "neither server nor client: write [[listen]] for a server, or "+
			"[[peer]] for a client")
	}
}

// refuseOtherSide reports what has no effect on this side.
func (c *config) refuseOtherSide() {
	if c.side == both {
		return
	}
	for path := range c.doc.written {
		name := conf.KeyOf(path)
		if of := sideOf(name); of != both && of != c.side && sideOfTable(name) != of {
			c.doc.wrong(path, "is for a %s, this file is for a %s; take it out", of, c.side)
		}
	}
	for path := range c.doc.there {
		if of := sideOf(conf.KeyOf(path)); of != both && of != c.side {
			c.doc.wrong(path, "is for a %s, this file is for a %s; take the table out", of, c.side)
		}
	}
}

// sideOfTable returns for whom the table of a key is: what is said of the table need not be said of the key.
func sideOfTable(key string) side {
	table, _ := split(key)
	return sideOf(table)
}

func (c *config) readInterface() {
	d := c.doc
	c.iface = tun.Interface{
		Config: device.Config{
			Name: get[string](d, "interface.name"), Queues: get[int](d, "interface.queues"),
			Attach: get[bool](d, "interface.attach"), Namespace: get[string](d, "interface.netns"),
		},
		MTU: get[int](d, "interface.mtu"), QueueLen: get[int](d, "interface.txqueuelen"),
		GSOMaxSize: get[int](d, "interface.gso_max"),
	}
	switch get[string](d, "interface.offload") {
	case "off":
		c.iface.Offloads = &device.Offloads{}
	case "tcp":
		c.iface.Offloads = &device.Offloads{TCP: true, ECN: true}
	}
	if err := device.CheckName(c.iface.Name); err != nil {
		d.wrong("interface.name", "%v", err)
	} else if strings.Contains(c.iface.Name, "%") {
		d.wrong("interface.name", "has a %% in it; write the whole name: the control socket is named after it")
	}
	if ns := c.iface.Namespace; ns != "" {
		if _, err := os.Stat(ns); err != nil {
			d.wrong("interface.netns", "%v; make it with: ip netns add NAME", err)
		}
	}
	c.dnsProgram = get[string](d, "interface.dns")
	c.sandbox = get[string](d, "interface.sandbox")
	c.postUp, c.preDown = get[[]string](d, "interface.post_up"), get[[]string](d, "interface.pre_down")
	if c.side == client && get[bool](d, "interface.kill_switch") && get[int](d, "interface.fwmark") == 0 {
		d.wrong("interface.kill_switch", "needs a mark, so that encase's own packets get out; take interface.fwmark out")
	}
}

func (c *config) readServer() {
	d := c.doc
	c.readAddresses()
	for _, path := range d.arrays("listen") {
		c.listens = append(c.listens, c.endpoint(path))
	}
	if len(c.listens) == 0 {
		d.wrong("listen", "there is none; write [[listen]] with an address")
	}
	c.refuseSameAddress()
	c.push = push{get[[]netip.Prefix](d, "server.push.routes"), get[[]netip.Addr](d, "server.push.dns"),
		get[[]string](d, "server.push.domains"), get[int](d, "server.push.mtu")}
	if dead, alive := get[time.Duration](d, "server.dead"), get[time.Duration](d, "server.keepalive"); dead < alive {
		d.wrong("server.dead", "is %s, shorter than server.keepalive, %s; make it twice as long as that", short(dead),
			short(alive))
	}
	c.readClients()
}

// readAddresses reads addresses of the server and the pools.
func (c *config) readAddresses() {
	d := c.doc
	c.addresses = get[[]netip.Prefix](d, "interface.addresses")
	if !d.has("interface.addresses") {
		d.wrong("interface.addresses",
			`is missing: a server needs an address in the tunnel; write: addresses = ["10.66.0.1/24"]`)
	}
	c.pools = get[[]netip.Prefix](d, "server.pools")
	if c.pools == nil {
		for _, a := range c.addresses {
			c.pools = append(c.pools, a.Masked())
		}
	}
	at := "server.pools"
	if !d.has(at) {
		at = "interface.addresses"
	}
	var families []bool
	for _, p := range c.pools {
		switch {
		case slices.Contains(families, p.Addr().Is4()):
			d.wrong(at, "two of the same family; clients get one address of IPv4 and one of IPv6 at most")
		case p.Addr().BitLen()-p.Bits() < 2:
			d.wrong(at, "%v has no room for clients; write a shorter length, such as /24", p)
		}
		families = append(families, p.Addr().Is4())
	}
}

func (c *config) refuseSameAddress() {
	seen := map[string]bool{}
	for _, l := range c.listens {
		where := l.carrier + " " + l.address
		if seen[where] && l.address != "" {
			c.doc.wrong(l.path+".address", "%s is listened on already; choose another port", l.address)
		}
		seen[where] = true
	}
}

func (c *config) readClients() {
	d := c.doc
	c.clients = map[string]listed{}
	owners := map[netip.Addr]string{}
	for _, path := range d.arrays("client") {
		name := get[string](d, path+".name")
		switch _, twice := c.clients[name]; {
		case !d.has(path + ".name"):
			d.wrong(path+".name", "is missing: the name in the client's certificate")
		case twice && name != "":
			d.wrong(path+".name", "%q is there already; put both together", name)
		}
		for _, a := range get[[]netip.Addr](d, path+".addresses") {
			c.checkFixed(path, name, a, owners)
		}
		c.clients[name] = listed{disabled: get[bool](d, path+".disabled"), grant: tun.Grant{
			Addresses: get[[]netip.Addr](d, path+".addresses"), Networks: get[[]netip.Prefix](d, path+".networks"),
			Routes: get[[]netip.Prefix](d, path+".routes"),
		}}
	}
	unlisted := get[string](d, "server.unlisted")
	c.refuses = unlisted == "refuse" || unlisted == "auto" && len(c.clients) > 0
}

// checkFixed reports what is wrong with a fixed address.
func (c *config) checkFixed(path, name string, a netip.Addr, owners map[netip.Addr]string) {
	d := c.doc
	within := func(p netip.Prefix) bool { return p.Contains(a) }
	same := func(p netip.Prefix) bool { return p.Addr() == a }
	switch owner, taken := owners[a]; {
	case taken:
		d.wrong(path+".addresses", "%v is that of %s already; choose another", a, owner)
	case len(c.pools) > 0 && !slices.ContainsFunc(c.pools, within):
		d.wrong(path+".addresses", "%v is in no pool (%v); choose one that is", a, c.pools)
	case slices.ContainsFunc(c.addresses, same):
		d.wrong(path+".addresses", "%v is the server's; choose another", a)
	}
	owners[a] = name
}

func (c *config) readPeer() {
	d := c.doc
	peers := d.arrays("peer")
	if len(peers) > 1 {
		d.wrong(peers[1], "a tunnel has one server; make a file for each")
	}
	if len(peers) == 0 {
		return
	}
	c.peer = get[string](d, peers[0]+".name")
	for _, path := range d.arrays(peers[0] + ".endpoint") {
		e := c.endpoint(path)
		if d.has(peers[0] + ".server_name") {
			e.serverName = get[string](d, peers[0]+".server_name")
		}
		if e.serverName == "" && e.port != "" {
			d.wrong(path+".address", "has no host; write that of the server")
		}
		c.endpoints = append(c.endpoints, e)
	}
	if len(c.endpoints) == 0 {
		d.wrong(peers[0], "there is no [[peer.endpoint]]; write one with an address")
	}
	c.warnOfDNS()
}

// warnOfDNS warns of what would leave a machine without name servers after a crash.
func (c *config) warnOfDNS() {
	if c.dnsProgram != "off" && c.iface.Namespace != "" && !c.doc.has("interface.dns") {
		c.dnsProgram = "off" // it is not the machine's interface
	}
}

func (c *config) readObservability() {
	d := c.doc
	_ = c.logLevel.UnmarshalText([]byte(get[string](d, "observability.log_level"))) // choice allows only what it knows
	c.logFormat = get[string](d, "observability.log_format")
	c.perPeer = get[bool](d, "observability.per_peer_metrics")
	c.metricsAt = get[string](d, "observability.metrics")
	for _, key := range []string{"server.lease_file", "server.ban_file"} {
		c.warnOfFolder(key)
	}
	if c.controlAt = get[string](d, "observability.control_socket"); c.controlAt == "" {
		c.controlAt = socketOf(c.iface.Name)
	}
	if len(c.controlAt) > maxUnixPath {
		d.wrong("observability.control_socket", "is longer than the %d bytes that a system takes; choose a shorter one",
			maxUnixPath)
	}
}

// warnOfFolder warns of a file that could not be written.
func (c *config) warnOfFolder(key string) {
	file := get[string](c.doc, key)
	if file == "" || filepath.Dir(file) == stateFolder() && os.Getuid() == 0 { // which makes that one
		return
	}
	if info, err := os.Stat(filepath.Dir(file)); err != nil || !info.IsDir() {
		c.doc.warn(key, "%s: the folder is not there; run: mkdir -p %s", file, filepath.Dir(file))
	}
}

// maxUnixPath is what fits sun_path on every system, with its final zero.
const maxUnixPath = 103

// runFolder is where control sockets are.
const runFolder = "/run/encase"

func socketOf(name string) string { return fmt.Sprintf("%s/%s.sock", runFolder, name) }
