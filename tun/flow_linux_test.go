package tun

import (
	"bytes"
	"crypto/sha256"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/encase-tls/encase/tun/tuntest"
)

// A flow is a TCP connection of the kernels, from one namespace to another, and what it carries in one direction.
type flow struct {
	t         testing.TB
	near, far *net.TCPConn
	moved     atomic.Int64 // bytes that have arrived
	stopped   atomic.Bool
	sent      chan []byte // the sums of what each end has seen
	received  chan []byte
}

// newFlow connects from a namespace to an address in another.
func newFlow(t testing.TB, from, to *tuntest.Namespace, address string) *flow {
	t.Helper()
	return dialFlow(t, from, to, address, nil)
}

// dialFlow is newFlow with sockets whose options control sets before they connect.
func dialFlow(t testing.TB, from, to *tuntest.Namespace, address string,
	control func(network, address string, c syscall.RawConn) error) *flow {
	t.Helper()
	var l net.Listener
	to.Do(func() (err error) {
		l, err = (&net.ListenConfig{Control: control}).Listen(t.Context(), "tcp", net.JoinHostPort(address, "0"))
		return err
	})
	defer l.Close()
	f := &flow{t: t, sent: make(chan []byte, 1), received: make(chan []byte, 1)}
	from.Do(func() error {
		d := net.Dialer{Control: control, Timeout: tuntest.Patience}
		c, err := d.Dial("tcp", l.Addr().String())
		if err == nil {
			f.near = c.(*net.TCPConn)
		}
		return err
	})
	t.Cleanup(func() { f.near.Close() })
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	f.far = c.(*net.TCPConn)
	t.Cleanup(func() { f.far.Close() })
	end := time.Now().Add(10 * tuntest.Patience)
	f.near.SetDeadline(end)
	f.far.SetDeadline(end)
	return f
}

// start sends what source gives until it ends, or until stop.
func (f *flow) start(source io.Reader) {
	go func() {
		h := sha256.New()
		if _, err := io.Copy(f.near, io.TeeReader(while{source, &f.stopped}, h)); err != nil {
			f.t.Errorf("sending through the tunnel: %v", err)
		}
		f.near.CloseWrite()
		f.sent <- h.Sum(nil)
	}()
	go func() {
		h := sha256.New()
		if _, err := io.Copy(h, counted{f.far, &f.moved}); err != nil {
			f.t.Errorf("receiving through the tunnel: %v", err)
		}
		f.received <- h.Sum(nil)
	}()
}

// wait waits for the end, checks that what has arrived is what was sent, and returns how much that is.
func (f *flow) wait() int64 {
	f.t.Helper()
	if sent, received := <-f.sent, <-f.received; !bytes.Equal(sent, received) {
		f.t.Errorf("what has arrived, %d bytes, is not what was sent", f.moved.Load())
	}
	return f.moved.Load()
}

// stop ends what is sent, and then is wait.
func (f *flow) stop() int64 {
	f.t.Helper()
	f.stopped.Store(true)
	return f.wait()
}

// moves waits until more has arrived.
func (f *flow) moves(n int64) {
	f.t.Helper()
	from := f.moved.Load()
	eventually(f.t, "the transfer goes on", func() bool { return f.moved.Load() >= from+n })
}

// eventually waits until something is so.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(tuntest.Patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after %v: %s", tuntest.Patience, what)
		}
	}
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
