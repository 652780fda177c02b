package forward

import (
	"bytes"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A middle carries bytes between two addresses until it is told to cut them off, which TCP tells nobody: both sides see
// an end of the stream.
type middle struct {
	address string
	target  string
	count   atomic.Int64 // bytes towards target
	mu      sync.Mutex
	conns   []net.Conn
}

func newMiddle(t testing.TB, target string) *middle {
	m := &middle{target: target}
	m.address = serveTCP(t, m.carry)
	t.Cleanup(m.cut) // before the listener waits for it
	return m
}

func (m *middle) carry(a net.Conn) {
	b, err := net.Dial("tcp", m.target)
	if err != nil {
		a.Close()
		return
	}
	m.mu.Lock()
	m.conns = append(m.conns, a, b)
	m.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { io.Copy(a, b) })
	both.Go(func() { io.Copy(io.MultiWriter(b, m), a) })
	both.Wait()
}

// Write counts.
func (m *middle) Write(p []byte) (int, error) {
	m.count.Add(int64(len(p)))
	return len(p), nil
}

func (m *middle) cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.conns {
		c.Close()
	}
}

// A slowReader is a server that takes what it gets, a little at a time and not before it is told to, and keeps it.
type slowReader struct {
	start chan struct{}
	mu    sync.Mutex
	got   bytes.Buffer
	conn  chan net.Conn
	end   chan error
}

func newSlowReader(t testing.TB) (s *slowReader, address string) {
	s = &slowReader{start: make(chan struct{}), conn: make(chan net.Conn, 1), end: make(chan error, 1)}
	return s, serveTCP(t, func(c net.Conn) {
		defer c.Close()
		s.conn <- c
		<-s.start
		b := make([]byte, 16<<10)
		for {
			n, err := c.Read(b)
			s.mu.Lock()
			s.got.Write(b[:n])
			s.mu.Unlock()
			if err != nil {
				s.end <- err
				return
			}
			time.Sleep(500 * time.Microsecond)
		}
	})
}

// finish waits for the end and returns what came before it, and the error that it was.
func (s *slowReader) finish(t testing.TB) ([]byte, error) {
	t.Helper()
	select {
	case err := <-s.end:
		return s.got.Bytes(), err
	case <-time.After(patience):
		t.Fatal("the server's connection does not end")
		return nil, nil
	}
}

// What is cut in the middle ends as an abort for both, and not before all that had passed the middle is delivered.
func TestCut(t *testing.T) {
	f := certificates(t)
	for name, rewrap := range map[string]bool{"plain": false, "wrapped": true} {
		t.Run(name, func(t *testing.T) {
			const size = 1_000_000 // fits what the systems on the way keep for one who does not read
			server, address := newSlowReader(t)
			out := run(t, forwardTOML("out", anyPort, f.server("length:16be"), address, ""))
			entrance := out.address("out")
			if rewrap { // what is cut is wrapped again, and that is aborted, too
				again := run(t, forwardTOML("again", anyPort, f.server("slip"), entrance, f.client("length:16be")))
				entrance, out = again.address("again"), again
			}
			codec := map[bool]string{false: "length:16be", true: "slip"}[rewrap]
			m := newMiddle(t, entrance)
			in := run(t, forwardTOML("in", anyPort, "", m.address, f.client(codec)))
			client, data := in.dial("in"), random(size)
			if _, err := client.Write(data); err != nil {
				t.Fatal(err)
			}
			m.passed(t, len(data))
			m.cut()
			time.Sleep(50 * time.Millisecond)
			close(server.start)
			got, end := server.finish(t)
			if !bytes.Equal(got, data) {
				t.Errorf("%d of the %d bytes that had passed the middle arrived", len(got), len(data))
			}
			if !errors.Is(end, syscall.ECONNRESET) {
				t.Errorf("the server's connection ended with %v, want a reset", end)
			}
			if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the client's connection ended with %v, want a reset", err)
			}
			for _, d := range []*daemon{in, out} {
				d.find(t, 0, "connection cut", "reason", "truncated", "remedy", "close_notify")
			}
		})
	}
}

// passed waits until n bytes of application data have passed towards the target, and nothing follows although there was
// the occasion many times.
func (m *middle) passed(t testing.TB, n int) {
	t.Helper()
	before, quiet := int64(0), 0
	for end := time.Now().Add(patience); quiet < 10; time.Sleep(30 * time.Millisecond) {
		now := m.count.Load()
		if quiet++; now != before || now <= int64(n) { // TLS adds something
			quiet = 0
		}
		if before = now; time.Now().After(end) {
			t.Fatalf("%d bytes have passed, want more than %d", now, n)
		}
	}
}

// A reset on one side becomes a reset on the other, whichever it is.
func TestReset(t *testing.T) {
	f := certificates(t)
	for _, by := range []party{client, server} {
		t.Run(by.String(), func(t *testing.T) {
			s, address := newSlowReader(t)
			close(s.start)
			d, entrance := pair(t, f, "length:16be", address, "")
			c := dial(t, entrance)
			if _, err := c.Write([]byte("delivered")); err != nil {
				t.Fatal(err)
			}
			backend := <-s.conn
			for s.len() < len("delivered") {
				time.Sleep(time.Millisecond)
			}
			if by == client {
				c.(*net.TCPConn).SetLinger(0)
				c.Close()
				if got, err := s.finish(t); string(got) != "delivered" || !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the server got %q and %v, want a reset behind the data", got, err)
				}
			} else {
				backend.(*net.TCPConn).SetLinger(0)
				backend.Close()
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the client got %v, want a reset", err)
				}
			}
			d.find(t, 0, "connection cut", "by", by.String(), "reason", "reset")
		})
	}
}

func (s *slowReader) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got.Len()
}

// A Unix socket has no reset. Its peer sees an end of file after all data; the log says what happened.
func TestCutUnix(t *testing.T) {
	f := certificates(t)
	path := filepath.Join(t.TempDir(), "backend")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan []byte, 1)
	serveListener(t, l, func(c net.Conn) {
		defer c.Close()
		data, _ := io.ReadAll(c)
		got <- data
	})
	out := run(t, forwardTOML("out", anyPort, f.server("raw"), "unix:"+path, ""))
	m := newMiddle(t, out.address("out"))
	in := run(t, forwardTOML("in", anyPort, "", m.address, f.client("raw")))
	data := random(100_000)
	c := in.dial("in")
	c.Write(data)
	m.passed(t, len(data))
	m.cut()
	if g := <-got; !bytes.Equal(g, data) {
		t.Errorf("%d of %d bytes arrived", len(g), len(data))
	}
	out.find(t, 0, "connection cut", "reason", "truncated")
}

// Who has ended and leaves before he gets the rest is no fault, but the other side learns that it was in vain.
func TestGone(t *testing.T) {
	ended, left := make(chan struct{}), make(chan struct{})
	got := make(chan error, 1)
	d := run(t, forwardTOML("in", anyPort, "", serveTCP(t, func(c net.Conn) {
		defer c.Close()
		io.Copy(io.Discard, c)
		close(ended)
		<-left
		var err error
		for data := random(100_000); err == nil; {
			_, err = c.Write(data)
		}
		got <- err
	}), ""))
	c := d.dial("in").(*net.TCPConn)
	c.CloseWrite()
	<-ended
	c.Close()
	close(left)
	if err := <-got; !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("the server got %v, want a reset", err)
	}
	d.find(t, 0, "connection closed", "reason", "gone", "by", "client", "level", "INFO")
}
