package wrap_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// over returns configurations with a Machine.
func over(t *testing.T, m frame.Maker) (client, server *wrap.Config) {
	client, server = wrapConfigs(t, "")
	client.Codec, server.Codec = m, m
	return client, server
}

// TestLockstep runs a protocol that sends a fragment at a time over every kind of stream.
func TestLockstep(t *testing.T) {
	for _, mtu := range []int{40, 300, 1400} {
		for _, tr := range transports {
			t.Run(fmt.Sprintf("mtu=%d/%s", mtu, tr.name), func(t *testing.T) {
				client, server := over(t, lockstepMaker(mtu))
				var mu sync.Mutex
				longest := 0
				client.Trace = func(tr wrap.Trace) {
					mu.Lock()
					defer mu.Unlock()
					if longest = max(longest, len(tr.Frame)); tr.TLS != nil {
						t.Error("Trace claims to know what a fragment holds")
					}
				}
				a, b := tr.pair(t)
				c, s := connect(t, a, b, client, server)
				shake(t, c, s)
				exchange(t, c, s)
				transferBoth(t, c, s, 20<<10)
				closeBoth(c, s)
				mu.Lock() // a goroutine that hears may still be ending
				defer mu.Unlock()
				if longest != mtu {
					t.Errorf("the longest frame has %d bytes", longest)
				}
			})
		}
	}
}

// transferBoth sends size bytes each way at once.
func transferBoth(t *testing.T, c, s *wrap.Conn, size int) {
	t.Helper()
	var all sync.WaitGroup
	for i, conn := range []*wrap.Conn{c, s} {
		all.Go(func() {
			if _, err := conn.Write(noise(size, uint64(i))); err != nil {
				t.Errorf("end %d: Write: %v", i, err)
			}
		})
		all.Go(func() {
			got := make([]byte, size)
			if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, noise(size, uint64(1-i))) {
				t.Errorf("end %d: Read: %v", i, err)
			}
		})
	}
	all.Wait()
}

// TestLockstepGathers writes more at once than may be held back: the Machine, which waits for the end of the flight, is
// told that there is none for now.
func TestLockstepGathers(t *testing.T) {
	client, server := over(t, lockstepMaker(1000))
	client.WriteBuffer, server.WriteBuffer = 10<<10, 10<<10
	a, b := net.Pipe()
	c, s := connect(t, a, b, client, server)
	shake(t, c, s)
	transferBoth(t, c, s, 400<<10)
}

// TestCloseDeliversBacklog closes when nearly all that was written is held back by a Machine that waits for its turn,
// and the peer, too, has written more than this end cared to read.
func TestCloseDeliversBacklog(t *testing.T) {
	client, server := over(t, lockstepMaker(200))
	client.Linger = 10 * time.Second
	a, b := tcpPair(t)
	c, s := connect(t, b, a, client, server)
	shake(t, c, s)
	go s.Write(make([]byte, 300<<10))
	want := noise(100<<10, 5)
	closed := make(chan error, 1)
	go func() {
		_, err := c.Write(want)
		closed <- errors.Join(err, c.Close())
	}()
	got, err := io.ReadAll(s)
	if !bytes.Equal(got, want) || err != nil {
		t.Errorf("%d of %d bytes arrive, %v", len(got), len(want), err)
	}
	if err := <-closed; err != nil {
		t.Errorf("Write and Close: %v", err)
	}
}

// TestCloseWithoutTurn closes when the peer never gives this end its turn.
func TestCloseWithoutTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := over(t, lockstepMaker(200))
		a, b := net.Pipe()
		c, s := connect(t, a, b, client, server)
		shake(t, c, s)
		if _, err := c.Write(make([]byte, 10<<10)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		read := make(chan error, 1)
		go func() {
			_, err := c.Read(make([]byte, 1))
			read <- errors.Join(err, c.SetReadDeadline(time.Time{}))
		}()
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- c.Close() }()
		if err := <-read; !errors.Is(err, net.ErrClosed) || time.Since(start) != 0 {
			t.Errorf("Read: %v after %v", err, time.Since(start))
		}
		if err := <-closed; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != client.Linger {
			t.Errorf("Close: %v after %v", err, time.Since(start))
		}
	})
}

// TestPeerIsGone has lost its peer, and with it all hope for a turn: there is nothing to wait for.
func TestPeerIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := over(t, lockstepMaker(200))
		client.Linger = time.Minute
		a, b := bio.Pair(0)
		c, s := connect(t, a, b, client, server)
		shake(t, c, s)
		wrote := make(chan error, 1)
		go func() {
			_, err := c.Write(make([]byte, 1<<20))
			wrote <- err
		}()
		synctest.Wait()
		start := time.Now()
		b.CloseWrite()
		wantErr(t, "Write", <-wrote, bio.ErrTruncated)
		wantErr(t, "Close", c.Close(), bio.ErrTruncated)
		if took := time.Since(start); took != 0 {
			t.Errorf("that took %v", took)
		}

		a, b = bio.Pair(0) // and now while Close waits
		c, s = connect(t, a, b, client, server)
		shake(t, c, s)
		if _, err := c.Write(make([]byte, 10<<10)); err != nil {
			t.Fatal(err)
		}
		start = time.Now()
		time.AfterFunc(3*time.Second, func() { b.CloseWrite() })
		wantErr(t, "Close", c.Close(), bio.ErrTruncated)
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("that took %v", took)
		}
	})
}

// TestArq loses, repeats and reorders every tenth frame each.
func TestArq(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := over(t, arqMaker(400))
				for _, cfg := range []*wrap.Config{client, server} {
					cfg.Linger, cfg.HandshakeTimeout = time.Minute, time.Minute
				}
				a, b := lossyPair(0.1, 1200, seed)
				c, s := wrap.Client(a, client), wrap.Server(b, server)
				shake(t, c, s)
				transferBoth(t, c, s, 20<<10)
				a.arrive([]byte("a datagram from nowhere"), nil)
				a.setLoss(0) // or the last acknowledgement may be lost, and after it nobody listens
				b.setLoss(0)
				want := noise(5000, seed)
				closed := make(chan error, 1)
				go func() {
					_, err := c.Write(want)
					closed <- errors.Join(err, c.Close()) // waits until the last fragment is acknowledged
				}()
				got, err := io.ReadAll(s)
				if !bytes.Equal(got, want) || err != nil {
					t.Errorf("%d of %d bytes arrive, %v", len(got), len(want), err)
				}
				if err := <-closed; err != nil {
					t.Errorf("Write and Close: %v", err)
				}
				if n := c.Stats().Malformed; n != 2 {
					t.Errorf("%d malformed frames, want 2: %+v", n, c.Stats())
				}
				s.Close()
			})
		})
	}
}

// TestArqSlowReader does not read for longer than the peer's patience: what arrives is acknowledged all the same,
// until it is too much.
func TestArqSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := over(t, arqMaker(400))
		a, b := lossyPair(0.05, 1200, 1)
		c, s := wrap.Client(a, client), wrap.Server(b, server)
		shake(t, c, s)
		want := noise(20<<10, 1)
		if _, err := c.Write(want); err != nil {
			t.Fatal(err)
		}
		time.Sleep(arqTimeout << (arqTries + 1))
		got := make([]byte, len(want))
		if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the slow reader reads: %v", err)
		}
		a.setLoss(0)
		b.setLoss(0)
		closeBoth(c, s)
	})
}

// TestArqGivesUp has a peer that is gone: after the last repetition all calls that wait return, and say why.
func TestArqGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := over(t, arqMaker(400))
		client.WriteBuffer = 1000
		a, b := lossyPair(0, 1200, 0)
		c, s := wrap.Client(a, client), wrap.Server(b, server)
		shake(t, c, s)
		b.Close()
		start := time.Now()
		results := make(chan error, 2)
		go func() {
			_, err := c.Write(make([]byte, 200<<10))
			results <- err
		}()
		go func() {
			_, err := c.Read(make([]byte, 1))
			results <- err
		}()
		for range 2 {
			wantErr(t, "a call that waits", <-results, errGone)
		}
		if took := time.Since(start); took != arqTimeout<<(arqTries)-arqTimeout {
			t.Errorf("that took %v", took)
		}
		_, err := c.Write([]byte("x"))
		wantErr(t, "Write", err, errGone)
		wantErr(t, "Close", c.Close(), errGone)
		s.Close()
	})
}

// TestArqHandshake gives up during the handshake.
func TestArqHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := over(t, arqMaker(400))
		client.HandshakeTimeout = -1
		a, _ := lossyPair(1, 1200, 0)
		c := wrap.Client(a, client)
		wantErr(t, "Handshake", c.Handshake(), errGone)
		c.Close()
	})
}

// TestEnd ends the outer protocol without close_notify: that is a truncation all the same.
func TestEnd(t *testing.T) {
	client, server := over(t, lockstepMaker(1000))
	a, b := tcpPair(t)
	c, s := connect(t, b, a, client, server)
	shake(t, c, s)
	exchange(t, c, s)
	b.Write([]byte{lockstepEnd, 0, 0, 0, 0})
	wantErr(t, "Read", readErr(t, s), bio.ErrTruncated)
	c.Close() // says goodbye and ends the outer protocol, too
	s.Close()
}

// TestSwitchRaw stops framing after the handshake. The client's first data leave together with its last flight.
func TestSwitchRaw(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, tr := range transports {
			t.Run(tls.VersionName(version)+"/"+tr.name, func(t *testing.T) {
				client, server := over(t, tdsMaker(512))
				client.TLS.MaxVersion = version
				client.MaxFrame, server.MaxFrame = 4096, 0
				a, b := tr.pair(t)
				wire := &recorder{Conn: a}
				c, s := connect(t, wire, b, client, server)
				go io.WriteString(c, "SELECT 1")
				expect(t, s, "SELECT 1")
				transferBoth(t, c, s, 100<<10)
				raw := wire.bytes()
				for len(raw) > 0 && raw[0] == tdsPrelogin {
					raw = raw[int(raw[2])<<8|int(raw[3]):]
				}
				for records := 0; len(raw) > 0; records++ {
					n := 5 + int(raw[3])<<8 + int(raw[4])
					if raw[0] != 23 || n > len(raw) {
						t.Fatalf("record %d behind the handshake: % x", records, raw[:5])
					}
					raw = raw[n:]
				}
			})
		}
	}
}

// A recorder keeps what is written.
type recorder struct {
	net.Conn
	mu      sync.Mutex
	written []byte
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	r.written = append(r.written, p...)
	r.mu.Unlock()
	return r.Conn.Write(p)
}

func (r *recorder) bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.written
}
