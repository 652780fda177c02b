package migrate

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// A wgPeer is a [Peer].
type wgPeer struct {
	allowed  []netip.Prefix
	endpoint string
	comment  string // in front of it, where people write a name
}

// parseWireGuard reads a file of wg-quick.
func parseWireGuard(text string) *draft {
	w := &wireGuard{d: &draft{}}
	number := 0
	for line := range strings.Lines(text) {
		number++
		w.line(number, strings.TrimSpace(line))
	}
	w.finish()
	return w.d
}

type wireGuard struct {
	d         *draft
	peers     []*wgPeer
	peer      *wgPeer // nil: in [Interface]
	port      string
	addresses []netip.Prefix
	comment   string
}

func (w *wireGuard) line(number int, line string) {
	if comment, ok := strings.CutPrefix(line, "#"); ok {
		w.note(strings.Trim(comment, "# "))
		return
	}
	line, _, _ = strings.Cut(line, "#")
	line = strings.TrimSpace(line)
	switch strings.ToLower(line) {
	case "":
		return
	case "[interface]":
		w.peer = nil
		return
	case "[peer]":
		w.peer = &wgPeer{comment: w.comment}
		w.peers = append(w.peers, w.peer)
		w.comment = ""
		return
	}
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		w.d.unmapped(number, line, "is not KEY = VALUE")
		return
	}
	key, value = strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)
	if why := w.take(key, value); why != "" {
		if strings.HasSuffix(key, "key") {
			line = key + " = (hidden)"
		}
		w.d.unmapped(number, line, why)
	}
}

// note takes a comment for the name of a peer: of the one that follows or, if it says so, of this one.
func (w *wireGuard) note(comment string) {
	for _, lead := range []string{"friendly_name", "Name", "name"} {
		if rest, ok := strings.CutPrefix(comment, lead); ok && strings.HasPrefix(strings.TrimSpace(rest), "=") {
			comment = strings.Trim(rest, "= ")
			if w.peer != nil && w.peer.comment == "" {
				w.peer.comment = comment
				return
			}
		}
	}
	for _, lead := range []string{"BEGIN_PEER", "Client:", "Client", "Peer:", "Peer"} {
		if rest, ok := strings.CutPrefix(comment, lead+" "); ok {
			comment = strings.TrimSpace(rest)
		}
	}
	w.comment = comment
}

const noKeys = "encase has certificates instead; make them with: encase pki"

// take takes over one setting, or says why not.
func (w *wireGuard) take(key, value string) (why string) {
	if w.peer != nil {
		return w.takePeer(key, value)
	}
	switch key {
	case "address":
		w.addresses = appendPrefixes(w.addresses, value, &why)
	case "dns":
		for _, v := range strings.Split(value, ",") {
			if a, err := netip.ParseAddr(strings.TrimSpace(v)); err == nil {
				w.d.dns = append(w.d.dns, a)
			} else {
				w.d.domains = append(w.d.domains, strings.TrimSpace(v))
			}
		}
		if w.d.dns != nil {
			return "the server tells its clients their name servers: write it there, as server.push.dns"
		}
	case "mtu":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1280 || n > 65535 {
			return "the MTU is out of bounds; 1280 to 65535 are allowed"
		}
		w.d.mtu = n
	case "listenport":
		if _, err := strconv.ParseUint(value, 10, 16); err != nil {
			return "is no port"
		}
		w.port = value
	case "fwmark":
		if n, err := strconv.ParseUint(value, 0, 32); err == nil && n > 0 {
			w.d.fwmark = fmt.Sprint(n)
		} else {
			return "is taken over as the default"
		}
	case "privatekey":
		return noKeys
	case "preup", "postup", "predown", "postdown":
		return "encase runs programs without a shell: see interface.post_up and pre_down"
	case "saveconfig":
	case "table":
		return "see interface.fwmark = 0, which leaves out rules, and interface.accept_routes"
	default:
		return "has no counterpart"
	}
	return why
}

func (w *wireGuard) takePeer(key, value string) (why string) {
	switch key {
	case "allowedips":
		w.peer.allowed = appendPrefixes(w.peer.allowed, value, &why)
	case "endpoint":
		if _, _, err := net.SplitHostPort(value); err != nil {
			return "is no HOST:PORT"
		}
		w.peer.endpoint = value
	case "persistentkeepalive":
		if n, err := strconv.Atoi(value); err == nil && n > 0 && n < 3600 {
			w.d.keepalive = n
		}
		return "the server tells its clients: server.keepalive; 25s is the default"
	case "publickey", "presharedkey":
		return noKeys
	default:
		return "has no counterpart"
	}
	return why
}

func appendPrefixes(to []netip.Prefix, value string, why *string) []netip.Prefix {
	for _, v := range strings.Split(value, ",") {
		v = strings.TrimSpace(v)
		p, err := netip.ParsePrefix(v)
		if err != nil {
			a, err := netip.ParseAddr(v)
			if err != nil {
				*why = fmt.Sprintf("%q is no address", v)
				continue
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		to = append(to, p)
	}
	return to
}

// finish decides what the file is for: who calls somebody is a client.
func (w *wireGuard) finish() {
	for _, p := range w.peers {
		if p.endpoint != "" && !w.d.server && w.d.endpoints == nil && (w.port == "" || len(w.peers) == 1) {
			w.client(p)
			return
		}
	}
	w.server()
}

func (w *wireGuard) client(p *wgPeer) {
	w.d.endpoints = []endpoint{{carrier: "udp", address: p.endpoint}}
	for _, a := range p.allowed {
		w.d.routes = append(w.d.routes, a.Masked())
	}
	w.d.accept, w.d.dns, w.d.domains = w.d.routes, nil, nil
	if len(w.addresses) > 0 {
		w.d.notes = append(w.d.notes, fmt.Sprintf("Address %v: the server tells its clients their addresses; fix it there, "+
			"as "+
			"client.addresses", w.addresses))
	}
	if len(w.peers) > 1 {
		w.d.notes = append(w.d.notes, "only the first [Peer] with an Endpoint: a tunnel of encase has one server")
	}
}

func (w *wireGuard) server() {
	w.d.server, w.d.leases, w.d.addresses = true, true, w.addresses
	if w.port == "" {
		w.port = "51820"
	}
	w.d.listen = []endpoint{{carrier: "udp", address: ":" + w.port}}
	w.d.keepalive, w.d.dns, w.d.domains = 0, nil, nil
	for i, p := range w.peers {
		c := client{name: fmt.Sprintf("client%d", i+1)}
		if p.comment != "" && !strings.ContainsAny(p.comment, " \t=") {
			c.name = p.comment
		}
		for _, a := range p.allowed {
			if a.IsSingleIP() {
				c.addresses = append(c.addresses, a.Addr())
			} else {
				c.networks = append(c.networks, a.Masked())
			}
		}
		w.d.clients = append(w.d.clients, c)
	}
	if len(w.peers) > 0 {
		w.d.notes = append(w.d.notes, "names of clients are those in their certificates: correct client.name where it was "+
			"guessed")
	}
}
