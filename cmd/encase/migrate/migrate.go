// Package migrate is the command "encase import": it makes a configuration of a tunnel from one of OpenVPN or of
// wg-quick, as far as they mean the same, and shows the lines that it could not take over.
package migrate

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/encase-tls/encase/cmd/encase/conf"
	"github.com/encase-tls/encase/cmd/encase/exit"
	"github.com/encase-tls/encase/cmd/encase/terminal"
)

// A draft is a configuration in the making.
type draft struct {
	server    bool
	name      string
	mtu       int
	addresses []netip.Prefix // of a server in the tunnel
	routes    []netip.Prefix // of a client
	accept    []netip.Prefix // what the server may tell
	push      []netip.Prefix
	dns       []netip.Addr
	domains   []string
	fwmark    string

	cert, key, ca, crl string
	listen             []endpoint
	endpoints          []endpoint
	serverName         string
	clients            []client

	keepalive, dead int // seconds
	maxClients      int
	clientToClient  bool
	acceptsNone     bool
	rekey           int // seconds
	leases          bool

	files map[string]string // to be written: what stood inside the file
	notes []string          // lines that mean nothing here, and why
}

type endpoint struct{ carrier, address, preamble string }

type client struct {
	name      string
	addresses []netip.Addr
	networks  []netip.Prefix
}

// unmapped notes a line.
func (d *draft) unmapped(number int, line, why string) {
	d.notes = append(d.notes, fmt.Sprintf("line %d: %s: %s", number, line, why))
}

// maxFile is more than any configuration has.
const maxFile = 1 << 20

// parse reads a file of either kind.
func parse(name string, data []byte) (*draft, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s has %d bytes; that is no configuration", name, len(data))
	}
	text := string(data)
	if strings.Contains(text, "[Interface]") || filepath.Ext(name) == ".conf" && strings.Contains(text, "[Peer]") {
		return parseWireGuard(text), nil
	}
	return parseOpenVPN(text), nil
}

// Command returns the command "import".
func Command() *cobra.Command {
	output := ""
	c := &cobra.Command{
		Use: "import FILE", Short: "Make a configuration from one of OpenVPN or " +
			"wg-quick", Long: long, Args: cobra.ExactArgs(1),
		Example: "  encase import office.ovpn -o office.toml\n  encase import /etc/wireguard/wg0.conf",
		RunE: func(c *cobra.Command, args []string) error {
			data, err := os.ReadFile(args[0])
			if err != nil {
				return exit.Usagef("%s", conf.FileFault(err))
			}
			d, err := parse(args[0], data)
			if err != nil {
				return exit.Usagef("%w", err)
			}
			for _, n := range d.notes {
				fmt.Fprintln(c.ErrOrStderr(), terminal.Message(args[0]+": "+n))
			}
			return d.put(c.OutOrStdout(), output)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "",
		"write `FILE`, and beside it what stands inside the old one, such as keys")
	return c
}

const long = `Make a configuration of "encase up" from one of OpenVPN (.ovpn) or of wg-quick
(.conf), as far as they mean the same. Lines that could not be taken over are shown
on standard error, each with the reason, and stand as comments in the result.

Both ends must be encase: it speaks with neither OpenVPN nor WireGuard. Certificates
of OpenVPN stay good; WireGuard has none, so make them with "encase pki".

SEE ALSO

encase-up(1), encase-pki(1), encase.toml(5)`

// put writes the result: to a file that is not there yet, or to w.
func (d *draft) put(w io.Writer, output string) error {
	if output == "" {
		_, err := io.WriteString(w, d.text(""))
		return err
	}
	base := strings.TrimSuffix(output, filepath.Ext(output))
	names := []string{output}
	for ext := range d.files {
		names = append(names, base+"."+ext)
	}
	for _, name := range names {
		if _, err := os.Lstat(name); err == nil {
			return fmt.Errorf("%s is there already; name another file", name)
		}
	}
	for ext, content := range d.files {
		if err := conf.ReplaceFile(base+"."+ext, []byte(content), 0o600); err != nil {
			return err
		}
	}
	if err := conf.ReplaceFile(output, []byte(d.text(base)), 0o600); err != nil {
		return err
	}
	slices.Sort(names)
	_, err := fmt.Fprintln(w, strings.Join(names, "\n"))
	return err
}

// text returns the configuration. base is what the files beside it are called, without an extension.
func (d *draft) text(base string) string {
	b := &builder{}
	for _, n := range d.notes {
		b.line("# not taken over: %s", strings.Map(printable, n))
	}
	b.line("config_version = 1")
	b.table("[interface]")
	b.text("name", d.name)
	b.number("mtu", d.mtu)
	if d.fwmark != "" {
		b.line("fwmark = %s", d.fwmark)
	}
	list(b, "addresses", d.addresses)
	list(b, "routes", d.routes)
	if d.acceptsNone {
		b.line("accept_routes = []")
	}
	list(b, "accept_routes", d.accept)
	d.identity(b, base)
	if d.server {
		d.serverText(b)
	} else {
		d.peerText(b)
	}
	return b.String()
}

func printable(r rune) rune {
	if strconv.IsPrint(r) {
		return r
	}
	return '?'
}

func (d *draft) identity(b *builder, base string) {
	if base == "" {
		base = "/etc/encase/tunnel"
	}
	b.table("[identity]")
	for _, f := range []struct{ key, file, ext string }{
		{"cert", d.cert, "crt"}, {"key", d.key, "key"}, {"ca", d.ca, "ca.crt"}, {"crl", d.crl, "crl"},
	} {
		_, inside := d.files[f.ext]
		switch {
		case inside || f.file == "" && f.key != "crl":
			b.text(f.key, base+"."+f.ext)
		case f.file != "":
			b.text(f.key, f.file)
		}
	}
}

func (d *draft) serverText(b *builder) {
	for _, e := range d.listen {
		b.table("[[listen]]")
		b.text("carrier", e.carrier)
		b.text("address", e.address)
	}
	b.table("[server]")
	if d.leases {
		b.text("lease_file", "/var/lib/encase/leases.json")
	}
	if d.clientToClient {
		b.line(`client_to_client = "direct"`)
	}
	if d.keepalive > 0 && d.dead >= d.keepalive {
		b.text("keepalive", fmt.Sprintf("%ds", d.keepalive))
		b.text("dead", fmt.Sprintf("%ds", max(d.dead, 5)))
	}
	if d.rekey > 0 {
		b.text("rekey", fmt.Sprintf("%ds", d.rekey))
	}
	list(b, "push.routes", d.push)
	list(b, "push.dns", d.dns)
	texts(b, "push.domains", d.domains)
	if d.maxClients > 0 {
		b.table("[limits]")
		b.number("max_clients", d.maxClients)
	}
	for _, c := range d.clients {
		b.table("[[client]]")
		b.text("name", c.name)
		list(b, "addresses", c.addresses)
		list(b, "networks", c.networks)
	}
}

func (d *draft) peerText(b *builder) {
	b.table("[[peer]]")
	b.text("server_name", d.serverName)
	for _, e := range d.endpoints {
		b.table("[[peer.endpoint]]")
		b.text("carrier", e.carrier)
		b.text("address", e.address)
		b.text("preamble", e.preamble)
	}
}

// A builder writes TOML. What is empty is left out.
type builder struct{ strings.Builder }

func (b *builder) line(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
func (b *builder) table(head string)               { b.line("\n%s", head) }

func (b *builder) text(key, value string) {
	if value != "" {
		b.line("%s = %s", key, quoted(value))
	}
}

func (b *builder) number(key string, n int) {
	if n > 0 {
		b.line("%s = %d", key, n)
	}
}

// quoted returns a string of TOML.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\U%08X`, r)
		}
	}
	return b.String() + `"`
}

func list[T fmt.Stringer](b *builder, key string, values []T) {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = v.String()
	}
	texts(b, key, out)
}

func texts(b *builder, key string, values []string) {
	if len(values) == 0 {
		return
	}
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = quoted(v)
	}
	b.line("%s = [%s]", key, strings.Join(out, ", "))
}
