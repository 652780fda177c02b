package wrap_test

import (
	"bytes"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/wrap/needtest"
)

// A program is another program that runs: a test can talk to it and wait for what it prints.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines int

	mu     sync.Mutex
	output []byte
	seen   int // how far await has looked
	ended  chan struct{}
}

// start runs a program until the end of the test.
func start(t *testing.T, name string, args ...string) *program {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		needtest.Skip(t, "%s is not installed: %v", name, err)
	}
	p := &program{t: t, cmd: exec.Command(path, args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			text := p.text()
			t.Logf("%s %s:\n%s", name, strings.Join(args, " "), text[max(0, len(text)-1500):])
		}
	})
	return p
}

// Write takes what the program prints.
func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.output = append(p.output, b...)
	return len(b), nil
}

func (p *program) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.output)
}

// say gives the program a line to read.
func (p *program) say(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

// await waits until the program has printed a text, after the last that was waited for.
func (p *program) await(text string) {
	p.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		p.mu.Lock()
		i := bytes.Index(p.output[p.seen:], []byte(text))
		if i >= 0 {
			p.seen += i + len(text)
		}
		p.mu.Unlock()
		if i >= 0 {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("%s does not print %q", p.cmd.Path, text)
		}
	}
}

// after waits until the program has printed a text and returns the rest of its line.
func (p *program) after(text string) string {
	p.t.Helper()
	p.await(text)
	from := p.seen
	p.await("\n")
	return strings.TrimSpace(p.text()[from:p.seen])
}

// wait waits until the program has ended.
func (p *program) wait() {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("%s does not end", p.cmd.Path)
	}
}

func (p *program) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}
