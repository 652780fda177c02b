package datagram

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap/datagram/lossy"
	"github.com/encase-tls/encase/wrap/udp"
)

// throughRelay returns both ends of a connection through a relay. Where datagrams get lost, a handshake may take longer
// than anybody waits: then it tries again, often enough.
func throughRelay(t *testing.T, client, server *Config, c lossy.Conditions,
	tap func(toServer bool, p []byte)) (*lossy.Relay, *Conn, *Conn) {
	t.Helper()
	tries := 1
	if c.Loss > 0 {
		tries = 20
	}
	for try := 1; ; try++ {
		relay, conn, h, err := tryRelay(t, client, server, c, tap, uint64(try))
		switch {
		case err == nil:
			t.Cleanup(func() { conn.Close() })
			return relay, conn, h.accept()
		case !errors.Is(err, context.DeadlineExceeded) || try == tries:
			t.Fatalf("after %d handshakes: %v", try, err)
		}
	}
}

// tryRelay connects a client to a host of its own through a relay.
func tryRelay(t *testing.T, client, server *Config, c lossy.Conditions, tap func(toServer bool, p []byte),
	seed uint64) (*lossy.Relay, *Conn, *host, error) {
	t.Helper()
	h := newHost(t, server)
	relay, err := lossy.New(h.addr(), c, seed)
	if err != nil {
		t.Fatal(err)
	}
	relay.Tap(tap)
	t.Cleanup(func() { relay.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := Dial(ctx, "udp", relay.Addr().String(), client)
	return relay, conn, h, err
}

// TestBadNetwork loses, repeats and reorders datagrams, at an MTU of 600 bytes. The handshake gets through, and then all
// messages do that the network lets through, whole and once.
func TestBadNetwork(t *testing.T) {
	for _, bad := range []float64{0, 0.1, 0.3} {
		for _, codec := range []string{"", "length:16be", "channeldata:udp"} {
			t.Run(fmt.Sprintf("%.0f%%/%s", 100*bad, codec), func(t *testing.T) {
				t.Parallel()
				client, server := configs(t, codec, func(o *dtls.Options) {
					o.FlightInterval = 50 * time.Millisecond
					o.ReplayWindow = 1024
				})
				client.MTU, server.MTU = 600, 600
				conditions := lossy.Conditions{Loss: bad, Duplicate: bad, Reorder: bad, MTU: 600}
				relay, c, s := throughRelay(t, client, server, conditions, nil)
				both(t, c, s, 500, func() uint64 { return relay.Stats().Lost })
				if n := relay.Stats().TooLong; n > 0 {
					t.Errorf("%d datagrams are longer than the MTU", n)
				}
				if c.MTU() != 600-c.codec.lim.Head-c.codec.lim.Tail-c.eng.Overhead() {
					t.Errorf("MTU is %d", c.MTU())
				}
			})
		}
	}
}

// TestTenMegabytes moves as much each way, in batches and as fast as the receiver reads; not one message is lost.
func TestTenMegabytes(t *testing.T) {
	const size, total = 1100, 10 << 20
	for _, codec := range []string{"", "length:16be"} {
		client, server := configs(t, codec)
		client.Queue, server.Queue = total, total
		client.Socket.ReadBuffer = 8 << 20
		c, s := connect(t, client, server)
		var wg sync.WaitGroup
		for _, ends := range [][2]*Conn{{c, s}, {s, c}} {
			wg.Go(func() { sendBatches(t, ends[0], ends[1], size, total/size) })
		}
		wg.Wait()
	}
}

// sendBatches moves numbered messages and lets no more than a few hundred be on the way.
func sendBatches(t *testing.T, from, to *Conn, size, count int) {
	const atOnce, ahead = 32, 8
	tokens := make(chan struct{}, ahead)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, size)
		want := noise(size, 7)
		for i := range count {
			to.SetReadDeadline(time.Now().Add(10 * time.Second))
			n, err := to.Read(buf)
			want[0], want[1] = byte(i>>8), byte(i)
			if err != nil || string(buf[:n]) != string(want) {
				t.Errorf("message %d of %d: %d bytes, %v: %+v", i, count, n, err, to.Stats())
				return
			}
			if i%atOnce == atOnce-1 {
				<-tokens
			}
		}
	}()
	batch := make([][]byte, atOnce)
	for i := range batch {
		batch[i] = noise(size, 7)
	}
	for i := 0; i < count; i += atOnce {
		part := batch[:min(atOnce, count-i)]
		for k := range part {
			part[k][0], part[k][1] = byte((i+k)>>8), byte(i+k)
		}
		select {
		case tokens <- struct{}{}:
		case <-done:
			return
		}
		if n, err := from.WriteBatch(part); n != len(part) || err != nil {
			t.Errorf("WriteBatch: %d, %v", n, err)
			return
		}
	}
	<-done
}

// TestMove gives the client a new address in the middle: the server answers there, because a newer record with the
// connection ID has come from it, and not because of an old one.
func TestMove(t *testing.T) {
	client, server := configs(t, "", func(o *dtls.Options) { o.CIDLen = hostCID })
	moves := make(chan Event, 10)
	server.OnEvent = func(_ *Conn, e Event) { moves <- e }
	var mu sync.Mutex
	var last []byte
	relay, c, s := throughRelay(t, client, server, lossy.Conditions{}, func(toServer bool, p []byte) {
		mu.Lock()
		defer mu.Unlock()
		if toServer {
			last = append([]byte(nil), p...)
		}
	})
	ping(t, c, s)
	before := s.RemoteAddr().String()
	if err := relay.Rebind(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	old := last
	mu.Unlock()
	relay.ToServer(old) // who replays a record gets nothing
	time.Sleep(50 * time.Millisecond)
	if now := s.RemoteAddr().String(); now != before {
		t.Errorf("a replay has moved the peer from %v to %v", before, now)
	}
	ping(t, c, s)
	if now := s.RemoteAddr().String(); now == before {
		t.Errorf("the peer is still at %v", now)
	}
	select {
	case e := <-moves:
		if e.Kind != EventMoved || e.From.String() != before || e.To.String() != s.RemoteAddr().String() {
			t.Errorf("the event is %+v", e)
		}
	case <-time.After(5 * time.Second):
		t.Error("no event")
	}
}

// ping sends a message each way.
func ping(t *testing.T, c, s *Conn) {
	t.Helper()
	buf := make([]byte, 100)
	for _, ends := range [][2]*Conn{{c, s}, {s, c}} {
		if _, err := ends[0].Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		ends[1].SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := ends[1].Read(buf)
		if err != nil || string(buf[:n]) != "ping" {
			t.Fatalf("%q, %v; %+v, %+v", buf[:n], err, ends[0].Stats(), ends[1].Stats())
		}
	}
}

// A strait is an output through which only short datagrams pass.
type strait struct {
	output
	most int
}

func (o *strait) send(c *Conn, frames []*frame.Buf) error {
	var err error
	for _, b := range frames {
		if b.Len() <= o.most {
			err = o.output.send(c, []*frame.Buf{b})
			continue
		}
		b.Release()
		err = &udp.TooBigError{Addr: netip.MustParseAddrPort("192.0.2.1:1"), Size: b.Len(), MTU: o.most + 28,
			Err: errors.New("message too long")}
	}
	return err
}

// TestNarrowPath finds the path narrower than configured: the message that shows it is refused with the new limit, what
// fits that gets through, and a probe can show that it has become wider again.
func TestNarrowPath(t *testing.T) {
	client, server := configs(t, "length:16be")
	client.MTU = 1472
	var told atomic.Int32
	client.OnEvent = func(_ *Conn, e Event) { told.Store(int32(e.MTU)) }
	c, s := connect(t, client, server)
	wide := c.MTU()
	narrow := &strait{c.out, 1000}
	c.writing.Lock()
	c.out = narrow
	c.writing.Unlock()

	var long *bio.TooLongError
	_, err := c.Write(make([]byte, wide))
	limit := wide - 472
	if !errors.As(err, &long) || long.Limit != limit || c.MTU() != limit || told.Load() != int32(limit) {
		t.Fatalf("Write of %d bytes: %v; MTU %d, event %d, want %d", wide, err, c.MTU(), told.Load(), limit)
	}
	if c.ConfiguredMTU() != wide || c.Overhead() != 1472-wide {
		t.Errorf("configured are %d, overhead %d, want %d and %d", c.ConfiguredMTU(), c.Overhead(), wide, 1472-wide)
	}
	if _, err := c.Write(make([]byte, limit+1)); !errors.As(err, &long) {
		t.Errorf("Write of a byte more: %v", err)
	}
	receive := func(want int) {
		t.Helper()
		s.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, err := s.Read(make([]byte, 2000)); n != want || err != nil {
			t.Errorf("%d bytes arrive, %v, want %d", n, err, want)
		}
	}
	if _, err := c.Write(make([]byte, limit)); err != nil {
		t.Error(err)
	}
	receive(limit)
	if err := c.Probe(make([]byte, wide)); !errors.As(err, &long) {
		t.Errorf("a probe that does not get through: %v", err)
	}
	c.writing.Lock()
	narrow.most = 1472
	c.writing.Unlock()
	if err := c.Probe(make([]byte, wide)); err != nil {
		t.Errorf("a probe that gets through: %v", err)
	}
	receive(wide)
	if err := c.SetMTU(1472); err != nil || c.MTU() != wide {
		t.Errorf("SetMTU: %v; MTU %d, want %d", err, c.MTU(), wide)
	}
	if err := c.SetMTU(50); err == nil {
		t.Error("an MTU without room is taken")
	}
}
