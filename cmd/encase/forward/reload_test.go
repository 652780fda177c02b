package forward

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// says returns a server that sends a line to everybody and then echoes.
func says(t testing.TB, line string) (address string) {
	return serveTCP(t, func(c net.Conn) {
		fmt.Fprintln(c, line)
		echo(c)
	})
}

// hear connects to a forward and returns the line that comes.
func (d *daemon) hear(name string) string {
	d.t.Helper()
	c := d.dial(name)
	defer c.Close()
	b := make([]byte, 100)
	n, err := c.Read(b)
	if err != nil {
		d.t.Fatal(err)
	}
	return strings.TrimSpace(string(b[:n]))
}

// A reload adds, removes and changes forwards. Who is connected stays connected to what he was connected to.
func TestReload(t *testing.T) {
	red, green := says(t, "red"), says(t, "green")
	d := run(t, forwardTOML("a", anyPort, "", red, "")+forwardTOML("b", anyPort, "", red, ""))
	addressA, addressB := d.address("a"), d.address("b")
	onA, onB := d.dial("a"), d.dial("b")
	for _, c := range []net.Conn{onA, onB} {
		if got := sayLine(t, c, "hello"); got != "red" {
			t.Fatalf("got %q", got)
		}
	}
	d.reloadWith(t, forwardTOML("a", anyPort, "", green, "")+forwardTOML("c", anyPort, "", green, ""))
	if got := d.hear("a"); got != "green" {
		t.Errorf("the changed forward connects to %q, want green", got)
	}
	if got := d.hear("c"); got != "green" {
		t.Errorf("the added forward connects to %q, want green", got)
	}
	if d.count("listening", "forward", "a") != 1 || d.address("a") != addressA {
		t.Error("the listener of the changed forward was not kept")
	}
	d.find(t, 0, "listening no more", "forward", "b")
	if c, err := net.Dial("tcp", addressB); err == nil {
		c.Close()
		t.Error("the removed forward still listens")
	}
	for _, c := range []net.Conn{onA, onB} { // both got their echo of "hello" already, or get it now
		if got := sayLine(t, c, "again"); got != "hello" && got != "again" {
			t.Errorf("an old connection got %q", got)
		}
	}
}

// A configuration with mistakes, or one that cannot be used, changes nothing.
func TestReloadRefused(t *testing.T) {
	red := says(t, "red")
	good := forwardTOML("a", anyPort, "", red, "")
	d := run(t, good)
	occupied := says(t, "mine")
	free := func() string {
		l, err := net.Listen("tcp", anyPort)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Addr().String()
	}()
	d.reloadWith(t, forwardTOML("a", anyPort, "", "green:xyz", "")+"[limits]\nidle_timeot = \"1s\"\n")
	d.find(t, 0, "configuration", "at", "encase.toml:9: forward.connect.address", "problem", `"xyz" is no port`)
	d.find(t, 0, "configuration", "at", "encase.toml:12: limits.idle_timeot", "problem", `did you mean "idle_timeout"?`)
	d.find(t, 0, "not reloaded: everything goes on as it was", "mistakes", "2")
	d.reloadWith(t, forwardTOML("b", free, "", red, "")+forwardTOML("c", occupied, "", red, ""))
	d.find(t, 0, "not reloaded: everything goes on as it was", "error", "in use; another program listens there")
	if c, err := net.Dial("tcp", free); err == nil {
		c.Close()
		t.Error("half of a refused configuration is in use")
	}
	if got := d.hear("a"); got != "red" {
		t.Errorf("after refused configurations the forward connects to %q", got)
	}
}

// serial returns the serial number of the certificate that a TLS server has now.
func (f testFiles) serial(t testing.TB, address string) string {
	t.Helper()
	c, err := tls.Dial("tcp", address, &tls.Config{RootCAs: f.ca.Pool(), ServerName: "server.test"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// New connections get the certificate that is in the file now.
func TestReloadCertificate(t *testing.T) {
	f := certificates(t)
	text := forwardTOML("out", anyPort, f.server("raw"), serveTCP(t, echo), "")
	d := run(t, text)
	serial := func() string { return f.serial(t, d.address("out")) }
	before := serial()
	f.issue(t, "server")
	if got := serial(); got != before {
		t.Error("the certificate changed without a reload")
	}
	d.reloadWith(t, text)
	if got := serial(); got == before {
		t.Error("the certificate is still the old one after a reload")
	}
	if err := os.Chmod(f.path("server.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	after := serial()
	d.reloadWith(t, text)
	d.find(t, 0, "configuration", "at", "forward.accept.key", "problem", "run: chmod 600")
	if got := serial(); got != after {
		t.Error("the certificate is not the one of the last good configuration")
	}
}

// Clients that come all the time do not notice reloads.
func TestReloadUnderLoad(t *testing.T) {
	f := certificates(t)
	backends := []string{serveTCP(t, echo), serveTCP(t, echo)}
	out := run(t, forwardTOML("out", anyPort, f.server("length:16be"), backends[0], ""))
	in := run(t, forwardTOML("in", anyPort, "", out.address("out"), f.client("length:16be")))
	var clients sync.WaitGroup
	var trips atomic.Int64
	done := make(chan struct{})
	entrance, data := in.address("in"), random(50_000)
	for range 4 {
		clients.Go(func() {
			for !isDone(done) && !t.Failed() {
				c, err := net.Dial("tcp", entrance)
				if err != nil {
					t.Error(err)
					return
				}
				c.SetDeadline(time.Now().Add(patience))
				if back, err := roundTrip(c, data); err != nil || !bytes.Equal(back, data) {
					t.Errorf("%d of %d bytes came back, %v", len(back), len(data), err)
				}
				c.Close()
				trips.Add(1)
			}
		})
	}
	for i := range 20 {
		f.issue(t, "server")
		out.reloadWith(t, forwardTOML("out", anyPort, f.server("length:16be"), backends[i%2], ""))
		in.reloadWith(t, forwardTOML("in", anyPort, "", out.address("out"), f.client("length:16be")))
	}
	eventually(t, "some round trips", func() bool { return trips.Load() > 20 || t.Failed() })
	close(done)
	clients.Wait()
	if n := out.count("connection cut") + in.count("connection failed"); n > 0 {
		t.Errorf("%d connections ended in disorder", n)
	}
}

func isDone(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// After SIGTERM nobody is let in, who is there may finish, and the program ends with status 0.
func TestDrain(t *testing.T) {
	d := executeConfig(t, forwardTOML("in", anyPort, "", serveTCP(t, echo), ""))
	c := d.dial("in")
	sayLine(t, c, "before")
	d.send(syscall.SIGTERM)
	d.find(t, 0, "stopping", "connections", "1")
	if late, err := net.Dial("tcp", d.address("in")); err == nil {
		late.Close()
		t.Error("a connection was accepted after SIGTERM")
	}
	if got := sayLine(t, c, "after"); got != "after" {
		t.Errorf("got %q", got)
	}
	if isDone(d.ended) {
		t.Error("the program ended before its connection")
	}
	c.Close()
	d.wait()
	if d.status != 0 {
		t.Errorf("exit status %d, want 0", d.status)
	}
}

// Connections that do not end are cut when the time is over, or at a second signal.
func TestDrainEnds(t *testing.T) {
	for name, timeout := range map[string]string{"timeout": "200ms", "second signal": "1h"} {
		t.Run(name, func(t *testing.T) {
			f := certificates(t)
			d := executeConfig(t, forwardTOML("out", anyPort, f.server("raw"), serveTCP(t, echo), "")+
				fmt.Sprintf("[limits]\ndrain_timeout = %q\n", timeout))
			in := run(t, forwardTOML("in", anyPort, "", d.address("out"), f.client("raw")))
			c := in.dial("in")
			sayLine(t, c, "hello")
			half := d.dial("out") // in its handshake
			d.find(t, 0, "accepted")
			d.send(syscall.SIGINT)
			d.find(t, 0, "stopping")
			if name == "second signal" {
				d.send(syscall.SIGTERM)
			}
			d.wait()
			if d.status != 0 {
				t.Errorf("exit status %d, want 0", d.status)
			}
			d.find(t, 0, "connection cut", "reason", "drained")
			if _, err := c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
				t.Errorf("the connection that was cut ended with %v", err)
			}
			expectEnd(t, half)
		})
	}
}

// With flags in place of a file, a reload reads the certificates again.
func TestReloadFlags(t *testing.T) {
	f := certificates(t)
	d := execute(t, "--accept", anyPort, "--connect", serveTCP(t, echo), "--accept-tls", "--cert", f.path("server.crt"),
		"--key", f.path("server.key"))
	before := f.serial(t, d.address("forward"))
	f.issue(t, "server")
	d.send(syscall.SIGHUP)
	d.find(t, 0, "reloaded")
	if f.serial(t, d.address("forward")) == before {
		t.Error("the certificate is still the old one after a reload")
	}
}

// SIGHUP reaches the program as a signal, too.
func TestHangUp(t *testing.T) {
	d := executeConfig(t, forwardTOML("in", anyPort, "", says(t, "red"), ""))
	d.address("in")
	d.reloadWith(t, forwardTOML("in", anyPort, "", says(t, "green"), ""))
	if got := d.hear("in"); got != "green" {
		t.Errorf("got %q, want green", got)
	}
}
