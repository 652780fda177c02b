package wrap_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/wrap"
)

// TestHalfClose ends one direction: the other goes on.
func TestHalfClose(t *testing.T) {
	client, server := wrapConfigs(t, "length:16be")
	a, b := net.Pipe()
	c, s := connect(t, a, b, client, server)
	shake(t, c, s)
	go func() {
		io.WriteString(c, "request")
		c.CloseWrite()
		c.CloseWrite() // does nothing
	}()
	got, err := io.ReadAll(s)
	if string(got) != "request" || err != nil {
		t.Fatalf("ReadAll: %q, %v", got, err)
	}
	_, err = c.Write([]byte("more"))
	wantErr(t, "Write after CloseWrite", err, bio.ErrWriteClosed)
	send(t, s, c, "answer")
	go s.CloseWrite()
	if err := readErr(t, c); err != io.EOF {
		t.Errorf("Read after the peer's CloseWrite: %v", err)
	}
}

// TestCloseDelivers closes at once after a Write that the carrier had no room for: the peer, which is slow, gets all
// of it.
func TestCloseDelivers(t *testing.T) {
	for _, codec := range []string{"", "length:16be", "websocket"} {
		t.Run(codec, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := wrapConfigs(t, codec)
				client.Linger = time.Minute
				a, b := bio.Pair(1000)
				c, s := connect(t, a, b, client, server)
				shake(t, c, s)
				want := noise(100<<10, 1)
				closed := make(chan error, 1)
				go func() {
					_, err := c.Write(want)
					closed <- errors.Join(err, c.Close())
				}()
				time.Sleep(5 * time.Second)
				got, err := io.ReadAll(s)
				if !bytes.Equal(got, want) || err != nil {
					t.Errorf("the peer got %d of %d bytes, %v", len(got), len(want), err)
				}
				if err := <-closed; err != nil {
					t.Errorf("Write and Close: %v", err)
				}
			})
		})
	}
}

// TestCloseIsBounded closes while the peer does not read: Close takes Linger, says that data is lost, and a Write and a
// Read that wait return at once.
func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := wrapConfigs(t, "length:16be")
		client.Linger = 3 * time.Second
		a, b := bio.Pair(1000)
		c, s := connect(t, a, b, client, server)
		shake(t, c, s)
		start := time.Now()
		waiting := make(chan error, 2)
		go func() {
			_, err := c.Write(make([]byte, 1<<20))
			waiting <- fmt.Errorf("Write: %w", err)
		}()
		go func() {
			_, err := c.Read(make([]byte, 1))
			waiting <- fmt.Errorf("Read: %w", err)
		}()
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- c.Close() }()
		for range 2 {
			if err := <-waiting; !errors.Is(err, net.ErrClosed) || time.Since(start) > 0 {
				t.Errorf("%v after %v", err, time.Since(start))
			}
		}
		wantErr(t, "Close", <-closed, os.ErrDeadlineExceeded)
		if took := time.Since(start); took != client.Linger {
			t.Errorf("Close took %v, Linger is %v", took, client.Linger)
		}
		wantErr(t, "second Close", c.Close(), net.ErrClosed)
	})
}

// TestCloseWithoutData says goodbye to a peer that does not listen: nothing is lost, so that is no error.
func TestCloseWithoutData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := wrapConfigs(t, "websocket")
		a, b := net.Pipe()
		c, s := connect(t, a, b, client, server)
		shake(t, c, s)
		exchange(t, c, s)
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// TestCloseReportsLoss lets the carrier fail behind a Write that has returned.
func TestCloseReportsLoss(t *testing.T) {
	client, server := wrapConfigs(t, "")
	a, b := bio.Pair(0)
	c, s := connect(t, a, b, client, server)
	shake(t, c, s)
	if _, err := c.Write(make([]byte, 100<<10)); err != nil {
		t.Fatal(err)
	}
	b.Close()
	wantErr(t, "Close", c.Close(), io.ErrClosedPipe)
}

// TestAbort says no goodbye and waits for nothing: the peer gets what has left, and then a truncation. Calls that wait
// return, a Close that lingers too.
func TestAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := wrapConfigs(t, "websocket")
		client.Linger = time.Minute
		a, b := bio.Pair(1000)
		c, s := connect(t, a, b, client, server)
		shake(t, c, s)
		send(t, c, s, "some data")
		start := time.Now()
		waiting := make(chan error, 1)
		go func() {
			_, err := c.Read(make([]byte, 1))
			waiting <- err
		}()
		synctest.Wait()
		if err := c.Abort(); err != nil {
			t.Errorf("Abort: %v", err)
		}
		wantErr(t, "Read", <-waiting, net.ErrClosed)
		wantErr(t, "the peer", readErr(t, s), bio.ErrTruncated)
		wantErr(t, "Close", c.Close(), net.ErrClosed)

		a, b = bio.Pair(1000)
		c, s = connect(t, a, b, client, server)
		shake(t, c, s)
		if _, err := c.Write(make([]byte, 100<<10)); err != nil {
			t.Fatal(err)
		}
		go func() { waiting <- c.Close() }()
		synctest.Wait()
		wantErr(t, "Abort", c.Abort(), net.ErrClosed)
		err := <-waiting
		wantErr(t, "Close", err, net.ErrClosed)
		if isTimeout(err) {
			t.Errorf("Close, which was aborted: %v", err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("all that took %v", took)
		}
	})
}

// TestAbortHandshake aborts a handshake.
func TestAbortHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := wrapConfigs(t, "")
		a, b := net.Pipe()
		defer b.Close()
		c := wrap.Client(wrap.Stream(a), client)
		done := make(chan error, 1)
		go func() { done <- c.Handshake() }()
		synctest.Wait()
		if err := c.Abort(); err != nil {
			t.Errorf("Abort: %v", err)
		}
		wantErr(t, "Handshake", <-done, net.ErrClosed)
	})
}

func TestCloseDuringHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := wrapConfigs(t, "")
		client.Linger = time.Minute
		a, b := net.Pipe() // nobody reads from b
		defer b.Close()
		c := wrap.Client(wrap.Stream(a), client)
		start := time.Now()
		results := make(chan error, 3)
		go func() { results <- c.Handshake() }()
		go func() { _, err := c.Read(make([]byte, 1)); results <- err }()
		go func() { results <- c.CloseWrite() }()
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		for range 3 {
			wantErr(t, "a call that waited for the handshake", <-results, net.ErrClosed)
		}
		_, err := c.Write([]byte("x"))
		wantErr(t, "Write", err, net.ErrClosed)
		wantErr(t, "Handshake", c.Handshake(), net.ErrClosed)
		wantErr(t, "Flush", c.Flush(), net.ErrClosed)
		wantErr(t, "SetReadDeadline", c.SetReadDeadline(time.Now()), net.ErrClosed)
		if took := time.Since(start); took != 0 {
			t.Errorf("all that took %v", took)
		}
	})
}

// TestCloseBeforeHandshake closes a connection that was never used.
func TestCloseBeforeHandshake(t *testing.T) {
	client, _ := wrapConfigs(t, "")
	a, b := net.Pipe()
	c := wrap.Client(wrap.Stream(a), client)
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := b.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the carrier: %v, want io.EOF", err)
	}
	wantErr(t, "Handshake", c.Handshake(), net.ErrClosed)
}

// TestTruncation ends the carrier without close_notify: between two frames and within one, in its header, in that of
// the record, and behind it. What arrived is delivered, and then comes an error that is no io.EOF.
func TestTruncation(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, codec := range []string{"", "length:16be", "websocket"} {
			for _, extra := range []int{0, 1, 4, 20} {
				t.Run(fmt.Sprintf("%s/codec=%s/%d", tls.VersionName(version), codec, extra), func(t *testing.T) {
					client, server := wrapConfigs(t, codec)
					client.TLS.MaxVersion = version
					truncate(t, client, server, extra)
				})
			}
		}
	}
}

func truncate(t *testing.T, client, server *wrap.Config, extra int) {
	near, far := tcpPair(t)
	cut := &cutter{TCPConn: far}
	cut.left.Store(1 << 20)
	c, s := connect(t, cut, near, client, server)
	shake(t, c, s)
	send(t, c, s, "some data")
	cut.left.Store(int64(extra))
	if _, err := c.Write([]byte("never arrives")); err != nil {
		t.Fatal(err)
	}
	err := readErr(t, s)
	wantErr(t, "Read", err, bio.ErrTruncated)
	wantErr(t, "Read", err, io.ErrUnexpectedEOF)
	_, again := s.Read(make([]byte, 1))
	wantErr(t, "Read again", again, bio.ErrTruncated)
	if err := s.Close(); err != nil {
		t.Errorf("Close, which lost nothing: %v", err)
	}
}

// A cutter passes so many bytes on, then ends the stream, and swallows the rest.
type cutter struct {
	*net.TCPConn
	left atomic.Int64
}

func (c *cutter) Write(p []byte) (int, error) {
	left := c.left.Add(-int64(len(p)))
	if left >= 0 {
		return c.TCPConn.Write(p)
	}
	if pass := int64(len(p)) + left; pass > 0 {
		c.TCPConn.Write(p[:pass])
	}
	c.CloseWrite()
	return len(p), nil
}

// TestDataWithCloseNotify sends data and close_notify in one frame, as no Conn does: both arrive, in this order.
func TestDataWithCloseNotify(t *testing.T) {
	client, server := wrapConfigs(t, "length:16be")
	a, b := bio.Pair(0)
	s := wrap.Server(wrap.Stream(b), server)
	defer s.Close()
	peer := newHandPeer(t, a, client.TLS)
	peer.shake(s)
	out, _, err := peer.eng.Seal(nil, []byte("last words"))
	if err != nil {
		t.Fatal(err)
	}
	peer.eng.CloseWrite()
	out, _ = peer.eng.Flush(out, 0)
	peer.send(out)
	got, err := io.ReadAll(s)
	if string(got) != "last words" || err != nil {
		t.Errorf("ReadAll: %q, %v", got, err)
	}
}
