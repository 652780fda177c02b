package forward

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/encase-tls/encase/cmd/encase/exit"
	"github.com/encase-tls/encase/wrap/needtest"
)

// runCommandLine runs the command until it ends by itself.
func runCommandLine(args ...string) (status int, stdout, stderr string) {
	c := Command()
	var out, errs bytes.Buffer
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(&errs)
	err := c.Execute()
	if err != nil {
		errs.WriteString(err.Error() + "\n")
	}
	return exit.Status(err), out.String(), errs.String()
}

func TestCommandLine(t *testing.T) {
	folder(t)
	write(t, "good.toml", accept(`address = ":1"`))
	write(t, "lost.toml", "config_version = 1\n[[forward]]\nname = \"a\"\naccept.address = \"192.0.2.1:1\"\n"+
		"connect.address = \"nobody.invalid:1\"\n[[forward]]\nconnect.address = \"unix:/nowhere/x\"\n"+
		"accept.address = \"unix:/nowhere/y\"\nname = \"b\"\n")
	occupied := says(t, "mine")
	sides := func(args ...string) []string {
		return append([]string{"--accept", ":1000", "--connect", "127.0.0.1:1"}, args...)
	}
	for _, c := range []struct {
		name   string
		args   []string
		status int
		want   []string // parts of the lines on standard error
	}{
		{"nothing", nil, exit.Usage, []string{"say --accept and --connect, or --config FILE"}},
		{"unknown flag", []string{"--acept", "x"}, exit.Usage, []string{"unknown flag: --acept"}},
		{"half", []string{"--accept", ":1"}, exit.Usage, []string{"say --accept and --connect"}},
		{"both ways", []string{"--config", "x", "--accept", ":1", "--ca", "x"}, exit.Usage,
			[]string{"--accept, --ca cannot go with --config: write it into the file"}},
		{"argument", []string{"x"}, exit.Usage, []string{`unknown command "x"`}},
		{"no file", []string{"--config", "gone.toml"}, statusConfig,
			[]string{"gone.toml: gone.toml: no such file or directory; name a file", "one mistake in the configuration"}},
		{"check", sides("--check"), exit.OK, nil},
		{"check TLS", sides("--check", "--connect-codec", "length:16be", "--ca", "long.crt", "--server-name", "a",
			"--alpn", "h2,imap", "--pins", strings.Repeat("0", 64), "--accept-tls", "--accept-cert", "both.pem",
			"--accept-ca", "long.crt", "--client-auth", "require", "--min-version", "1.3", "--accept-min-version", "1.3"),
			statusConfig,
			[]string{"--ca: both sides carry TLS; say --accept-ca or --connect-ca", "--pins: both sides", "--alpn: both sides",
				"--min-version: both sides", "4 mistakes"}},
		{"check both sides", sides("--check", "--connect-codec", "length:16be", "--connect-ca", "ca.crt",
			"--server-name", "a", "--accept-tls", "--accept-cert", "both.pem", "--accept-ca", "ca.crt",
			"--client-auth", "require"), exit.OK, nil},
		{"TLS nowhere", sides("--cert", "long.crt"), statusConfig, []string{
			"--cert: has no effect, neither side carries TLS; add --accept-tls or --connect-tls, for datagrams --accept-dtls or --connect-dtls, or a codec", "one mistake"}},
		{"mistakes", sides("--accept-codec", "x", "--drain-timeout", "5", "--max-connections", "many", "--log-level", "x",
			"--client-auth", "require"), statusConfig, []string{
			`--log-level: "x" is not allowed`, `--max-connections: must be a whole number`,
			`--drain-timeout: "5" is no duration`, `--accept-codec: codecs: unknown codec "x"`,
			`--cert: is missing: who accepts TLS`, `--ca: is missing: --client-auth needs to know`, "6 mistakes"}},
		{"no server name", []string{"--accept", ":1", "--connect", "unix:/x", "--connect-tls"}, statusConfig,
			[]string{"--server-name: is missing", "one mistake"}},
		{"log flags over a file", []string{"--config", "good.toml", "--log-format", "xml", "--check"}, statusConfig,
			[]string{"warning: neither side has TLS", `--log-format: "xml" is not allowed; choose one of text, json`,
				"one mistake"}},
		{"check a file", []string{"--config", "good.toml", "--check", "-v"}, exit.OK, nil},
		{"what only the machine knows", []string{"--config", "lost.toml", "--check"}, statusConfig, []string{
			"lost.toml:4: forward.accept.address: warning: neither side has TLS: all is forwarded in clear",
			"lost.toml:7: forward.connect.address: warning: unix:/nowhere/x: the socket is not there; start the server",
			"lost.toml:8: forward.accept.address: warning: neither side has TLS",
			"lost.toml:4: forward.accept.address: 192.0.2.1:1: ",
			"lost.toml:5: forward.connect.address: nobody.invalid:1: the name does not resolve",
			"lost.toml:8: forward.accept.address: unix:/nowhere/y: the folder is not there; run: mkdir -p", "3 mistakes"}},
		{"occupied", []string{"--accept", occupied, "--connect", "127.0.0.1:1"}, exit.Failed,
			[]string{"neither side has TLS", "address already in use; another program listens there"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, stdout, stderr := runCommandLine(c.args...)
			if status != c.status {
				t.Errorf("exit status %d, want %d", status, c.status)
			}
			lines := strings.Split(strings.TrimSpace(stderr), "\n")
			if status == exit.OK && !strings.HasPrefix(stdout, "all is well: 1 forward") {
				t.Errorf("standard output %q", stdout)
			}
			if status != exit.OK && len(lines) != len(c.want) {
				t.Fatalf("standard error:\n%swant %d lines: %q", stderr, len(c.want), c.want)
			}
			for i, want := range c.want {
				if !strings.Contains(lines[i], want) {
					t.Errorf("line %d is %q, want %q", i, lines[i], want)
				}
			}
		})
	}
}

// The flags of the first example of --help work: two programs, one for each end.
func TestFlags(t *testing.T) {
	f := certificates(t)
	out := execute(t, "--accept", anyPort, "--connect", serveTCP(t, echo), "--accept-codec", "length:16be",
		"--cert", f.path("server.crt"), "--key", f.path("server.key"), "--ca", f.path("ca.crt"), "--client-auth", "require",
		"--name", "out")
	in := execute(t, "--accept", anyPort, "--connect", out.address("out"), "--connect-codec", "length:16be",
		"--ca", f.path("ca.crt"), "--server-name", "server.test",
		"--cert", f.path("client.crt"), "--key", f.path("client.key"), "-v")
	c := in.dial("forward")
	if got := sayLine(t, c, "hello"); got != "hello" {
		t.Errorf("got %q", got)
	}
	in.find(t, 0, "connected", "level", "DEBUG")
	c.Close()
	out.find(t, 0, "connection closed", "client_tls", "CN=client.test")
}

// The text that --help shows as a configuration is one.
func TestHelpExample(t *testing.T) {
	folder(t)
	_, rest, _ := strings.Cut(long, "\nFILE\n")
	rest, _, ok := strings.Cut(rest, "\nSIGNALS\n")
	if !ok {
		t.Fatal("--help has no section about files")
	}
	var text strings.Builder
	for line := range strings.Lines(rest) {
		if indented, ok := strings.CutPrefix(line, "    "); ok {
			text.WriteString(indented)
		}
	}
	files := strings.NewReplacer("/etc/encase/gate.pem", "long.crt", "/etc/encase/gate.key", "long.key",
		"/etc/encase/ca.pem", "ca.crt")
	if got := mistakes(files.Replace(text.String())); got != "none" {
		t.Error(got)
	}
	for line := range strings.Lines(long + "\n" + example) {
		if len(line) > 81 {
			t.Errorf("%d columns: %s", len(line)-1, line)
		}
	}
}

// needs skips a test if a program is missing.
func needs(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			needtest.Skip(t, "%s is not installed", p)
		}
	}
}
