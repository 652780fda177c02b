package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/encase-tls/encase/frame"
)

// TestMain makes the test binary the program itself when a test starts it again: signals are for whole processes.
func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	if len(os.Args) > 1 && os.Args[1] == "server" {
		main()
		return
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0") // of the child
	os.Exit(m.Run())
}

// A process is a server in a process of its own.
type process struct {
	t            *testing.T
	cmd          *exec.Cmd
	lines        *bufio.Scanner
	address, dir string
}

func start(t *testing.T) *process {
	t.Helper()
	p := &process{t: t, dir: t.TempDir()}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(self, "server", "127.0.0.1:0", p.dir)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := time.AfterFunc(time.Minute, func() { p.cmd.Process.Kill() })
	t.Cleanup(func() { stop.Stop(); p.cmd.Process.Kill(); p.cmd.Wait() })
	p.lines = bufio.NewScanner(out)
	address, ok := strings.CutPrefix(p.line(), "listening on ")
	if !ok {
		t.Fatal("the server does not listen")
	}
	p.address = address
	return p
}

// line returns the next that the server prints.
func (p *process) line() string {
	p.lines.Scan()
	return p.lines.Text()
}

func (p *process) prints(want ...string) {
	p.t.Helper()
	for _, w := range want {
		if got := p.line(); got != w {
			p.t.Errorf("the server prints %q, want %q", got, w)
		}
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// exits checks that it ends with status 0.
func (p *process) exits() {
	p.t.Helper()
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("the server ends with %v", err)
	}
}

// A customer is a client that runs until the server or its jobs end it.
type customer struct {
	t       *testing.T
	out     *bufio.Scanner
	signals chan os.Signal
	ended   chan error
}

func (p *process) order(jobs ...string) *customer {
	r, w := io.Pipe()
	c := &customer{p.t, bufio.NewScanner(r), make(chan os.Signal, 1), make(chan error, 1)}
	go func() {
		c.ended <- run(context.Background(), append([]string{"client", p.address, p.dir}, jobs...), w, c.signals)
		w.Close()
	}()
	return c
}

// gets checks what it prints next.
func (c *customer) gets(want ...string) {
	c.t.Helper()
	for _, w := range want {
		if c.out.Scan(); c.out.Text() != w {
			c.t.Errorf("the client prints %q, want %q", c.out.Text(), w)
		}
	}
}

// ends checks that it prints no more and ends soon.
func (c *customer) ends() {
	c.t.Helper()
	if c.out.Scan() {
		c.t.Errorf("the client prints %q", c.out.Text())
	}
	select {
	case err := <-c.ended:
		if err != nil {
			c.t.Errorf("client: %v", err)
		}
	case <-time.After(20 * time.Second):
		c.t.Error("the client goes on")
	}
}

// aMoment is enough for a message to arrive, and far less than a job takes that is under way.
func aMoment() { time.Sleep(500 * time.Millisecond) }

// TestTerm ends a server with two clients, of which one has a job under way and more to come, and the other none.
func TestTerm(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		p := start(t)
		busy := p.order("0s", "2s", "1h")
		busy.gets("0s: done")
		aMoment()
		p.signal(sig)
		p.prints("ending: 1 job under way")
		busy.gets("2s: done", "the server has said goodbye")
		busy.ends()
		p.prints("goodbye: 2 jobs done, 0 given up")
		p.exits()
	}
}

// TestSecondSignal does not wait for a long job.
func TestSecondSignal(t *testing.T) {
	p := start(t)
	c := p.order("0s", "1h", "1h")
	c.gets("0s: done")
	aMoment()
	p.signal(syscall.SIGTERM)
	p.prints("ending: 1 job under way")
	p.signal(syscall.SIGTERM)
	c.gets("1h: given up", "the server has said goodbye")
	c.ends()
	p.prints("goodbye: 1 job done, 1 given up")
	p.exits()
}

// TestHangUp changes the certificate: who is there stays, who comes gets the new one, and who trusts only the old one
// is not served.
func TestHangUp(t *testing.T) {
	p := start(t)
	old, err := os.ReadFile(filepath.Join(p.dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	first := p.order("0s", "700ms", "0s")
	first.gets("0s: done")
	aMoment()
	p.signal(syscall.SIGHUP)
	p.prints("new certificate")
	second := p.order("1ms")
	second.gets("1ms: done")
	second.ends()
	if err := os.WriteFile(filepath.Join(p.dir, "ca.crt"), old, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), []string{"client", p.address, p.dir, "0s"}, io.Discard, nil); err == nil {
		t.Error("the server still shows its old certificate")
	}
	first.gets("700ms: done", "0s: done")
	first.ends()
	p.signal(syscall.SIGTERM)
	p.prints("ending: 0 jobs under way", "goodbye: 4 jobs done, 0 given up")
	p.exits()
}

// TestClientSignal ends a client that waits for its job, and the server goes on.
func TestClientSignal(t *testing.T) {
	p := start(t)
	c := p.order("0s", "200ms", "1h")
	c.gets("0s: done", "200ms: done")
	c.signals <- syscall.SIGTERM
	c.ends()
	var out bytes.Buffer
	err := run(t.Context(), []string{"client", p.address, p.dir, "1ms"}, &out, nil)
	if err != nil || out.String() != "1ms: done\n" {
		t.Errorf("the next client: %q, %v", &out, err)
	}
}
