package forward

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/encase-tls/encase/cmd/encase/exit"
	"github.com/encase-tls/encase/frame"
)

// sides are the two sides of a forward, by the role that this program has there.
var sides = [2]string{frame.Client: "connect", frame.Server: "accept"}

// alwaysFlags are the flags that go with a file, too.
var alwaysFlags = []string{"config", "check", "log-level", "log-format", "verbose", "help"}

// A plainFlag is a flag for a key that stands once in a configuration.
type plainFlag struct{ name, path, help string }

var plainFlags = []plainFlag{
	{"accept-mode", "forward[0].accept.mode", "`PERMISSIONS` of a Unix socket that is listened on (default 0600)"},
	{"accept-codec", "forward[0].accept.codec",
		"what is accepted is TLS, or DTLS, in this `CODEC`; encase codec list shows them"},
	{"connect-codec", "forward[0].connect.codec", "what is connected is TLS, or DTLS, in this `CODEC`"},
	{"name", "forward[0].name", "`NAME` in the log (default forward)"},
	{"max-connections", "limits.max_connections",
		"`NUMBER` of connections at a time; what exceeds it is closed at once (default 10000, or fewer if files are)"},
	{"handshake-timeout", "limits.handshake_timeout",
		"`TIME` for the preambles, and again for the handshake (default 15s, with datagrams 30s)"},
	{"connect-timeout", "limits.connect_timeout", "`TIME` to reach an address (default 10s)"},
	{"idle-timeout", "limits.idle_timeout",
		"`TIME` without a byte either way after which a connection is cut (default 0s, never; with datagrams 60s)"},
	{"drain-timeout", "limits.drain_timeout", "`TIME` that connections have to end after SIGTERM (default 30s)"},
	{"buffer", "limits.buffer", "`SIZE` of what is moved at a time (default 256KiB)"},
	{"log-level", "log.level", "`LEVEL`: debug, info, warn, error (default info)"},
	{"log-format", "log.format", "`FORMAT`: text, json (default text)"},
}

// addFlags gives c the flags that describe one forward.
func addFlags(c *cobra.Command) {
	f := c.Flags()
	f.SortFlags = false
	f.StringP("config", "c", "", "TOML `FILE` with any number of forwards, in place of the flags below")
	f.Bool("check", false, "tell what is wrong with the configuration, and end")
	f.BoolP("verbose", "v", false, "the same as --log-level debug")
	f.String("accept", "", "`ADDRESS` to listen on: HOST:PORT, :PORT, udp:HOST:PORT, unix:PATH")
	f.StringArray("connect", nil,
		"`ADDRESS` to connect to: HOST:PORT, udp:HOST:PORT, unix:PATH; several are tried in order")
	f.Bool("accept-tls", false, "what is accepted is TLS")
	f.Bool("connect-tls", false, "what is connected is TLS")
	f.Bool("accept-dtls", false, "what is accepted is DTLS")
	f.Bool("connect-dtls", false, "what is connected is DTLS")
	for _, p := range plainFlags {
		f.String(p.name, "", p.help)
	}
	for _, side := range sides {
		f.StringArray(side+"-preamble", nil, "the same on the side that is "+side+"ed, which may be plain for some")
		f.Lookup(side + "-preamble").Hidden = true
	}
	f.StringArray("preamble", nil, "`DIALOGUE` before TLS, such as postgres, smtp, connect:HOST:PORT, proxy; several "+
		"follow each other; encase preamble list shows them")
	for _, key := range tlsKeys {
		addTLSFlag(f, key.name, key, false)
		for role, side := range sides {
			if key.role[role] {
				addTLSFlag(f, side+"_"+key.name, key, true)
			}
		}
	}
}

func addTLSFlag(f *pflag.FlagSet, name string, key tlsKey, hidden bool) {
	name = flagName(name)
	switch key.kind {
	case "list":
		f.StringSlice(name, nil, key.help)
	case "yes":
		f.Bool(name, true, key.help)
	default:
		f.String(name, "", key.help)
	}
	f.Lookup(name).Hidden = hidden
}

// flagName returns the flag of a key.
func flagName(key string) string { return strings.ReplaceAll(key, "_", "-") }

// checkCombination refuses flags that contradict each other.
func checkCombination(f *pflag.FlagSet) error {
	file := f.Changed("config")
	var alone []string
	f.Visit(func(flag *pflag.Flag) {
		for _, name := range alwaysFlags {
			if flag.Name == name {
				return
			}
		}
		alone = append(alone, "--"+flag.Name)
	})
	switch {
	case file && len(alone) > 0:
		return exit.Usagef("%s cannot go with --config: write it into the file", strings.Join(alone, ", "))
	case !file && (!f.Changed("accept") || !f.Changed("connect")):
		return exit.Usagef("say --accept and --connect, or --config FILE; encase forward --help has examples")
	}
	return nil
}

// flagDocument makes a document of flags, as if they were a file.
func flagDocument(f *pflag.FlagSet) *document {
	d := flagReader{flags: f, root: map[string]any{}, names: map[string]string{}}
	d.put("config_version", "", int64(configVersion))
	d.put("forward[0].name", "name", "forward")
	d.put("forward[0].accept.address", "accept", text(f, "accept"))
	list, _ := f.GetStringArray("connect")
	d.put("forward[0].connect.address", "connect", anys(list))
	for _, side := range sides {
		d.take("forward[0]."+side+".tls", side+"-tls")
		d.take("forward[0]."+side+".dtls", side+"-dtls")
	}
	for _, p := range plainFlags {
		d.take(p.path, p.name)
	}
	for _, side := range sides {
		d.take("forward[0]."+side+".preamble", side+"-preamble")
	}
	d.short("preamble", both)
	for _, key := range tlsKeys {
		for role, side := range sides {
			if key.role[role] {
				d.take("forward[0]."+side+"."+key.name, side+"-"+flagName(key.name))
			}
		}
		d.short(key.name, key.role)
	}
	d.doc.values, d.doc.place = d.root, d.place
	return &d.doc
}

// A flagReader puts the values of flags where they would stand in a file.
type flagReader struct {
	flags *pflag.FlagSet
	doc   document
	root  map[string]any
	names map[string]string // flags by path
}

// take puts the value of a flag, if it is set, at path. It has the type that it has in a file.
func (d *flagReader) take(path, flag string) {
	if !d.flags.Changed(flag) {
		return
	}
	if list, ok := d.flags.Lookup(flag).Value.(pflag.SliceValue); ok {
		d.put(path, flag, anys(list.GetSlice()))
		return
	}
	if yes, err := d.flags.GetBool(flag); err == nil {
		d.put(path, flag, yes)
		return
	}
	v := any(text(d.flags, flag))
	if isNumber(path) {
		var n int64
		if _, err := fmt.Sscanf(v.(string)+"\n", "%d\n", &n); err == nil {
			v = n
		}
	}
	d.put(path, flag, v)
}

// isNumber reports whether what stands at path in a file is a number.
func isNumber(path string) bool {
	return path == "limits.max_connections" || strings.HasSuffix(path, ".mtu")
}

// short takes a flag without a side for the side that it can only mean.
func (d *flagReader) short(key string, roles [2]bool) {
	flag := flagName(key)
	if !d.flags.Changed(flag) {
		return
	}
	var means []string
	for role, side := range sides {
		if roles[role] && (d.wrapped(side) || roles != both) {
			means = append(means, side)
		}
	}
	at := place{Key: "--" + flag}
	switch len(means) {
	case 0:
		d.doc.problems.Add(at, "has no effect, neither side carries TLS; add --accept-tls or --connect-tls, for datagrams "+
			"--accept-dtls or --connect-dtls, or a codec")
	case 1:
		d.take("forward[0]."+means[0]+"."+key, flag)
	default:
		d.doc.problems.Add(at, "both sides carry TLS; say --accept-%s or --connect-%[1]s", flag)
	}
}

func (d *flagReader) wrapped(side string) bool {
	tls, _ := d.flags.GetBool(side + "-tls")
	dtls, _ := d.flags.GetBool(side + "-dtls")
	return tls || dtls || d.flags.Changed(side+"-codec")
}

// put puts v at path, below tables that it makes.
func (d *flagReader) put(path, flag string, v any) {
	d.names[path] = flag
	table := d.root
	parts := strings.Split(path, ".")
	for _, part := range parts[:len(parts)-1] {
		table = below(table, part)
	}
	table[parts[len(parts)-1]] = v
}

// below returns a table below another; "forward[0]" is the only one of an array.
func below(table map[string]any, part string) map[string]any {
	key, isList := strings.CutSuffix(part, "[0]")
	if table[key] == nil {
		next := map[string]any{}
		table[key] = next
		if isList {
			table[key] = []any{next}
		}
	}
	if isList {
		return table[key].([]any)[0].(map[string]any)
	}
	return table[key].(map[string]any)
}

// place returns the flag for a path, the one that was given or else the shortest that would do.
func (d *flagReader) place(path string) place {
	if flag, ok := d.names[path]; ok {
		return place{Key: "--" + flag}
	}
	name := strings.TrimPrefix(path, "forward[0].")
	name = strings.TrimPrefix(strings.TrimPrefix(name, "limits."), "log.")
	side, key, _ := strings.Cut(name, ".")
	short := d.wrapped(side) && d.wrapped("accept") != d.wrapped("connect")
	if key == "preamble" && short && d.wrapped(side) {
		return place{Key: "--preamble"}
	}
	for _, k := range tlsKeys {
		if k.name == key && (short || k.role != both) {
			return place{Key: "--" + flagName(key)}
		}
	}
	return place{Key: "--" + flagName(strings.ReplaceAll(name, ".", "-"))}
}

func text(f *pflag.FlagSet, name string) string {
	t, _ := f.GetString(name)
	return t
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, t := range list {
		out[i] = t
	}
	return out
}
