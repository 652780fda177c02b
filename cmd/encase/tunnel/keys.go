package tunnel

import (
	"time"

	"github.com/encase-tls/encase/tun"
	"github.com/encase-tls/encase/tun/carrier"
	"github.com/encase-tls/encase/tun/link"
	"github.com/encase-tls/encase/tun/wire"
)

// A side is who a table or a key is for.
type side string

const (
	both   side = ""
	server side = "server"
	client side = "client"
)

// A change is what it takes for a new value to count.
type change string

const (
	live    change = "live"    // a reload
	restart change = "restart" // a new start
)

// A table is one of a configuration, or an array of them.
type table struct {
	path  string
	array bool
	side  side
	doc   string
}

// A key is one of a configuration. Its path has no numbers in it.
type key struct {
	path   string
	side   side
	kind   kind
	def    any // as TOML has it; nil: nothing
	change change
	doc    string
}

const (
	defaultName   = "encase0"
	defaultMark   = 0x7464
	defaultPacket = 1452 // fits Ethernet, also with IPv6
)

// tables and keys are all that there is: what is read, what is compared at a reload, and what the manual lists.
var tables = []table{
	{"", false, both, "What stands above the first table."},
	{"interface", false, both, "The network interface that the tunnel is, and the network of this machine."},
	{"identity", false, both, "Who this end is, and whom it trusts: files in PEM form, as \"encase pki\" makes them."},
	{"listen", true, server, "Where clients come in; one table for each address. A server needs at least one."},
	{"server", false, server, "What a server does for its clients."},
	{"server.push", false, server,
		"What clients are told when they connect, and at once when a reload changes it."},
	{"limits", false, both, "What peers may cost."},
	{"client", true, server, "A client that the server knows. Clients that are not listed: see server.unlisted."},
	{"carrier", false, both, "The interface through which frames travel as IP packets of protocol 253, for tables with " +
		"carrier = \"tun253\": the kernel routes them, so this machine must forward (net.ipv4.ip_forward, " +
		"net.ipv6.conf.all.forwarding), and the network must know the way to the addresses."},
	{"peer", true, client, "The server to connect to; one table."},
	{"peer.endpoint", true, client,
		"A way to the server. With some of both carriers, packets go over datagrams while those arrive, and over a " +
			"stream while they do not."},
	{"observability", false, both, "What is told about the tunnel, and to whom."},
}

var keys = []key{
	{"config_version", both, number(1, 1), nil, restart, "The version of this format. It must be there."},

	{"interface.name", both, text, defaultName, restart,
		"Name of the interface, at most 15 bytes. The control socket is named after it."},
	{"interface.mtu", both, number(wire.LeastMTU, 65535), tun.DefaultMTU, restart,
		"Longest packet in the tunnel, in bytes. Server and client use the lesser of theirs."},
	{"interface.addresses", server, prefixes, nil, restart,
		"Addresses of the server in the tunnel, with the length of the network: at most one of IPv4 and one of " +
			"IPv6. Clients are told theirs."},
	{"interface.queues", both, number(1, 256), 1, restart,
		"Queues of the device. More than one helps a server with many clients, on many processors."},
	{"interface.txqueuelen", both, number(1, 1<<20), tun.DefaultQueueLen, restart, "Packets that may wait for encase."},
	{"interface.offload", both, choice("auto", "tcp", "off"), "auto", restart,
		"Which super-packets the kernel may give and take: all it can, those of TCP only, none."},
	{"interface.gso_max", both, size(4<<10, 64<<10), nil, restart,
		"Longest super-packet. Less than the kernel's 64KiB means less delay on slow paths."},
	{"interface.attach", both, yes, false, restart,
		"Use an interface that is there: ip tuntap add NAME mode tun user USER. If it is up and has the MTU, the " +
			"addresses and routes that the server tells, and fwmark is 0, no privilege is needed."},
	{"interface.netns", both, text, "", restart,
		"File of the network namespace to put the interface in, such as /run/netns/red. Connections stay where " +
			"encase was started."},
	{"interface.fwmark", client, number(0, 1<<32-1), defaultMark, restart,
		"Mark of encase's own packets. Default routes lead into the tunnel for all packets without it. 0: no mark, " +
			"and no policy routing."},
	{"interface.routes", client, networks, nil, restart,
		"Networks to reach through the tunnel, besides those that the server tells."},
	{"interface.accept_routes", client, networks, nil, restart,
		"Bounds what the server may tell: other routes are passed over. Without it all are accepted; an empty list " +
			"accepts none."},
	{"interface.kill_switch", client, yes, false, restart,
		"Lets nothing out that a default route would lead into the tunnel, from the start of encase, and when the " +
			"tunnel is gone: until encase is stopped in order."},
	{"interface.dns", client, choice("auto", "resolvectl", "resolvconf", "file", "off"), "auto", restart,
		"How the name servers that the server tells are set: by the program that is there, by /etc/resolv.conf, " +
			"which is put back, or not."},
	{"interface.user", both, text, "", restart,
		"User to become before anything is opened, with CAP_NET_ADMIN, and CAP_NET_BIND_SERVICE until the sockets are " +
			"open. The files in [identity] must be readable for it. Name servers and the programs of this table stay with " +
			"the user that encase was started as. With systemd, let the unit do that."},
	{"interface.sandbox", both, choice("auto", "require", "off"), "auto", restart,
		"Takes from encase, when it is set up, what it does not need any more: files but those of the folders that this " +
			"file names (Landlock), system calls (seccomp), capabilities. auto: as far as the kernel can; require: all of it, " +
			"or encase does not start. What is in force is in encase status."},
	{"interface.post_up", both, texts, nil, restart,
		"A program and its arguments, run when the tunnel is up. No shell is involved. ENCASE_INTERFACE is in its " +
			"environment."},
	{"interface.pre_down", both, texts, nil, restart, "Likewise, before the tunnel goes down."},

	{"identity.cert", both, text, nil, live, "Certificate of this end, and those between it and the authority."},
	{"identity.key", both, text, nil, live, "Its private key, which nobody else may read (mode 0600)."},
	{"identity.ca", both, text, nil, restart, "Authorities that the other end's certificate must be of."},
	{"identity.crl", server, text, nil, live,
		"Certificates that have been revoked. It is read again at a reload and when the file changes; when it has " +
			"expired nobody is let in."},

	{"listen.carrier", server, choice("udp", "tcp", "tun253"), "udp", restart,
		"What connections travel over; tun253 are IP packets of their own, see [carrier]."},
	{"listen.address", server, text, nil, restart,
		"HOST:PORT; an empty host stands for all addresses. Or fd:NAME, a socket that systemd has opened. For tun253 one " +
			"of carrier.addresses, without a port."},
	{"listen.codec", server, text, "raw", restart, "Framing, see encase codec list; the clients need the same."},
	{"listen.preamble", server, texts, nil, restart,
		"What is said before the first frame, see encase preamble list. For tcp."},
	{"listen.mtu", server, number(600, 65507), defaultPacket, restart,
		"Longest datagram, headers of UDP and IP not counted. For udp and tun253."},

	{"server.pools", server, networks, nil, restart,
		"Networks that clients get their addresses from; without it those of interface.addresses."},
	{"server.lease_file", server, text, "", restart,
		"Where it is kept who has which address. Empty: nowhere; then a restart may give clients other addresses."},
	{"server.ban_file", server, text, "", restart, "Where bans are kept. Empty: nowhere; then a restart forgets them."},
	{"server.unlisted", server, choice("auto", "allow", "refuse"), "auto", live,
		"What becomes of clients with a good certificate and no [[client]]. auto: refuse if there is a [[client]], " +
			"else allow."},
	{"server.client_to_client", server, choice("off", "direct", "kernel"), "off", restart,
		"Let clients reach each other: inside encase, which no firewall sees, or through the kernel of this machine, " +
			"which must forward packets (net.ipv4.ip_forward), and whose firewall decides."},
	{"server.keepalive", server, duration(time.Second, time.Hour), tun.DefaultKeepalive, restart,
		"How often an idle end asks whether the other is there."},
	{"server.dead", server, duration(5*time.Second, 24*time.Hour), tun.DefaultDead, restart,
		"After how long without a word a connection is given up."},
	{"server.rekey", server, duration(10*time.Second, 7*24*time.Hour), tun.DefaultRekey, restart,
		"After how long a connection is replaced by one with new keys."},
	{"server.push.routes", server, networks, nil, live, "Networks that clients reach through the tunnel."},
	{"server.push.dns", server, addresses, nil, live, "Name servers for clients."},
	{"server.push.domains", server, texts, nil, live,
		"Domains that those are for; \"~example.net\" only routes queries."},
	{"server.push.mtu", server, number(wire.LeastMTU, 65535), nil, live,
		"Longest packet in the tunnel, in bytes, if less than interface.mtu: for clients that are connected, too."},

	{"limits.max_clients", server, number(1, 1<<20), tun.DefaultClients, restart, "Sessions at once."},
	{"limits.max_same_cert", server, number(1, 1000), 1, restart,
		"Sessions that clients with the same name in their certificates may have at once. Only the first of them has " +
			"client.addresses and client.networks."},
	{"limits.same_cert", server, choice("replace", "refuse"), "replace", restart,
		"What becomes of one more: it takes the place of another, or is refused as long as the others are heard."},
	{"limits.max_half_open", server, number(1, 1<<16), tun.DefaultHalfOpen, restart,
		"Connections that have not yet said who they are. When half of that is reached, strangers get less time, and " +
			"addresses fewer places."},
	{"limits.half_open_per_address", server, number(1, 1<<16), tun.DefaultPerAddress, restart,
		"Those over TCP that one address may have: one of IPv4, or 64 bits of IPv6."},
	{"limits.hellos_per_address", server, number(1, 1<<20), tun.DefaultRate, restart,
		"Handshakes that one address may begin in a second, over each carrier."},
	{"limits.handshakes", server, number(1, 1<<20), tun.DefaultRateAll, restart,
		"Handshakes in a second of all addresses, over each carrier."},
	{"limits.queue", both, size(64<<10, 1<<30), conventional(link.DefaultLimit), restart,
		"Packets that may wait for one connection, in bytes of memory."},
	{"limits.queue_all", server, size(1<<20, 1<<40), conventional(tun.DefaultQueueAll), restart,
		"Packets that may wait for all clients together, in bytes of memory: those who do not read share what is left."},
	{"limits.queue_target", both, duration(100*time.Microsecond, time.Second), link.DefaultTarget, restart,
		"How long packets may wait as a rule before their senders are slowed down."},

	{"client.name", server, text, nil, live, "The first DNS name of its certificate, or else its common name."},
	{"client.addresses", server, addresses, nil, live, "Fixed addresses, out of the pools."},
	{"client.networks", server, networks, nil, live,
		"Networks behind the client: it may send from there, and they are reached through it."},
	{"client.routes", server, networks, nil, live, "Told to this client besides server.push.routes."},
	{"client.disabled", server, yes, false, live, "Refuse it."},

	{"carrier.name", both, text, "carrier0", restart, "Name of that interface, at most 15 bytes."},
	{"carrier.addresses", both, addresses, nil, restart,
		"Addresses of this end: packets for them are led to encase, and they must be nobody else's, this machine's " +
			"included. With two of a family a client replaces connections without a gap."},
	{"carrier.mtu", both, number(1280, 65535), carrier.DefaultMTU, restart,
		"Longest packet, in bytes. A path that is narrower is found."},

	{"peer.name", client, text, nil, restart, "What to call the server."},
	{"peer.server_name", client, text, nil, restart,
		"The name that its certificate must have; without it the host of the endpoint."},
	{"peer.fallback_after", client, duration(100*time.Millisecond, time.Minute), tun.DefaultFallback, restart,
		"How long datagrams alone are tried before a stream is, too."},
	{"peer.endpoint.carrier", client, choice("udp", "tcp", "tun253"), "udp", restart,
		"What the connection travels over, as listen.carrier."},
	{"peer.endpoint.address", client, text, nil, restart,
		"HOST:PORT; a name is resolved each time that it is connected to. For tun253 a host alone."},
	{"peer.endpoint.codec", client, text, "raw", restart, "Framing: what the server has there."},
	{"peer.endpoint.preamble", client, texts, nil, restart,
		"What is said before the first frame: what the server has there, and before it what a proxy on the way " +
			"wants."},
	{"peer.endpoint.mtu", client, number(600, 65507), defaultPacket, restart, "As listen.mtu."},

	{"observability.log_level", both, choice("info", "debug", "warn", "error"), "info", live, "What is logged."},
	{"observability.log_format", both, choice("auto", "text", "json", "journal"), "auto", restart,
		"How. journal: to that of systemd, with what is told of a client or a connection in fields. auto: to the journal if " +
			"it reads what encase writes, else text."},
	{"observability.control_socket", both, text, "", restart,
		"Unix socket for status, kick and the like; it is for its owner alone. Empty: /run/encase/NAME.sock, with " +
			"the name of the interface."},
	{"observability.metrics", both, address, nil, restart,
		"HOST:PORT of an HTTP server with /metrics for Prometheus; without it there is none. It asks nobody who he " +
			"is: use a loopback address."},
	{"observability.per_peer_metrics", both, yes, false, live,
		"Count for each client, too: as many series as there are clients."},
}
