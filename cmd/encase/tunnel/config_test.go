package tunnel

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/encase-tls/encase/cmd/encase/conf"
)

// Each mistake is told with its line and its key, and what to write instead; all of a file at once.
func TestMistakes(t *testing.T) {
	dir := identities(t)
	writeFile(t, dir+"/loose.key", "x")
	for _, c := range []struct {
		name string
		base string   // replaced parts: old, new
		edit []string // pairs
		want []string // parts of lines, in order
	}{
		{"nothing", "", nil, []string{":1: config_version: is missing; write: config_version = 1",
			"neither server nor client"}},
		{"no TOML", "a = b", nil, []string{":1: not TOML"}},
		{"twice", serverFile + "[identity]\n", nil, []string{":10: not TOML", "no key stands twice"}},
		{"a mark of Windows", "\ufeff" + serverFile, nil, nil},
		{"a version of the future", serverFile, []string{"version = 1", "version = 2"},
			[]string{":1: config_version: is 2; this program reads 1"}},
		{"unknown key", serverFile, []string{"[interface]", "[interface]\nadresses = 3"},
			[]string{`:3: interface.adresses: unknown key; did you mean "addresses"?`}},
		{"unknown table", serverFile, []string{"[[listen]]", "[[listn]]"}, []string{"neither server nor client",
			`:8: listn: unknown key; did you mean "listen"?`}},
		{"not an array", serverFile, []string{"[[listen]]", "[listen]"},
			[]string{":8: listen: must be a table: [[listen]], in double brackets"}},
		{"both sides", serverFile + "[[peer]]\n", nil, []string{":10: peer: a file is for a server"}},
		{"the other side's keys", serverFile, []string{"[identity]",
			"kill_switch = true\nroutes = [\"10.0.0.0/8\"]\n[identity]"},
			[]string{":4: interface.kill_switch: is for a client", ":5: interface.routes: is for a client"}},
		{"the other side's table", clientFile + "[[client]]\nname = \"x\"\n", nil,
			[]string{":11: client: is for a server, this file is for a client; take the table out"}},
		{"no address", serverFile, []string{`addresses = ["10.66.0.1/24", "fd66::1/64"]`, ""},
			[]string{"interface.addresses: is missing: a server needs an address"}},
		{"addresses that are none", serverFile, []string{`"fd66::1/64"`, `"fd66::1"`},
			[]string{`:3: interface.addresses: "fd66::1" is no address with the length of its network`}},
		{"two pools of a family", serverFile, []string{`"fd66::1/64"`, `"10.67.0.1/24"`},
			[]string{":3: interface.addresses: two of the same family"}},
		{"a pool without room", serverFile, []string{`10.66.0.1/24`, `10.66.0.1/32`}, []string{"has no room for clients"}},
		{"a network with bits behind", clientFile, []string{"[identity]",
			"[interface]\nroutes = [\"10.0.0.1/8\"]\n[identity]"},
			[]string{`:3: interface.routes: "10.0.0.1/8" has bits behind its length; write "10.0.0.0/8"`}},
		{"types", serverFile, []string{"[identity]", "mtu = \"1400\"\nqueues = 0\nattach = 1\noffload = \"on\"\ngso_max = " +
			"3\nname = [\"a\"]\n[identity]"},
			[]string{":4: interface.mtu: must be a whole number", ":5: interface.queues: is out of bounds; 1 to 256",
				":6: interface.attach: must be true or " +
					"false", `:7: interface.offload: "on" is not allowed; choose one of ["auto" "tcp" "off"]`,
				`:8: interface.gso_max: must be a size`, ":9: interface.name: must be a string"}},
		{"the name", serverFile, []string{"[identity]", "name = \"a name that is too long\"\n[identity]"},
			[]string{":4: interface.name:"}},
		{"numbered by the kernel", serverFile, []string{"[identity]", "name = \"tun%d\"\n[identity]"},
			[]string{":4: interface.name:"}},
		{"durations", serverFile + "[server]\nkeepalive = \"60s\"\ndead = \"30s\"\nrekey = \"1d\"\n", nil,
			[]string{":12: server.dead: is 30s, shorter than server.keepalive, 1m", ":13: server.rekey: must be a duration"}},
		{"files", serverFile, []string{"server.crt", "gone.crt", "server.key", "loose.key", "ca.crt", "server.key"},
			[]string{":5: identity.cert: ", "gone.crt: no such file", ":6: identity.key: ", "no private key in PEM form",
				":7: identity.ca: ", "no certificate in PEM form"}},
		{"not the key", serverFile, []string{"server.key", "client.key"}, []string{":6: identity.key: "}},
		{"no identity", serverFile, []string{`cert = "DIR/server.crt"`, "", `key = "DIR/server.key"`, "",
			`ca = "DIR/ca.crt"`, ""},
			[]string{"identity.cert: is missing", "identity.key: is missing", "identity.ca: is missing"}},
		{"no list of revoked ones", serverFile, []string{"[[listen]]", "crl = \"DIR/ca.crt\"\n[[listen]]"},
			[]string{":8: identity.crl: "}},
		{"nowhere to listen", serverFile, []string{`address = "127.0.0.1:4433"`, ""}, []string{"listen.address: is missing"}},
		{"no port", serverFile, []string{"127.0.0.1:4433", "127.0.0.1"},
			[]string{":9: listen.address: \"127.0.0.1\" is no address"}},
		{"twice the same", serverFile + "[[listen]]\naddress = \"127.0.0.1:4433\"\n", nil,
			[]string{":11: listen.address: 127.0.0.1:4433 is listened on already"}},
		{"no such codec", clientFile, []string{"length:16be", "lenght:16be"}, []string{":10: peer.endpoint.codec: "}},
		{"a codec for the other carrier", clientFile, []string{"length:16be", "capwap"},
			[]string{`:10: peer.endpoint.codec: "capwap" does not tell frames apart in a stream`}},
		{"a stream's codec over datagrams", clientFile, []string{`"tcp"`, `"udp"`, "length:16be", "websocket"},
			[]string{`:10: peer.endpoint.codec: "websocket" does not frame each datagram by itself`}},
		{"what does not fit the carrier", clientFile, []string{"[[peer.endpoint]]", "[[peer.endpoint]]\nmtu = 1400"},
			[]string{":8: peer.endpoint.mtu: is for carrier"}},
		{"frames as IP packets", framesFile, nil, nil},
		{"frames without addresses", framesFile, []string{`addresses = ["198.18.0.1", "fd18::1"]`, ""},
			[]string{":11: carrier: needs addresses for carrier = \"tun253\""}},
		{"a carrier that nobody uses", serverFile + "[carrier]\naddresses = [\"198.18.0.1\"]\n", nil,
			[]string{":10: carrier: has no effect without carrier = \"tun253\""}},
		{"addresses of frames", framesFile,
			[]string{`"198.18.0.1", "fd18::1"`, `"10.66.0.7", "fe80::1", "198.18.0.1", "198.18.0.1"`},
			[]string{":12: carrier.addresses: carrier: fe80::1 is no address", ":12: carrier.addresses: 198.18.0.1 is there",
				":12: carrier.addresses: 10.66.0.7 is in the tunnel (10.66.0.0/24)"}},
		{"the name of the carrier", framesFile, []string{"[carrier]", "[carrier]\nname = \"encase0\""},
			[]string{":12: carrier.name: is that of the tunnel's interface"}},
		{"a port for frames", framesFile, []string{`address = "198.18.0.1"`, `address = "198.18.0.1:443"`},
			[]string{`listen.address: "198.18.0.1:443" is not in carrier.addresses`}},
		{"a client of frames", framesClientFile, nil, nil},
		{"a client that cannot get there", framesClientFile, []string{`["198.18.0.2"]`, `["fd18::2"]`},
			[]string{":11: carrier.addresses: 198.18.0.1 cannot be reached from [fd18::2]"}},
		{"a client of itself", framesClientFile, []string{`["198.18.0.2"]`, `["198.18.0.1"]`},
			[]string{":9: peer.endpoint.address: 198.18.0.1 is in carrier.addresses"}},
		{"a client with a port", framesClientFile, []string{`address = "198.18.0.1"`, `address = "vpn.test:443"`},
			[]string{`:9: peer.endpoint.address: "vpn.test:443" is no host`}},
		{"a stream's codec in frames", framesClientFile, []string{"[carrier]", "codec = \"websocket\"\n[carrier]"},
			[]string{`peer.endpoint.codec: "websocket" does not frame each datagram by itself`}},
		{"no room in datagrams", serverFile + "mtu = 600\ncodec = \"capwap\"\n", nil, nil},
		{"two servers", clientFile + "[[peer]]\n", nil, []string{":11: peer: a tunnel has one server"}},
		{"no endpoint", clientFile, []string{"[[peer.endpoint]]", "[identity.x]"},
			[]string{"peer: there is no [[peer.endpoint]]"}},
		{"a kill switch that lets nothing out", clientFile, []string{"[identity]",
			"[interface]\nkill_switch = true\nfwmark = 0\n[identity]"},
			[]string{":3: interface.kill_switch: needs a mark"}},
		{"clients", serverFile + "[[client]]\naddresses = [\"10.66.0.1\", \"10.9.0.1\"]\n[[client]]\nname = " +
			"\"a\"\naddresses = [\"10.9.0.1\"]\n" +
			"[[client]]\nname = \"a\"\n", nil, []string{":10: client.name: is missing",
			":11: client.addresses: 10.66.0.1 is the server's",
			":11: client.addresses: 10.9.0.1 is in no pool", ":14: client.addresses: 10.9.0.1 is that of",
			`:16: client.name: "a" is there already`}},
		{"preambles", serverFile + "preamble = [\"socks5\"]\n", nil,
			[]string{":10: listen.preamble: is for carrier = \"tcp\""}},
		{"an empty string", serverFile, []string{"[identity]", "netns = \"\"\nname = \" \"\n[identity]"},
			[]string{":5: interface.name: is empty"}},
		{"the control socket", serverFile + "[observability]\ncontrol_socket = \"/" + strings.Repeat("x", 120) + "\"\n", nil,
			[]string{":11: observability.control_socket: is longer"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.NewReplacer(c.edit...).Replace(c.base)
			cfg, found := read("f", []byte(strings.ReplaceAll(text, "DIR", dir)))
			if (cfg == nil) != (len(c.want) > 0) {
				t.Fatalf("a configuration: %v, problems: %v", cfg != nil, found)
			}
			all := ""
			if err := found.Err(); err != nil {
				all = err.Error()
			}
			rest := all
			for _, want := range c.want {
				_, after, ok := strings.Cut(rest, want)
				if !ok {
					t.Errorf("%q is missing, or out of order, in:\n%s", want, all)
					continue
				}
				rest = after
			}
		})
	}
}

// Both examples are right, and defaults are those of the table.
func TestDefaults(t *testing.T) {
	dir := identities(t)
	for _, text := range []string{serverFile, clientFile} {
		cfg, found := read("f", []byte(strings.ReplaceAll(text, "DIR", dir)))
		if cfg == nil {
			t.Fatal(found)
		}
		if cfg.controlAt != "/run/encase/encase0.sock" || cfg.iface.MTU != 1400 || cfg.iface.QueueLen != 2000 {
			t.Errorf("%+v", cfg)
		}
	}
	cfg, _ := read("f", []byte(strings.ReplaceAll(clientFile, "DIR", dir)))
	if e := cfg.endpoints[0]; e.serverName != "server.test" || e.String() != "tcp://server.test:4433" {
		t.Errorf("%+v", e)
	}
	cfg, _ = read("f", []byte(strings.ReplaceAll(serverFile, "DIR", dir)))
	if len(cfg.pools) != 2 || cfg.pools[0].String() != "10.66.0.0/24" || cfg.refuses {
		t.Errorf("pools %v, refuses %v", cfg.pools, cfg.refuses)
	}
}

// Every key and table is documented, stands in a table that there is, and has a default of its kind.
func TestKeys(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range keys {
		parent, name := split(k.path)
		switch {
		case seen[k.path]:
			t.Errorf("%s is there twice", k.path)
		case findTable(parent) == nil || name == "":
			t.Errorf("%s stands in no table", k.path)
		case !strings.HasSuffix(k.doc, ".") || k.kind.name == "" || k.change != live && k.change != restart:
			t.Errorf("%s is not described: %+v", k.path, k)
		}
		seen[k.path] = true
		if k.def != nil {
			if _, err := k.kind.parse(asTOML(k.def)); err != nil {
				t.Errorf("the default of %s %v", k.path, err)
			}
		}
	}
	for _, tb := range tables {
		if tb.doc == "" || tb.path != "" && len(namesIn(tb.path)) == 0 {
			t.Errorf("the table %q has no description or no keys", tb.path)
		}
	}
}

// No key is read and then forgotten: the code asks for each.
func TestKeysAreUsed(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	code := ""
	for _, f := range files {
		if f != "keys.go" && f != "manual.go" && !strings.HasSuffix(f, "_test.go") {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			code += string(data)
		}
	}
	for _, k := range keys {
		parent, name := split(k.path)
		whole := strings.Contains(code, `"`+k.path+`"`)
		inArray := strings.Contains(parent, "listen") || strings.HasPrefix(parent, "peer") || parent == "client"
		if !whole && !(inArray && strings.Contains(code, `.`+name+`"`)) {
			t.Errorf("nobody asks for %s", k.path)
		}
	}
}

// What changes at once and what waits is told apart.
func TestChanges(t *testing.T) {
	dir := identities(t)
	base := strings.ReplaceAll(serverFile, "DIR", dir)
	old, _ := read("f", []byte(base))
	next, found := read("f", []byte(strings.Replace(base, "4433", "4434", 1)+
		"[server]\npush.routes = [\"10.0.0.0/8\"]\n[[client]]\nname = \"a\"\n"))
	if next == nil {
		t.Fatal(found)
	}
	now, later := changes(old, next)
	if got := describe(now, later); got != "changed: server.push.routes, client.name\nnot changed before a restart: "+
		"listen.address" {
		t.Error(got)
	}
	if c := next.withRestartPartOf(old); c.listens[0].address != "127.0.0.1:4433" || len(c.push.routes) != 1 ||
		!c.refuses {
		t.Errorf("%+v", c)
	}
}

// No file crashes the reader, and every problem stands on a line of the file.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{serverFile, clientFile, "a.b.c = 1", "[[listen]]\n[listen.x]",
		"listen = [1, {address = 2}]",
		"[server]\npush.routes = [[]]", "interface.name = {a = " +
			"1}", "[[peer]]\n[[peer.endpoint]]\n[[peer.endpoint]]", "peer = [{endpoint = [{}]}]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, forbidden := range []string{"desc:", "wasm:", "exec"} { // would read files that the fuzzer names
			if strings.Contains(string(data), forbidden) {
				return
			}
		}
		cfg, found := read("f", data)
		if (cfg == nil) != (found.Err() != nil) {
			t.Fatalf("a configuration: %v, %v", cfg != nil, found)
		}
		lines := strings.Count(string(data), "\n") + 1
		for _, p := range append(found.Warnings(), conf.Problems(found)...) {
			if p.Place.Line < 1 || p.Place.Line > lines {
				t.Fatalf("%v of %d lines", p, lines)
			}
		}
	})
}

// What a server and a client have whose frames are IP packets.
var (
	framesFile = strings.NewReplacer("[[listen]]\naddress = \"127.0.0.1:4433\"\n",
		"[[listen]]\ncarrier = \"tun253\"\naddress = \"198.18.0.1\"\n").Replace(serverFile) +
		"[carrier]\naddresses = [\"198.18.0.1\", \"fd18::1\"]\n"
	framesClientFile = strings.NewReplacer(`"tcp"`, `"tun253"`, "server.test:4433", "198.18.0.1",
		"codec = \"length:16be\"\n", "").Replace(clientFile) + "[carrier]\naddresses = [\"198.18.0.2\"]\n"
)
