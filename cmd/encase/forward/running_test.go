package forward

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/ephemeral"
)

// patience bounds every wait of these tests. A healthy machine needs a fraction.
const patience = time.Minute

// A journal holds the lines of a JSON log as they come.
type journal struct {
	mu      sync.Mutex
	rest    []byte
	entries []entry
	all     bytes.Buffer
	added   chan struct{} // closed and replaced with every line
}

// An entry is one line.
type entry map[string]any

func (e entry) text(key string) string { return fmt.Sprint(e[key]) }

func newJournal() *journal { return &journal{added: make(chan struct{})} }

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.all.Write(p)
	j.rest = append(j.rest, p...)
	for {
		line, rest, ok := bytes.Cut(j.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		var e entry
		if json.Unmarshal(line, &e) == nil {
			j.entries = append(j.entries, e)
			close(j.added)
			j.added = make(chan struct{})
		}
		j.rest = rest
	}
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.all.String()
}

// find returns the entry number n, from 0, with this message and these values, waiting until it is there. pairs are
// keys and parts of their values.
func (j *journal) find(t testing.TB, n int, msg string, pairs ...string) entry {
	t.Helper()
	timeout := time.After(patience)
	for {
		j.mu.Lock()
		found := j.matching(msg, pairs)
		added := j.added
		j.mu.Unlock()
		if len(found) > n {
			return found[n]
		}
		select {
		case <-added:
		case <-timeout:
			t.Fatalf("the log has no %d. %q with %v:\n%s", n+1, msg, pairs, j)
		}
	}
}

func (j *journal) matching(msg string, pairs []string) (found []entry) {
next:
	for _, e := range j.entries {
		if e["msg"] != msg {
			continue
		}
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(e.text(pairs[i]), pairs[i+1]) {
				continue next
			}
		}
		found = append(found, e)
	}
	return found
}

// count returns how many entries there are now.
func (j *journal) count(msg string, pairs ...string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.matching(msg, pairs))
}

// A daemon is a running forward: in this process, or in one of its own.
type daemon struct {
	*journal
	t      testing.TB
	file   string // configuration
	send   func(os.Signal)
	ended  chan struct{}
	status int // after ended; 0 in this process
}

// run runs a configuration in this process. Its file is where reload looks.
func run(t testing.TB, text string) *daemon {
	t.Helper()
	d := &daemon{journal: newJournal(), t: t, file: filepath.Join(t.TempDir(), "encase.toml"), ended: make(chan struct{})}
	d.write(text)
	load := func() (*config, problems) { return readFile(d.file) }
	cfg, found := load()
	if cfg == nil {
		t.Fatal(found.Err())
	}
	signals := make(chan os.Signal, 4)
	d.send = func(s os.Signal) { signals <- s }
	s := newService(load, d.journal)
	if err := s.start(cfg); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(d.ended)
		s.run(signals)
	}()
	t.Cleanup(d.kill)
	return d
}

// execute runs the command in a process of its own.
func execute(t testing.TB, args ...string) *daemon {
	t.Helper()
	d := &daemon{journal: newJournal(), t: t, ended: make(chan struct{})}
	cmd := exec.Command(os.Args[0], append(args, "--log-format", "json")...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	cmd.Stderr = d.journal
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.send = func(s os.Signal) { cmd.Process.Signal(s) }
	go func() {
		defer close(d.ended)
		cmd.Wait()
		d.status = cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(d.kill)
	return d
}

// executeConfig does so with a file.
func executeConfig(t testing.TB, config string) *daemon {
	t.Helper()
	file := filepath.Join(t.TempDir(), "encase.toml")
	if err := os.WriteFile(file, []byte(jsonLog+config), 0o600); err != nil {
		t.Fatal(err)
	}
	d := execute(t, "--config", file)
	d.file = file
	return d
}

// jsonLog begins every configuration of these tests.
const jsonLog = "config_version = 1\nlog = { format = \"json\", level = \"debug\" }\n"

func (d *daemon) write(config string) {
	d.t.Helper()
	if err := os.WriteFile(d.file, []byte(jsonLog+config), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// address returns where a forward listens.
func (d *daemon) address(name string) string {
	d.t.Helper()
	return strings.TrimPrefix(d.find(d.t, 0, "listening", "forward", name).text("address"), "unix:")
}

// dial connects to a forward.
func (d *daemon) dial(name string) net.Conn {
	d.t.Helper()
	return dial(d.t, d.address(name))
}

// wait waits until the daemon has ended.
func (d *daemon) wait() {
	d.t.Helper()
	select {
	case <-d.ended:
	case <-time.After(patience):
		d.t.Fatalf("still running:\n%s", d.journal)
	}
}

// kill ends it, if it has not ended, and shows the log of a test that has failed.
func (d *daemon) kill() {
	for range 2 {
		select {
		case <-d.ended:
		default:
			d.send(syscall.SIGTERM)
		}
	}
	d.wait()
	if d.t.Failed() {
		d.t.Logf("end of the log of %s:\n%s", d.file, d.lastLines())
	}
}

// dialInVain connects to a forward that ends the connection without a byte, which may happen before dialing is done.
func (d *daemon) dialInVain(name string) {
	d.t.Helper()
	c, err := net.Dial("tcp", d.address(name))
	if errors.Is(err, syscall.ECONNRESET) {
		return
	}
	if err != nil {
		d.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	expectEnd(d.t, c)
}

// expectEnd fails if the connection brings data or does not end.
func expectEnd(t testing.TB, c net.Conn) {
	t.Helper()
	if n, err := io.Copy(io.Discard, c); n > 0 || isTimeout(err) {
		t.Fatalf("%d bytes came, and then %v; want an end", n, err)
	}
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

// dial connects to host:port or the path of a Unix socket.
func dial(t testing.TB, address string) net.Conn {
	t.Helper()
	network := "tcp"
	if strings.Contains(address, "/") {
		network = "unix"
	}
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c
}

// serveTCP accepts connections on loopback for the time of a test and gives each to handle, which closes it.
func serveTCP(t testing.TB, handle func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveListener(t, l, handle)
	return l.Addr().String()
}

func serveListener(t testing.TB, l net.Listener, handle func(net.Conn)) {
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(patience))
			all.Go(func() { handle(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
}

// echo sends everything back, and ends what it sends when what it receives has ended.
func echo(c net.Conn) {
	defer c.Close()
	if _, err := io.Copy(c, c); err == nil {
		c.(interface{ CloseWrite() error }).CloseWrite()
	}
}

// roundTrip sends data, ends, and returns what comes back until the end.
func roundTrip(c net.Conn, data []byte) ([]byte, error) {
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(data)
		if err == nil {
			err = c.(interface{ CloseWrite() error }).CloseWrite()
		}
		sent <- err
	}()
	got, err := io.ReadAll(c)
	if sendErr := <-sent; err == nil {
		err = sendErr
	}
	return got, err
}

// sayLine sends a line and returns the one that comes back.
func sayLine(t testing.TB, c net.Conn, line string) string {
	t.Helper()
	if _, err := fmt.Fprintln(c, line); err != nil {
		t.Fatal(err)
	}
	back, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(back, "\n")
}

// testFiles are certificates in files.
type testFiles struct {
	dir string
	ca  *ephemeral.Authority
}

func (f testFiles) path(name string) string { return filepath.Join(f.dir, name) }

// certificates writes ca.crt, server.crt and .key for server.test, client.crt and .key for client.test.
func certificates(t testing.TB) testFiles {
	t.Helper()
	f := testFiles{dir: t.TempDir()}
	var err error
	if f.ca, err = ephemeral.New("test CA"); err != nil {
		t.Fatal(err)
	}
	f.issue(t, "server")
	f.issue(t, "client")
	return f
}

// issue writes a new certificate for name.test in place of the one that is there.
func (f testFiles) issue(t testing.TB, name string) {
	t.Helper()
	cert, err := f.ca.Issue(name + ".test")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.ca.WriteFiles(f.dir, map[string]tls.Certificate{name: cert}); err != nil {
		t.Fatal(err)
	}
}

// server returns the keys of a wrapped side that accepts.
func (f testFiles) server(codec string) string {
	return fmt.Sprintf("codec = %q\ncert = %q\nkey = %q\n", codec, f.path("server.crt"), f.path("server.key"))
}

// client returns the keys of a wrapped side that connects.
func (f testFiles) client(codec string) string {
	return fmt.Sprintf("codec = %q\nca = %q\nserver_name = \"server.test\"\n", codec, f.path("ca.crt"))
}

// forwardTOML returns a forward; accept and connect are keys of its sides besides the address.
func forwardTOML(name, listen, accept, target, connect string) string {
	return fmt.Sprintf("[[forward]]\nname = %q\n[forward.accept]\naddress = %q\n%s\n[forward.connect]\naddress = %q\n%s\n",
		name, listen, accept, target, connect)
}

const anyPort = "127.0.0.1:0"

const hangUp = syscall.SIGHUP

// lastLines returns the end of the log.
func (j *journal) lastLines() string {
	const most = 3000
	s := j.String()
	return s[max(0, len(s)-most):]
}
