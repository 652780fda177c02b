package forward

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/wrap/porttest"
)

// A program is another program with its standard input and what it has written.
type program struct {
	t     testing.TB
	cmd   *exec.Cmd
	stdin io.WriteCloser
	mu    sync.Mutex
	out   bytes.Buffer
	ended chan struct{}
}

// Write takes what the program writes.
func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *program) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

func startProgram(t testing.TB, name string, args ...string) *program {
	t.Helper()
	p := &program{t: t, cmd: exec.Command(name, args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("%s %v:\n%s", name, args, p.output())
		}
	})
	return p
}

func (p *program) say(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

// expect waits until the program has written text.
func (p *program) expect(text string) {
	p.t.Helper()
	p.expectTimes(1, text)
}

func (p *program) expectTimes(n int, text string) {
	p.t.Helper()
	for end := time.Now().Add(patience); strings.Count(p.output(), text) < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("the program has not written %q %d times", text, n)
		}
	}
}

func (p *program) wait() {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatal("the program does not end")
	}
}

var opensslVersions = map[string]string{"TLS 1.2": "-tls1_2", "TLS 1.3": "-tls1_3"}

// openssl s_client into a forward, with a client certificate, application protocols, and the end in both directions.
func TestOpenSSLClient(t *testing.T) {
	needs(t, "openssl")
	f := certificates(t)
	for version, flag := range opensslVersions {
		t.Run(version, func(t *testing.T) {
			keys := fmt.Sprintf("ca = %q\nclient_auth = \"require\"\nalpn = [\"h2\", \"imap\"]\n", f.path("ca.crt"))
			d := run(t, forwardTOML("out", anyPort, f.server("raw")+keys, serveTCP(t, echo), ""))
			c := startProgram(t, "openssl", "s_client", "-connect", d.address("out"), flag, "-CAfile", f.path("ca.crt"),
				"-verify_return_error", "-servername", "server.test", "-verify_hostname", "server.test",
				"-cert", f.path("client.crt"), "-key", f.path("client.key"), "-alpn", "imap", "-quiet", "-no_ign_eof")
			c.say("hello from openssl")
			c.expect("hello from openssl")
			c.stdin.Close()
			c.wait()
			e := d.find(t, 0, "connection closed", "by", "client")
			got, _ := e["client_tls"].(map[string]any)
			if got["version"] != version || got["alpn"] != "imap" || got["peer"] != "CN=client.test" {
				t.Errorf("the log says %v", got)
			}
		})
	}
}

// A forward into openssl s_server, which sends every line back reversed.
func TestOpenSSLServer(t *testing.T) {
	needs(t, "openssl")
	f := certificates(t)
	for version, flag := range opensslVersions {
		t.Run(version, func(t *testing.T) {
			address := porttest.Free(t)
			s := startProgram(t, "openssl", "s_server", "-accept", address, flag, "-cert", f.path("server.crt"),
				"-key", f.path("server.key"), "-CAfile", f.path("ca.crt"), "-Verify", "1", "-verify_return_error",
				"-alpn", "imap,h2", "-rev")
			s.expect("ACCEPT")
			d := run(t, forwardTOML("in", anyPort, "", address, f.client("raw")+
				fmt.Sprintf("cert = %q\nkey = %q\nalpn = \"h2\"\n", f.path("client.crt"), f.path("client.key"))))
			for i := range 2 { // the second one resumes
				c := d.dial("in")
				if got := sayLine(t, c, "hello"); got != "olleh" {
					t.Errorf("got %q", got)
				}
				c.Close()
				e := d.find(t, i, "connection closed", "by", "client")
				got, _ := e["server_tls"].(map[string]any)
				if got["version"] != version || got["alpn"] != "h2" || got["resumed"] != (i > 0) {
					t.Errorf("connection %d: the log says %v", i, got)
				}
			}
		})
	}
}

// openssl s_client resumes sessions with a forward.
func TestOpenSSLResumes(t *testing.T) {
	needs(t, "openssl")
	f := certificates(t)
	for version, flag := range opensslVersions {
		t.Run(version, func(t *testing.T) {
			d := run(t, forwardTOML("out", anyPort, f.server("raw"), serveTCP(t, echo), ""))
			session := f.path("session-" + flag)
			for i, keep := range []string{"-sess_out", "-sess_in"} {
				c := startProgram(t, "openssl", "s_client", "-connect", d.address("out"), flag, "-CAfile", f.path("ca.crt"),
					"-servername", "server.test", keep, session, "-quiet", "-no_ign_eof")
				c.say("hello")
				c.expect("hello")
				c.stdin.Close()
				c.wait()
				e := d.find(t, i, "connection closed")
				if got, _ := e["client_tls"].(map[string]any); got["resumed"] != (i > 0) || got["version"] != version {
					t.Errorf("connection %d: the log says %v", i, got)
				}
			}
		})
	}
	t.Run("reconnect", func(t *testing.T) {
		d := run(t, forwardTOML("out", anyPort, f.server("raw"), serveTCP(t, echo), ""))
		c := startProgram(t, "openssl", "s_client", "-connect", d.address("out"), "-tls1_2", "-CAfile", f.path("ca.crt"),
			"-servername", "server.test", "-reconnect")
		c.expectTimes(5, "Reused, TLSv1.2")
	})
}

// New keys while data flows: openssl sends key updates, and asks for some, and everything still arrives.
func TestOpenSSLKeyUpdate(t *testing.T) {
	needs(t, "openssl")
	f := certificates(t)
	d := run(t, forwardTOML("out", anyPort, f.server("raw"), serveTCP(t, echo), ""))
	c := startProgram(t, "openssl", "s_client", "-connect", d.address("out"), "-tls1_3",
		"-CAfile", f.path("ca.crt"), "-servername", "server.test")
	c.expect("Verify return code: 0 (ok)")
	for i := range 4 {
		command := []string{"k", "K"}[i%2]
		c.say(command)
		c.expectTimes(i+1, "KEYUPDATE")
		line := fmt.Sprintf("line %d under new keys", i)
		c.say(line)
		c.expect(line)
	}
	c.say("Q")
	c.wait()
	d.find(t, 0, "connection closed", "by", "client")
}
