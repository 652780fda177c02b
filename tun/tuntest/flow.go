//go:build linux

package tuntest

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A Flow is a TCP connection of the kernels, from one namespace to another, and what it carries in one direction.
type Flow struct {
	t         testing.TB
	Near, Far *net.TCPConn
	moved     atomic.Int64 // bytes that have arrived
	stopped   atomic.Bool
	sent      chan []byte // the sums of what each end has seen
	received  chan []byte
}

// NewFlow connects from a namespace to an address in another.
func NewFlow(t testing.TB, from, to *Namespace, address string) *Flow {
	t.Helper()
	return DialFlow(t, from, to, address, nil)
}

// DialFlow is NewFlow with sockets whose options control sets before they connect.
func DialFlow(t testing.TB, from, to *Namespace, address string,
	control func(network, address string, c syscall.RawConn) error) *Flow {
	t.Helper()
	var l net.Listener
	to.Do(func() (err error) {
		l, err = (&net.ListenConfig{Control: control}).Listen(t.Context(), "tcp", net.JoinHostPort(address, "0"))
		return err
	})
	defer l.Close()
	f := &Flow{t: t, sent: make(chan []byte, 1), received: make(chan []byte, 1)}
	from.Do(func() error {
		d := net.Dialer{Control: control, Timeout: Patience}
		c, err := d.Dial("tcp", l.Addr().String())
		if err == nil {
			f.Near = c.(*net.TCPConn)
		}
		return err
	})
	t.Cleanup(func() { f.Near.Close() })
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	f.Far = c.(*net.TCPConn)
	t.Cleanup(func() { f.Far.Close() })
	end := time.Now().Add(10 * Patience)
	f.Near.SetDeadline(end)
	f.Far.SetDeadline(end)
	return f
}

// Start sends what source gives until it ends, or until Stop.
func (f *Flow) Start(source io.Reader) {
	go func() {
		h := sha256.New()
		if _, err := io.Copy(f.Near, io.TeeReader(while{source, &f.stopped}, h)); err != nil {
			f.t.Errorf("sending through the tunnel: %v", err)
		}
		f.Near.CloseWrite()
		f.sent <- h.Sum(nil)
	}()
	go func() {
		h := sha256.New()
		if _, err := io.Copy(h, counted{f.Far, &f.moved}); err != nil {
			f.t.Errorf("receiving through the tunnel: %v", err)
		}
		f.received <- h.Sum(nil)
	}()
}

// Wait waits for the end, checks that what has arrived is what was sent, and returns how much that is.
func (f *Flow) Wait() int64 {
	f.t.Helper()
	if sent, received := <-f.sent, <-f.received; !bytes.Equal(sent, received) {
		f.t.Errorf("what has arrived, %d bytes, is not what was sent", f.moved.Load())
	}
	return f.moved.Load()
}

// Stop ends what is sent, and then is Wait.
func (f *Flow) Stop() int64 {
	f.t.Helper()
	f.stopped.Store(true)
	return f.Wait()
}

// Moved returns how many bytes have arrived so far.
func (f *Flow) Moved() int64 { return f.moved.Load() }

// Moves waits until more has arrived.
func (f *Flow) Moves(n int64) {
	f.t.Helper()
	from := f.moved.Load()
	Eventually(f.t, "the transfer goes on", func() bool { return f.moved.Load() >= from+n })
}

// A while is a reader that ends when it is told to.
type while struct {
	io.Reader
	stopped *atomic.Bool
}

func (w while) Read(p []byte) (int, error) {
	if w.stopped.Load() {
		return 0, io.EOF
	}
	return w.Reader.Read(p)
}

// A counted reader counts.
type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// Noise returns n bytes that are the same for the same flow and different for others.
func Noise(flow, n int) io.Reader {
	seed := [32]byte{byte(flow), byte(flow >> 8), 1}
	return io.LimitReader(rand.NewChaCha8(seed), int64(n))
}
