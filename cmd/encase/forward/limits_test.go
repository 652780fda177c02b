package forward

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/wrap/needtest"
	"github.com/encase-tls/encase/wrap/porttest"
)

// What exceeds a limit is closed at once, and counted; when somebody leaves there is room again.
func TestMaxConnections(t *testing.T) {
	for name, limits := range map[string]string{
		"forward": "[forward.limits]\nmax_connections = 2\n",
		"all":     "[limits]\nmax_connections = 2\n",
	} {
		t.Run(name, func(t *testing.T) {
			d := run(t, forwardTOML("in", anyPort, "", serveTCP(t, echo), "")+limits)
			first, second := d.dial("in"), d.dial("in")
			sayLine(t, first, "one")
			sayLine(t, second, "two")
			began := time.Now()
			for range 3 {
				d.dialInVain("in")
			}
			e := d.find(t, 0, "too many connections", "limit", "max_connections")
			if e.text("most") != "2" || e.text("refused") != "1" {
				t.Errorf("the log says %v, want a limit of 2 and one refused", e)
			}
			first.Close()
			d.find(t, 0, "connection closed")
			eventually(t, "a third connection", func() bool {
				c := d.dial("in")
				defer c.Close()
				_, err := c.Write([]byte("x"))
				n, readErr := c.Read(make([]byte, 1))
				return err == nil && readErr == nil && n == 1
			})
			sayLine(t, second, "still there")
			d.kill()
			if n := d.find(t, 0, "stopped").text("refused"); n < "3" {
				t.Errorf("%s refused in the end, want at least 3", n)
			}
			if n := d.count("too many connections"); n > oncePerSecond(began) {
				t.Errorf("%d lines about too many connections, want one in each second", n)
			}
		})
	}
}

// oncePerSecond returns how often something can have been said since then that is said once in each second.
func oncePerSecond(since time.Time) int { return 1 + int(time.Since(since)/time.Second) }

// eventually waits until ok returns true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(patience)
	for looks := 1; !ok(); looks++ {
		if looks > 500 && time.Now().After(end) { // more than once, even if the machine was halted
			t.Fatalf("%s: not within %v", what, patience)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Without a byte either way a connection is cut; one byte now and then keeps it.
func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	const idle = 2 * time.Second // in which a busy machine, too, gets a byte through
	d := run(t, forwardTOML("in", anyPort, "", serveTCP(t, echo), "")+
		fmt.Sprintf("[forward.limits]\nidle_timeout = %q\n", idle))
	began := time.Now()
	busy, quiet := d.dial("in"), d.dial("in")
	ended := make(chan time.Duration, 1)
	go func() {
		io.Copy(io.Discard, quiet)
		ended <- time.Since(began)
	}()
	for time.Since(began) < 3*idle/2 {
		if got := sayLine(t, busy, "tick"); got != "tick" {
			t.Fatalf("got %q", got)
		}
		time.Sleep(idle / 10)
	}
	if after := <-ended; after < idle {
		t.Errorf("the quiet connection ended after %v, the limit is %v", after, idle)
	}
	d.find(t, 0, "connection cut", "reason", "idle", "by", "encase", "error", "no byte in either direction for 2s")
	busy.Close()
	d.find(t, 0, "connection closed", "by", "client")
}

// Who opens a connection and does not shake hands, or does so byte by byte, is cut off in time.
func TestHandshakeTimeout(t *testing.T) {
	f := certificates(t)
	for _, codec := range []string{"raw", "length:16be", "websocket"} {
		t.Run(codec, func(t *testing.T) {
			d := run(t, forwardTOML("out", anyPort, f.server(codec), unwanted(t), "")+
				"[forward.limits]\nhandshake_timeout = \"300ms\"\n")
			began := time.Now()
			c := d.dial("out")
			hello := map[string]string{"raw": "\x16\x03\x01\x02\x00\x01\x00\x01", "length:16be": "\x02\x05\x16\x03\x01\x02\x00",
				"websocket": "GET / HTTP/1.1\r\nHost: a\r\n"}[codec]
			go func() {
				for i := range hello {
					c.Write([]byte{hello[i]})
					time.Sleep(100 * time.Millisecond)
				}
			}()
			expectEnd(t, c)
			if took := time.Since(began); took < 300*time.Millisecond || took > 10*time.Second {
				t.Errorf("cut off after %v, the limit is 300ms", took)
			}
			d.find(t, 0, "connection failed", "reason", "timeout")
		})
	}
}

// The second address is tried when the first does not answer.
func TestSecondAddress(t *testing.T) {
	gone := porttest.Free(t)
	backend := serveTCP(t, echo)
	text := strings.Replace(forwardTOML("in", anyPort, "", "X", ""), `"X"`, fmt.Sprintf("[%q, %q]", gone, backend), 1)
	d := run(t, text)
	c := d.dial("in")
	if got := sayLine(t, c, "hello"); got != "hello" {
		t.Errorf("got %q", got)
	}
	c.Close()
	if e := d.find(t, 0, "connection closed"); e.text("target") != backend {
		t.Errorf("the log's target is %v, want %s", e["target"], backend)
	}
}

// When nobody answers, the client's connection is reset and the log says so.
func TestNoServer(t *testing.T) {
	f := certificates(t)
	d, entrance := pair(t, f, "length:16be", porttest.Free(t), "")
	if c, err := net.Dial("tcp", entrance); err == nil {
		c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the client got %v, want a reset", err)
		}
		c.Close()
	}
	d.find(t, 0, "connection cut", "reason", "reset")
}

// An address that swallows everything is given up in time.
func TestConnectTimeout(t *testing.T) {
	d := run(t, forwardTOML("in", anyPort, "", fullBacklog(t), "")+"[forward.limits]\nconnect_timeout = \"200ms\"\n")
	d.dialInVain("in")
	d.find(t, 0, "connection failed", "reason", "timeout", "error", "connect")
}

// fullBacklog returns an address that no more connections can be made to, and that does not refuse them.
func fullBacklog(t *testing.T) string {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 4 {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return address
		}
		t.Cleanup(func() { c.Close() })
	}
	needtest.Skip(t, "this system does not limit connections that nobody accepts")
	return ""
}

// A flakyListener fails a few times before it accepts.
type flakyListener struct {
	net.Listener
	failures int
	err      error
}

func (l *flakyListener) Accept() (net.Conn, error) {
	if l.failures > 0 {
		l.failures--
		return nil, &net.OpError{Op: "accept", Err: l.err}
	}
	return l.Listener.Accept()
}

// A lack of files does not end a forward: it tries again, ever more slowly.
func TestAcceptFailures(t *testing.T) {
	logs := newJournal()
	s := newService(nil, logs)
	log := newLogger(logs, logging{json: true, level: slog.LevelDebug})
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &forward{name: "in", limits: limits{buffer: defaultBuffer, connect: time.Second}}
	a, err := parseAddress(serveTCP(t, echo), false)
	if err != nil {
		t.Fatal(err)
	}
	f.connect.addresses = []address{a}
	l := &listener{Listener: &flakyListener{inner, 4, syscall.EMFILE}}
	s.log = log
	s.install("in", l, f)
	began := time.Now()
	c := dial(t, inner.Addr().String())
	if got := sayLine(t, c, "after all"); got != "after all" {
		t.Errorf("got %q", got)
	}
	if took, least := time.Since(began), 15*shortestPause; took < least {
		t.Errorf("four failures took %v, want pauses of at least %v in all", took, least)
	}
	logs.find(t, 0, "cannot accept", "remedy", "ulimit -n")
	if n := logs.count("cannot accept"); n > oncePerSecond(began) {
		t.Errorf("%d lines about it, want one in each second", n)
	}
	c.Close()
	l.Close()
	s.loops.Wait()
	s.sessions.Wait()
}

// An idle connection holds no buffer of the relay. What it does hold, in two forwards, an echo server and this test, is
// of TLS and of the reader of frames, which waits with as much memory as its last read needed.
func TestIdleMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs memory of its own")
	}
	const conns = 200
	f := certificates(t)
	for _, c := range []struct {
		name string
		line string
		most int64 // bytes per connection, heap and stacks
	}{
		{"after a line", "hello", 80 << 10},
		{"after much", strings.Repeat("busy once ", 5000), 256 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, entrance := pair(t, f, "length:16be", serveTCP(t, echo), "")
			open := func(n int) {
				for range n {
					sayLine(t, dial(t, entrance), c.line)
				}
			}
			open(10)
			before := inUse()
			open(conns)
			per := (inUse() - before) / conns
			if t.Logf("%d bytes", per); per > c.most {
				t.Errorf("an idle connection holds %d bytes, want at most %d", per, c.most)
			}
		})
	}
}

// inUse returns the memory that is in use after collecting what is not, pools included.
func inUse() int64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// Moving data allocates next to nothing besides the one small thing that crypto/tls does for every record it reads.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	const size, records, most = 64 << 20, 1 << 20 / bio.MaxPlaintext, 10 // per MiB, both forwards together
	f := certificates(t)
	arrived, target := sink(t, size)
	_, entrance := pair(t, f, "length:16be", target, "")
	c := dial(t, entrance)
	piece := random(1 << 20)
	move := func() {
		for range size / len(piece) {
			if _, err := c.Write(piece); err != nil {
				t.Fatal(err)
			}
		}
		<-arrived
	}
	move()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	move()
	runtime.ReadMemStats(&after)
	if per := float64(after.Mallocs-before.Mallocs)/(size>>20) - records; per > most {
		t.Errorf("%.1f allocations per MiB, want at most %d", per, most)
	}
}
