package migrate

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// parseOpenVPN reads a file of OpenVPN, of a client or a server.
func parseOpenVPN(text string) *draft {
	o := &openVPN{d: &draft{files: map[string]string{}}, proto: "udp", port: "1194"}
	inside, block := "", strings.Builder{}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		switch {
		case inside != "" && line == "</"+inside+">":
			o.block(number, inside, block.String())
			inside = ""
		case inside != "":
			block.WriteString(line + "\n")
		case line == "<connection>", line == "</connection>":
			o.proxy = "" // that of a block is for the block
		case strings.HasPrefix(line, "<") && strings.HasSuffix(line, ">"):
			inside = strings.Trim(line, "<>")
			block.Reset()
		default:
			o.line(number, line)
		}
	}
	o.finish()
	return o.d
}

type openVPN struct {
	d                  *draft
	local, proto, port string
	proxy              string // HOST:PORT
	remotes            []remote
}

// A remote is a way to the server.
type remote struct {
	words []string // behind the directive
	proxy string
}

// block takes over what stands inside the file.
func (o *openVPN) block(number int, name, content string) {
	ext := map[string]string{"ca": "ca.crt", "cert": "crt", "key": "key", "crl-verify": "crl"}[name]
	if ext == "" {
		o.d.unmapped(number, "<"+name+">", cmp.Or(foreign[name], "has no counterpart"))
		return
	}
	o.d.files[ext] = content
}

func (o *openVPN) line(number int, line string) {
	words := fields(line)
	if len(words) == 0 {
		return
	}
	if why := o.take(words); why != "" {
		o.d.unmapped(number, line, why)
	}
}

// fields cuts a line into words, which may be quoted. Comments begin with # or ;.
func fields(line string) (words []string) {
	var word strings.Builder
	quote, open := rune(0), false
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			quote, open = r, true
		case (r == '#' || r == ';') && !open && word.Len() == 0:
			return words
		case r == ' ' || r == '\t':
			if word.Len() > 0 || open {
				words = append(words, word.String())
			}
			word.Reset()
			open = false
		default:
			word.WriteRune(r)
		}
	}
	if word.Len() > 0 || open {
		words = append(words, word.String())
	}
	return words
}

// take takes over one directive, or says why not.
func (o *openVPN) take(w []string) (why string) {
	arg := func(i int) string {
		if i < len(w) {
			return w[i]
		}
		return ""
	}
	d := o.d
	switch w[0] {
	case "remote":
		o.remotes = append(o.remotes, remote{words: w[1:], proxy: o.proxy})
	case "proto":
		o.proto = arg(1)
	case "port", "lport", "rport":
		o.port = arg(1)
	case "local":
		o.local = arg(1)
	case "http-proxy":
		return o.through(arg(1), arg(2))
	case "route-nopull":
		d.acceptsNone = true
	case "reneg-sec":
		return seconds(&d.rekey, arg(1))
	case "ping":
		return seconds(&d.keepalive, arg(1))
	case "ping-restart", "ping-exit":
		return seconds(&d.dead, arg(1))
	case "ca":
		d.ca = arg(1)
	case "cert":
		d.cert = arg(1)
	case "key":
		d.key = arg(1)
	case "crl-verify":
		d.crl = arg(1)
	case "verify-x509-name":
		d.serverName = arg(1)
	case "dev":
		return o.device(arg(1))
	case "tun-mtu":
		n, err := strconv.Atoi(arg(1))
		if err != nil || n < 1280 || n > 65535 {
			return "the MTU is out of bounds; 1280 to 65535 are allowed"
		}
		d.mtu = n
	case "server", "server-ipv6", "ifconfig":
		return o.pool(w[0], arg(1), arg(2))
	case "route", "route-ipv6":
		return addNetwork(&d.routes, arg(1), arg(2))
	case "redirect-gateway":
		addNetwork(&d.routes, "0.0.0.0/0", "")
		if slices.Contains(w, "ipv6") {
			addNetwork(&d.routes, "::/0", "")
		}
	case "push":
		return o.push(fields(arg(1)))
	case "keepalive":
		return o.keepalive(arg(1), arg(2))
	case "client-to-client":
		d.clientToClient = true
	case "ifconfig-pool-persist":
		d.leases = true
	case "max-clients":
		d.maxClients, _ = strconv.Atoi(arg(1))
	default:
		if !slices.Contains(needless, w[0]) {
			return cmp.Or(foreign[w[0]], "has no counterpart")
		}
	}
	return why
}

func (o *openVPN) device(name string) string {
	switch {
	case strings.HasPrefix(name, "tap"):
		return "encase carries IP packets, not Ethernet frames"
	case name != "tun" && len(name) <= 15:
		o.d.name = name
	}
	return ""
}

// pool takes the addresses of a server: it has the first of the network.
func (o *openVPN) pool(directive, network, mask string) string {
	if directive == "ifconfig" {
		return "addresses are those of the pool; a server has interface.addresses"
	}
	o.d.server = true
	var list []netip.Prefix
	if why := addNetwork(&list, network, mask); why != "" {
		return why
	}
	o.d.addresses = append(o.d.addresses, netip.PrefixFrom(list[0].Addr().Next(), list[0].Bits()))
	return ""
}

func (o *openVPN) keepalive(every, dead string) string {
	a, err := strconv.Atoi(every)
	b, err2 := strconv.Atoi(dead)
	if err != nil || err2 != nil || a < 1 || a > 3600 || b < a || b > 86400 {
		return "is out of bounds"
	}
	o.d.keepalive, o.d.dead = a, b
	return ""
}

// push takes what a server tells its clients.
func (o *openVPN) push(w []string) string {
	switch {
	case len(w) >= 2 && (w[0] == "route" || w[0] == "route-ipv6"):
		mask := ""
		if len(w) > 2 {
			mask = w[2]
		}
		return addNetwork(&o.d.push, w[1], mask)
	case len(w) > 0 && w[0] == "redirect-gateway":
		addNetwork(&o.d.push, "0.0.0.0/0", "")
		if slices.Contains(w, "ipv6") {
			addNetwork(&o.d.push, "::/0", "")
		}
	case len(w) > 0 && (w[0] == "topology" || w[0] == "route-gateway" || w[0] == "ping" || w[0] == "ping-restart"):
	case len(w) == 3 && w[0] == "dhcp-option" && (w[1] == "DNS" || w[1] == "DNS6"):
		a, err := netip.ParseAddr(w[2])
		if err != nil {
			return "is no address"
		}
		o.d.dns = append(o.d.dns, a)
	case len(w) == 3 && w[0] == "dhcp-option" && (w[1] == "DOMAIN" || w[1] == "DOMAIN-SEARCH"):
		o.d.domains = append(o.d.domains, w[2])
	case len(w) > 0:
		return cmp.Or(foreign[w[0]], "has no counterpart")
	}
	return ""
}

// seconds takes over a time; 0 turns something off that encase does not.
func seconds(to *int, text string) string {
	const most = 24 * 3600
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return "is no time"
	}
	if *to = n; n == 0 || n > most {
		*to = 0
		return "is out of bounds; the default is taken"
	}
	return ""
}

// through takes over a proxy, for the remote before it in a block, and for those that follow.
func (o *openVPN) through(host, port string) string {
	if host == "" || port == "" {
		return "is no HOST PORT"
	}
	o.proxy = net.JoinHostPort(host, port)
	for i := range o.remotes {
		if last := i == len(o.remotes)-1; last && o.remotes[i].proxy == "" {
			o.remotes[i].proxy = o.proxy
		}
	}
	return ""
}

// addNetwork adds a network: ADDRESS and MASK, or ADDRESS/LENGTH.
func addNetwork(to *[]netip.Prefix, address, mask string) string {
	p, err := netip.ParsePrefix(address)
	if err != nil {
		a, err := netip.ParseAddr(address)
		if err != nil {
			return fmt.Sprintf("%q is no address", address)
		}
		p = netip.PrefixFrom(a, a.BitLen())
		if m, err := netip.ParseAddr(mask); err == nil && m.Is4() && a.Is4() {
			ones, bits := net.IPMask(m.AsSlice()).Size()
			if bits == 0 {
				return fmt.Sprintf("%q is no mask", mask)
			}
			p = netip.PrefixFrom(a, ones)
		}
	}
	*to = append(*to, p.Masked())
	return ""
}

// finish makes endpoints of what was said in any order.
func (o *openVPN) finish() {
	d := o.d
	if d.server {
		d.routes, d.acceptsNone = nil, false
		d.listen = []endpoint{{carrier: carrierOf(o.proto), address: net.JoinHostPort(o.listensOn(), o.port)}}
		return
	}
	if d.keepalive+d.dead+d.rekey > 0 {
		d.notes = append(d.notes, "times: the server tells its clients: server.keepalive, server.dead, server.rekey")
	}
	d.dns, d.domains, d.push = nil, nil, nil
	for _, r := range o.remotes {
		e := o.endpoint(r)
		if !slices.Contains(d.endpoints, e) {
			d.endpoints = append(d.endpoints, e)
		}
	}
}

func carrierOf(proto string) string {
	if strings.HasPrefix(proto, "tcp") {
		return "tcp"
	}
	return "udp"
}

// listensOn returns the address of a server, empty for all.
func (o *openVPN) listensOn() string {
	if o.local == "0.0.0.0" || o.local == "::" {
		return ""
	}
	return o.local
}

// endpoint returns a way to the server, through its proxy if there is one: then the name of the server is not that of
// the address.
func (o *openVPN) endpoint(r remote) endpoint {
	host, port, proto := "", o.port, o.proto
	for i, to := range []*string{&host, &port, &proto} {
		if i < len(r.words) {
			*to = r.words[i]
		}
	}
	e := endpoint{carrier: carrierOf(proto), address: net.JoinHostPort(host, port)}
	if r.proxy != "" && e.carrier == "tcp" {
		e.address, e.preamble = r.proxy, "connect:"+e.address
		o.d.serverName = cmp.Or(o.d.serverName, host)
	}
	return e
}
