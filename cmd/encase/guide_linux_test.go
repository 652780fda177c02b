package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/tun/tuntest"
)

// guide is what a stranger reads, cut into what is typed and what is written into files.
type guide struct{ commands, files []string }

// readGuide reads a section of the operator's guide.
func readGuide(t *testing.T, heading string) (g guide) {
	t.Helper()
	data, err := os.ReadFile("../../tun/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(data), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("there is no section %q", heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	for _, m := range regexp.MustCompile("(?s)\n```(toml)?\n(.*?)\n```\n").FindAllStringSubmatch(text, -1) {
		if m[1] == "toml" {
			g.files = append(g.files, m[2]+"\n")
		} else {
			g.commands = append(g.commands, m[2])
		}
	}
	return g
}

// A machine is a shell with a network, configurations and state of its own.
type machine struct {
	t    *testing.T
	name string
	ns   *tuntest.Namespace
	in   io.Writer
	out  *bufio.Reader
}

// newMachine starts one. dir has the program, and becomes its /etc/encase but for that.
func newMachine(t *testing.T, name, program string) *machine {
	t.Helper()
	m := &machine{t: t, name: name, ns: tuntest.New(t)}
	c := m.ns.Command("unshare", "-m", "--propagation", "private", "sh")
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	c.Stdout, c.Stderr = w, w
	m.in, m.out = stdin, bufio.NewReader(r)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		c.Process.Kill()
		r.Close()
		c.Wait()
	})
	etc := t.TempDir()
	if out, err := exec.Command("cp", "-a", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", etc).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	m.does(fmt.Sprintf("export PATH=%s:$PATH; cd %s; mkdir encase; echo '203.0.113.1 vpn.example.net' >hosts; "+
		"echo 'nameserver 203.0.113.9' >resolv.conf", program, etc))
	m.does(fmt.Sprintf("mount --bind %s /etc && mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/lib && cd /etc/encase", etc))
	return m
}

// does types a command, which must succeed, and returns what it prints.
func (m *machine) does(command string) string {
	m.t.Helper()
	const mark = "-- the command has ended: "
	fmt.Fprintf(m.in, "%s\necho; echo '%s'$?\n", command, mark)
	var all strings.Builder
	for {
		line, err := m.out.ReadString('\n')
		if err != nil {
			m.t.Fatalf("%s: %s: %v", m.name, command, err)
		}
		if status, ended := strings.CutPrefix(line, mark); ended {
			if status != "0\n" {
				m.t.Fatalf("%s: %s: status %s%s", m.name, command, status, &all)
			}
			return strings.TrimSuffix(all.String(), "\n")
		}
		all.WriteString(line)
	}
}

// succeeds repeats a command until it succeeds.
func (m *machine) succeeds(command string) {
	m.t.Helper()
	seconds := int(tuntest.Patience / time.Second)
	m.does(fmt.Sprintf("for i in $(seq %d); do %s >/dev/null 2>&1 && break; sleep 0.3; done; %[2]s", 3*seconds, command))
}

// Who does what the guide says has a tunnel in the end, reaches the network behind the server, and can operate it. Only
// what needs systemd is done by hand, as the guide says that it can be.
func TestGuide(t *testing.T) {
	tuntest.Need(t, "nft", "sysctl", "ping", "unshare")
	g := readGuide(t, "From nothing to a tunnel in five minutes")
	if len(g.commands) != 5 || len(g.files) != 2 {
		t.Fatalf("the guide has %d lists of commands and %d files", len(g.commands), len(g.files))
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, "encase")); err != nil { // which is then the command, see TestMain
		t.Fatal(err)
	}
	server, client := newMachine(t, "server", bin), newMachine(t, "client", bin)
	tuntest.Connect(server.ns, client.ns, "eth0", "203.0.113.1/24", "eth0", "203.0.113.2/24")
	behind := tuntest.New(t)
	tuntest.Connect(server.ns, behind, "eth1", "10.0.0.1/24", "eth0", "10.0.0.9/24")

	trusted := newMachine(t, "authority", bin)
	trusted.does("cd " + t.TempDir())
	trusted.does(g.commands[1])
	pki := strings.TrimSpace(trusted.does("pwd")) + "/pki"
	server.does(fmt.Sprintf("cp %s/ca.crt %[1]s/ca.crl %[1]s/vpn.example.net.* .", pki))
	client.does(fmt.Sprintf("cp %s/ca.crt %[1]s/alice.example.* .", pki))

	server.does("cat >encase0.toml <<'EOF'\n" + g.files[0] + "EOF")
	check, up, _ := strings.Cut(g.commands[2], "\n")
	if got := server.does(check); !strings.Contains(got, "all is well: a server") {
		t.Errorf("%s says %s", check, got)
	}
	_, up, byHand := strings.Cut(up, "# or: ")
	if !byHand {
		t.Fatalf("the guide does not say how to do without systemd: %s", g.commands[2])
	}
	server.does(up + " 2>server.log &")
	server.does(g.commands[3])

	client.does("cat >encase0.toml <<'EOF'\n" + g.files[1] + "EOF")
	up, status, _ := strings.Cut(g.commands[4], "\n")
	client.does(up + " 2>client.log &")
	client.succeeds("ping -q -c 1 -W 1 10.66.0.1")
	client.succeeds("ping -q -c 1 -W 1 10.0.0.9")
	if got := client.does("timeout -s INT 6 " + status + " || :"); !strings.Contains(got, "203.0.113.1") &&
		!strings.Contains(got, "office") {
		t.Errorf("%s shows %s", status, got)
	}
	operate(t, server, client, trusted, pki)
}

// operate does what the guide has for every day.
func operate(t *testing.T, server, client, trusted *machine, pki string) {
	t.Helper()
	for _, c := range []struct{ command, want string }{
		{"encase status", "alice.example"}, {"encase leases", "alice.example"}, {"encase ping alice.example", " ms"},
		{"encase reload", "nothing has changed"}, {"encase kick alice.example", "sent away"},
	} {
		if got := server.does(c.command); !strings.Contains(got, c.want) {
			t.Errorf("%s says %s", c.command, got)
		}
	}
	client.succeeds("ping -q -c 1 -W 1 10.66.0.1")
	for _, c := range []struct{ command, want string }{
		{"encase ban alice.example", "1 sessions ended"}, {"encase ban list", "for ever"},
		{"encase ban del alice.example", "not banned any more"},
	} {
		if got := server.does(c.command); !strings.Contains(got, c.want) {
			t.Errorf("%s says %s", c.command, got)
		}
	}
	server.does("grep alice.example /var/lib/encase/leases.json")
	client.does("encase down; wait")
	client.does("encase up encase0 2>client.log &")
	client.succeeds("ping -q -c 1 -W 1 10.66.0.1")
	trusted.does("encase pki revoke alice.example")
	server.does("cp " + pki + "/ca.crl .")
	client.succeeds("grep 'has been revoked' client.log")
	server.does("encase down; wait")
	client.does("encase down; wait")
}
