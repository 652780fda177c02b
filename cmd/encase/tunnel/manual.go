package tunnel

import (
	"fmt"
	"strings"
	"time"
)

// Manual returns the page encase.toml(5) as roff: every table and every key, as the program knows them. date is such as
// "Nov 2026", version that of the program.
func Manual(date, version string) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH \"ENCASE.TOML\" \"5\" %q %q \"encase manual\"\n", date, "encase "+version)
	b.WriteString(manualHead)
	for _, t := range tables {
		writeTable(&b, &t)
	}
	b.WriteString(manualTail)
	return b.String()
}

func writeTable(b *strings.Builder, t *table) {
	head := t.path
	switch {
	case t.path == "":
		head = "Top"
	case t.array:
		head = "[[" + t.path + "]]"
	default:
		head = "[" + t.path + "]"
	}
	fmt.Fprintf(b, ".SS %q\n%s", head, escaped(t.doc))
	if t.side != both {
		fmt.Fprintf(b, " For a %s.", t.side)
	}
	b.WriteString("\n")
	for _, k := range keys {
		if parent, name := split(k.path); parent == t.path {
			writeKey(b, &k, name, t.side)
		}
	}
}

func writeKey(b *strings.Builder, k *key, name string, of side) {
	fmt.Fprintf(b, ".TP\n.B %s\n(%s", escaped(name), escaped(k.kind.name))
	if text := defaultText(k.def); text != "" {
		fmt.Fprintf(b, "; default %s", escaped(text))
	}
	if k.side != both && k.side != of {
		fmt.Fprintf(b, "; for a %s", k.side)
	}
	if k.change == live {
		b.WriteString("; live")
	}
	fmt.Fprintf(b, ") %s\n", escaped(k.doc))
}

// defaultText returns how a default is written, empty if it says nothing.
func defaultText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		if v == "" {
			return ""
		}
		return fmt.Sprintf("%q", v)
	case time.Duration:
		return fmt.Sprintf("%q", short(v))
	case bool:
		if !v {
			return ""
		}
	}
	return fmt.Sprint(v)
}

// escaped makes text roff: nothing in it is taken for a request or changed.
func escaped(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}

const manualHead = `.SH NAME
encase.toml \- configuration of a tunnel
.SH DESCRIPTION
What
.B encase up
holds a tunnel by: a file in TOML, see https://toml.io. It is for a server, if it has
.BR [[listen]] ,
or for a client, if it has
.BR [[peer]] .
Unknown keys are mistakes, and a file with a mistake is not used;
.B encase check
tells all of them.
.PP
Durations are strings such as "500ms", "30s", "5m", "1h30m"; sizes are strings such as "64KiB", "1MiB". A list with one
string may be written without its brackets. Paths are relative to where encase was started.
.PP
Keys that are marked live take effect at a reload; the others wait for a restart, and the reload names them.
.SH TABLES AND KEYS
`

const manualTail = `.SH EXAMPLE
A server:
.PP
.nf
config_version = 1

[interface]
addresses = ["10.66.0.1/24", "fd66::1/64"]

[identity]
cert = "/etc/encase/vpn.example.net.crt"
key = "/etc/encase/vpn.example.net.key"
ca = "/etc/encase/ca.crt"
crl = "/etc/encase/ca.crl"

[[listen]]
carrier = "udp"
address = ":443"

[[listen]]
carrier = "tcp"
address = ":443"
codec = "websocket"

[server]
lease_file = "/var/lib/encase/leases.json"
push.routes = ["10.0.0.0/8"]
push.dns = ["10.66.0.53"]
.fi
.PP
A client of it:
.PP
.nf
config_version = 1

[identity]
cert = "/etc/encase/alice.example.crt"
key = "/etc/encase/alice.example.key"
ca = "/etc/encase/ca.crt"

[[peer]]
name = "office"

[[peer.endpoint]]
carrier = "udp"
address = "vpn.example.net:443"

[[peer.endpoint]]
carrier = "tcp"
address = "vpn.example.net:443"
codec = "websocket"
.fi
.SH FILES
/etc/encase/NAME.toml, /run/encase/NAME.sock
.SH SEE ALSO
.BR encase\-up (1),
.BR encase\-check (1),
.BR encase\-pki (1),
.BR encase\-codec\-list (1)
`
