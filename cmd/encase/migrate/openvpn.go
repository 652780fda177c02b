package migrate

import (
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
	d           *draft
	proto, port string
	remotes     [][]string
	server      bool
}

// block takes over what stands inside the file.
func (o *openVPN) block(number int, name, content string) {
	ext := map[string]string{"ca": "ca.crt", "cert": "crt", "key": "key", "crl-verify": "crl"}[name]
	if ext == "" {
		o.d.unmapped(number, "<"+name+">", "has no counterpart")
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

// needless are settings that encase does without: it does so always, or by itself.
var needless = []string{"client", "nobind", "persist-key", "persist-tun", "resolv-retry", "remote-cert-tls",
	"tls-client",
	"tls-server", "pull", "dev-type", "topology", "auth-nocache", "mute", "mute-replay-warnings", "user", "group",
	"daemon",
	"float", "remote-random", "explicit-exit-notify", "connect-retry", "tls-version-min", "data-ciphers", "cipher", "auth",
	"ncp-ciphers", "dh", "verb", "status", "log", "log-append", "sndbuf", "rcvbuf",
	"script-security", "key-direction", "mssfix"}

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
		o.remotes = append(o.remotes, w[1:])
	case "proto":
		o.proto = arg(1)
	case "port", "lport", "rport":
		o.port = arg(1)
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
			return "has no counterpart"
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
		return addNetwork(&o.d.push, "0.0.0.0/0", "")
	case len(w) == 3 && w[0] == "dhcp-option" && (w[1] == "DNS" || w[1] == "DNS6"):
		a, err := netip.ParseAddr(w[2])
		if err != nil {
			return "is no address"
		}
		o.d.dns = append(o.d.dns, a)
	case len(w) == 3 && w[0] == "dhcp-option" && (w[1] == "DOMAIN" || w[1] == "DOMAIN-SEARCH"):
		o.d.domains = append(o.d.domains, w[2])
	default:
		return "has no counterpart"
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
	carrier := func(proto string) string {
		if strings.HasPrefix(proto, "tcp") {
			return "tcp"
		}
		return "udp"
	}
	if d.server {
		d.routes = nil
		d.listen = []endpoint{{carrier(o.proto), ":" + o.port}}
		return
	}
	d.dns, d.domains, d.push = nil, nil, nil
	for _, r := range o.remotes {
		host, port, proto := "", o.port, o.proto
		for i, to := range []*string{&host, &port, &proto} {
			if i < len(r) {
				*to = r[i]
			}
		}
		d.endpoints = append(d.endpoints, endpoint{carrier(proto), net.JoinHostPort(host, port)})
	}
}
