package wrap_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/wrap"
)

// TestStreams uses everything that a Stream may be made of. The files are in carrier_unix_test.go.
func TestStreams(t *testing.T) {
	list := append(transports[:len(transports):len(transports)],
		transport{"pair", func(testing.TB) (net.Conn, net.Conn) { a, b := bio.Pair(0); return a, b }})
	for _, tr := range list {
		t.Run(tr.name, func(t *testing.T) {
			a, b := tr.pair(t)
			useStream(t, a, b)
		})
	}
}

// useStream does with two connected streams all that a user may, without framing and with.
func useStream(t *testing.T, a, b io.ReadWriteCloser) {
	t.Helper()
	client, server := wrapConfigs(t, "length:16be")
	c, s := connect(t, a, b, client, server)
	shake(t, c, s)
	exchange(t, c, s)

	s.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
	_, err := s.Read(make([]byte, 1))
	wantErr(t, "Read after its deadline", err, os.ErrDeadlineExceeded)
	exchange(t, c, s)

	var all sync.WaitGroup
	for i, conn := range []*wrap.Conn{c, s} {
		all.Go(func() {
			conn.Write(noise(300<<10, uint64(i)))
			conn.CloseWrite()
		})
		all.Go(func() {
			got, err := io.ReadAll(conn)
			if err != nil || !bytes.Equal(got, noise(300<<10, uint64(1-i))) {
				t.Errorf("end %d: %d bytes, %v", i, len(got), err)
			}
		})
	}
	all.Wait()
	if c.LocalAddr() == nil || c.RemoteAddr().String() == "" {
		t.Error("there are no addresses")
	}
}

// noDeadlines hides all but the three methods that a Stream needs.
type noDeadlines struct{ io.ReadWriteCloser }

// TestWithoutDeadlines uses a stream that has no deadlines: Conn has them all the same, and loses nothing to them.
func TestWithoutDeadlines(t *testing.T) {
	a, b := net.Pipe()
	useStream(t, noDeadlines{a}, noDeadlines{b})
	synctest.Test(t, func(t *testing.T) {
		client, server := wrapConfigs(t, "")
		a, b := net.Pipe()
		c, s := connect(t, a, noDeadlines{b}, client, server)
		shake(t, c, s)
		for i := range 20 {
			s.SetReadDeadline(time.Now().Add(time.Second))
			_, err := s.Read(make([]byte, 1))
			wantErr(t, "Read", err, os.ErrDeadlineExceeded)
			if i%4 == 0 {
				send(t, c, s, "after a deadline")
			}
		}
		s.SetReadDeadline(time.Time{})
		read := make(chan error, 1)
		go func() { _, err := s.Read(make([]byte, 1)); read <- err }()
		synctest.Wait()
		s.Close()
		wantErr(t, "Read when Close is called", <-read, net.ErrClosed)
	})
}

// TestStreamErrors has streams that fail: the error is theirs, and not taken for the peer's.
func TestStreamErrors(t *testing.T) {
	broken := errors.New("the cable is gone")
	for name, edit := range map[string]func(*faulty){
		"read":  func(f *faulty) { f.readErr = broken },
		"write": func(f *faulty) { f.writeErr = broken },
		"short": func(f *faulty) { f.short = true },
	} {
		t.Run(name, func(t *testing.T) {
			client, server := wrapConfigs(t, "length:16be")
			a, b := net.Pipe()
			f := &faulty{Conn: a}
			c, s := connect(t, f, b, client, server)
			shake(t, c, s)
			exchange(t, c, s)
			f.mu.Lock()
			edit(f)
			f.mu.Unlock()
			var err error
			if name == "read" {
				go s.Write([]byte("x"))
				_, err = c.Read(make([]byte, 1))
			} else {
				for end := time.Now().Add(patience); err == nil && time.Now().Before(end); time.Sleep(time.Millisecond) {
					_, err = c.Write([]byte("x")) // does not wait for the carrier
				}
			}
			want := broken
			if name == "short" {
				want = io.ErrShortWrite
			}
			wantErr(t, name, err, want)
		})
	}
}

type faulty struct {
	net.Conn
	mu                sync.Mutex
	readErr, writeErr error
	short             bool
}

func (f *faulty) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.readErr != nil {
		return 0, f.readErr
	}
	return n, err
}

func (f *faulty) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.writeErr != nil:
		return 0, f.writeErr
	case f.short:
		return len(p) - 1, nil
	}
	return f.Conn.Write(p)
}
