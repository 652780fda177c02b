package wrap_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/enginetest"
	"github.com/encase-tls/encase/wrap"
)

// TestAllocs: to send a record costs no allocation, and to receive one costs the one inside crypto/tls.
func TestAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools at random")
	}
	for _, codec := range []string{"", "length:16be", "websocket"} {
		for _, size := range []int{100, 1400, 16384} {
			client, server := wrapConfigs(t, codec)
			client.WriteBuffer = 32 << 10 // so that few buffers are under way at once, and their pools soon hold enough
			near, far := tcpPair(t)
			hole := &blackHole{Conn: far}
			c, s := connect(t, hole, near, client, server)
			shake(t, c, s)
			exchange(t, c, s)
			p := make([]byte, size)
			both := testing.AllocsPerRun(500, func() {
				c.Write(p)
				if _, err := io.ReadFull(s, p); err != nil {
					t.Fatal(err)
				}
			})
			hole.open.Store(true)
			for range 500 {
				c.Write(p)
			}
			sent := testing.AllocsPerRun(500, func() { c.Write(p) })
			if sent > 0 || both > 1 {
				t.Errorf("codec %q, %d bytes: Write allocates %v times, want 0; with Read it is %v, want at most 1",
					codec, size, sent, both)
			}
		}
	}
}

// TestAllocsOfWaiting: a Write that waits for room costs no allocation either.
func TestAllocsOfWaiting(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools at random")
	}
	client, server := wrapConfigs(t, "length:16be")
	client.WriteBuffer = 32 << 10
	near, far := tcpPair(t)
	hole := &slowHole{blackHole{Conn: far}, make(chan struct{}), t.Context().Done()}
	c, s := connect(t, hole, near, client, server)
	shake(t, c, s)
	exchange(t, c, s)
	hole.open.Store(true)
	go hole.pace(20 * time.Microsecond)
	p := make([]byte, 8*client.WriteBuffer) // it waits several times
	for range 20 {
		c.Write(p)
	}
	if n := testing.AllocsPerRun(50, func() { c.Write(p) }); n > 0 {
		t.Errorf("a Write that waits allocates %v times, want 0", n)
	}
}

// A blackHole is a stream that can be made to swallow what is written.
type blackHole struct {
	net.Conn
	open atomic.Bool
}

func (b *blackHole) Write(p []byte) (int, error) {
	if b.open.Load() {
		return len(p), nil
	}
	return b.Conn.Write(p)
}

// A slowHole takes its time for each write, until the test is over.
type slowHole struct {
	blackHole
	beat chan struct{}
	over <-chan struct{}
}

func (h *slowHole) pace(interval time.Duration) {
	for {
		time.Sleep(interval)
		select {
		case h.beat <- struct{}{}:
		case <-h.over:
			return
		}
	}
}

func (h *slowHole) Write(p []byte) (int, error) {
	if h.open.Load() {
		select {
		case <-h.beat:
		case <-h.over:
		}
	}
	return h.blackHole.Write(p)
}

// TestIdle measures what a server's connection costs while nothing happens, beside that of crypto/tls: memory, and no
// goroutine of its own.
func TestIdle(t *testing.T) {
	client, server := wrapConfigs(t, "length:16be")
	ours := idleBytes(t, func() (net.Conn, error) {
		a, b := net.Pipe()
		c, s := wrap.Client(wrap.Stream(a), client), wrap.Server(wrap.Stream(b), server)
		return s, fallIdle(c, s)
	})
	if stacks := leftOver(patience); stacks != "" {
		t.Errorf("idle connections have goroutines:\n%.3000s", stacks)
	}
	theirs := idleBytes(t, func() (net.Conn, error) {
		a, b := net.Pipe()
		c, s := tls.Client(a, client.TLS), tls.Server(b, server.TLS)
		return s, fallIdle(c, s)
	})
	t.Logf("an idle connection holds %d bytes, one of crypto/tls %d", ours, theirs)
	if ours > theirs+6<<10 {
		t.Errorf("an idle connection holds %d bytes, one of crypto/tls %d", ours, theirs)
	}
	runtime.KeepAlive(server)
}

// TestWaiting measures the same over TCP while a Read waits, after one that asked for much: what crypto/tls keeps is
// little, and so is what a Conn does, for it waits without a buffer.
func TestWaiting(t *testing.T) {
	client, server := wrapConfigs(t, "length:16be")
	if runtime.GOOS == "windows" {
		t.Skip("there a Read needs its buffer at once")
	}
	var sockets []net.Conn // what lets go of them would close them
	waiting := func(ends func(a, b net.Conn) (c, s net.Conn)) int {
		return idleBytes(t, func() (net.Conn, error) {
			a, b := accepted(t, "tcp", "127.0.0.1:0")
			sockets = append(sockets, a, b)
			c, s := ends(a, b)
			err := fallIdle(c, s)
			go s.Read(make([]byte, 1))
			return s, err
		})
	}
	ours := waiting(func(a, b net.Conn) (c, s net.Conn) {
		return wrap.Client(wrap.Stream(a), client), wrap.Server(wrap.Stream(b), server)
	})
	theirs := waiting(func(a, b net.Conn) (c, s net.Conn) { return tls.Client(a, client.TLS), tls.Server(b, server.TLS) })
	t.Logf("a connection that waits holds %d bytes, one of crypto/tls %d", ours, theirs)
	if ours > theirs+8<<10 {
		t.Errorf("a connection that waits holds %d bytes, one of crypto/tls %d", ours, theirs)
	}
	for _, s := range sockets {
		s.Close()
	}
	runtime.KeepAlive(server)
}

// idleBytes returns what a connection holds that open returns.
func idleBytes(t *testing.T, open func() (net.Conn, error)) int {
	t.Helper()
	if raceEnabled {
		t.Skip("the race detector uses memory of its own")
	}
	n, err := enginetest.IdleBytes(400, func() (any, error) { return open() })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// fallIdle lets both ends shake hands and exchange some data, and the server then wait for more.
func fallIdle(c, s net.Conn) error {
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(make([]byte, 50000))
		if err == nil {
			_, err = io.ReadFull(c, make([]byte, 50000))
		}
		sent <- err
	}()
	p := make([]byte, 50000)
	if _, err := io.ReadFull(s, p); err != nil {
		return err
	}
	if _, err := s.Write(p); err != nil {
		return err
	}
	if err := <-sent; err != nil {
		return err
	}
	s.SetReadDeadline(time.Now().Add(time.Millisecond))
	if _, err := s.Read(p[:1]); !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return s.SetReadDeadline(time.Time{})
}
