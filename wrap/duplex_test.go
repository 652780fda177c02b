package wrap_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/wrap"
)

// TestBothWrite lets both ends write at once, far more than all buffers hold.
func TestBothWrite(t *testing.T) {
	const size = 16 << 20
	for _, tr := range []transport{
		{"pipe", func(testing.TB) (net.Conn, net.Conn) { return net.Pipe() }},
		{"bounded", func(testing.TB) (net.Conn, net.Conn) { a, b := bio.Pair(3000); return a, b }},
	} {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			client, server := wrapConfigs(t, "length:16be")
			a, b := tr.pair(t)
			c, s := connect(t, a, b, client, server)
			want := [2][]byte{noise(size, 1), noise(size, 2)}
			var all sync.WaitGroup
			for i, conn := range []*wrap.Conn{c, s} {
				all.Go(func() { writeInPieces(t, conn, want[i]) })
				all.Go(func() {
					got := make([]byte, size)
					if _, err := io.ReadFull(conn, got); err != nil {
						t.Errorf("end %d: %v", i, err)
					}
					if !bytes.Equal(got, want[1-i]) {
						t.Errorf("end %d has read something else than was sent", i)
					}
				})
			}
			all.Wait()
		})
	}
}

func writeInPieces(t *testing.T, w io.Writer, p []byte) {
	rng := rand.New(rand.NewPCG(1, uint64(len(p))))
	for len(p) > 0 {
		n := min(len(p), 1+rng.IntN(100<<10))
		if _, err := w.Write(p[:n]); err != nil {
			t.Errorf("Write: %v", err)
			return
		}
		p = p[n:]
	}
}

// TestBothWriteThenRead lets both ends write first and read then: what fits the queues and buffers must pass without a
// reader.
func TestBothWriteThenRead(t *testing.T) {
	client, server := wrapConfigs(t, "length:16be")
	a, b := bio.Pair(1000)
	c, s := connect(t, a, b, client, server)
	shake(t, c, s)
	want := noise(200<<10, 3)
	for _, conn := range []*wrap.Conn{c, s} {
		if _, err := conn.Write(want); err != nil {
			t.Fatal(err)
		}
	}
	for _, conn := range []*wrap.Conn{c, s} {
		got := make([]byte, len(want))
		if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("ReadFull: %v", err)
		}
	}
}

// TestReaderIsIndependent reads while a Write of the same end is blocked for good.
func TestReaderIsIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := wrapConfigs(t, "length:16be")
		a, b := bio.Pair(1000)
		c, s := connect(t, a, b, client, server)
		shake(t, c, s)
		blocked := make(chan struct{})
		go func() {
			c.Write(make([]byte, 1<<20))
			close(blocked)
		}()
		synctest.Wait()
		for range 100 {
			send(t, s, c, "news")
		}
		select {
		case <-blocked:
			t.Error("the Write was not blocked: this proves nothing")
		default:
		}
		c.Close()
		<-blocked
	})
}

// TestWriteBufferBoundsMemory writes a byte per record to a carrier that takes nothing. A frame costs 512 bytes of
// memory.
func TestWriteBufferBoundsMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := wrapConfigs(t, "length:16be")
		client.MaxRecord = 1
		a, b := bio.Pair(100)
		c, s := connect(t, a, b, client, server)
		shake(t, c, s)
		c.SetWriteDeadline(time.Now().Add(time.Second))
		_, err := c.Write(make([]byte, 1<<20))
		wantErr(t, "Write", err, os.ErrDeadlineExceeded)
		if memory := c.Stats().FramesOut * 512; memory > wrap.DefaultWriteBuffer+200<<10 {
			t.Errorf("%d bytes of memory are queued", memory)
		}
	})
}

// TestAvailable fills the write buffer while the carrier takes nothing: as long as there is room, no Write waits.
func TestAvailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := wrapConfigs(t, "length:16be")
		a, b := bio.Pair(100)
		c, s := connect(t, a, b, client, server)
		if n := c.Available(); n != 0 {
			t.Errorf("%d bytes are available before the handshake", n)
		}
		shake(t, c, s)
		before := c.Available()
		for c.Available() > 0 {
			c.SetWriteDeadline(time.Now().Add(time.Second))
			began := time.Now()
			if _, err := c.Write(make([]byte, 100)); err != nil || time.Since(began) > 0 {
				t.Fatalf("with %d bytes available, Write waits %v: %v", c.Available(), time.Since(began), err)
			}
		}
		if before < wrap.DefaultWriteBuffer/2 {
			t.Errorf("%d bytes are available in the beginning", before)
		}
		_, err := c.Write(make([]byte, 100))
		wantErr(t, "Write without room", err, os.ErrDeadlineExceeded)
		if c.Abort(); c.Available() != 0 {
			t.Errorf("%d bytes are available after Abort", c.Available())
		}
	})
}

// TestConcurrentUse calls everything at once, for the race detector, and checks that records stay whole.
func TestConcurrentUse(t *testing.T) {
	const writers, messages = 4, 50
	client, server := wrapConfigs(t, "websocket")
	client.Trace, client.Side = func(wrap.Trace) {}, func(*wrap.Conn, []byte) {}
	a, b := tcpPair(t)
	c, s := connect(t, a, b, client, server)
	var all sync.WaitGroup
	for i := range writers {
		message := bytes.Repeat([]byte{byte('a' + i)}, 64)
		all.Go(func() {
			for range messages {
				if _, err := c.Write(message); err != nil {
					t.Error(err)
				}
			}
		})
		all.Go(func() {
			for j := range messages {
				_, _, _, _ = c.Stats(), c.ConnectionState(), c.LocalAddr(), c.RemoteAddr()
				c.SetDeadline(time.Now().Add(patience + time.Duration(j)*time.Second))
				c.Flush()
			}
		})
	}
	all.Go(func() {
		p := make([]byte, 64)
		for range writers * messages {
			if _, err := io.ReadFull(s, p); err != nil {
				t.Error(err)
				return
			}
			if !bytes.Equal(p, bytes.Repeat(p[:1], len(p))) {
				t.Errorf("two Writes were mixed: %q", p)
			}
		}
	})
	all.Wait()
	c.SetReadDeadline(time.Unix(1, 0))
	_, err := c.Read(make([]byte, 1))
	wantErr(t, "Read", err, os.ErrDeadlineExceeded)
}

// TestCloseRaces closes while everything else is under way.
func TestCloseRaces(t *testing.T) {
	for i := range 30 {
		client, server := wrapConfigs(t, []string{"", "length:16be", "websocket"}[i%3])
		a, b := tcpPair(t)
		c, s := connect(t, a, b, client, server)
		var all sync.WaitGroup
		for _, conn := range []*wrap.Conn{c, s} {
			all.Go(func() { io.Copy(io.Discard, struct{ io.Reader }{conn}) })
			all.Go(func() {
				for {
					if _, err := conn.Write(make([]byte, 30000)); err != nil {
						return
					}
				}
			})
			all.Go(func() {
				for range 20 {
					conn.SetDeadline(time.Now().Add(time.Minute))
				}
			})
		}
		time.Sleep(time.Duration(i) * 300 * time.Microsecond)
		closeBoth(c, s)
		finished := make(chan struct{})
		go func() { all.Wait(); close(finished) }()
		select {
		case <-finished:
		case <-time.After(patience):
			t.Fatal(fmt.Sprint("round ", i, ": calls hang after Close"))
		}
	}
}
