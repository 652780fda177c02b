package udp_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/encase-tls/encase/wrap/udp"
)

// sockets are made in each way that there is.
func sockets(t *testing.T) map[string]*udp.Socket {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*udp.Socket{
		"Open":                open(t, "127.0.0.1:0", udp.Options{}),
		"From a *net.UDPConn": must(t, udp.From(conn), nil),
		"From another conn":   foreign(t, "127.0.0.1:0"),
		"portable":            portable(t, "127.0.0.1:0"),
	}
}

func TestCloseWhileReading(t *testing.T) {
	for name, s := range sockets(t) {
		t.Run(name, func(t *testing.T) {
			errs := make(chan error)
			for range 2 {
				go func() {
					_, err := s.ReadBatch(rooms(2, 100))
					errs <- err
				}()
			}
			time.Sleep(10 * time.Millisecond)
			s.Close()
			for range 2 {
				if err := <-errs; !errors.Is(err, net.ErrClosed) {
					t.Errorf("ReadBatch: %v", err)
				}
			}
			if n, err := s.WriteBatch([]udp.Packet{{Addr: addrOf(s)}}); n != 0 || !errors.Is(err, net.ErrClosed) {
				t.Errorf("WriteBatch: %d, %v", n, err)
			}
		})
	}
}

func TestDeadline(t *testing.T) {
	for name, s := range sockets(t) {
		t.Run(name, func(t *testing.T) {
			s.SetReadDeadline(time.Now().Add(time.Millisecond))
			if n, err := s.ReadBatch(rooms(2, 100)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("ReadBatch: %d, %v", n, err)
			}
			s.SetWriteDeadline(time.Now().Add(-time.Second))
			ps := []udp.Packet{{Addr: addrOf(s), Data: []byte("hello")}}
			if n, err := s.WriteBatch(ps); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || ps[0].Err != nil {
				t.Errorf("WriteBatch: %d, %v, %v", n, err, ps[0].Err)
			}
			s.SetDeadline(time.Now().Add(patience))
			send(t, s, ps...)
			receive(t, s, 1, rooms(1, 100))
		})
	}
}

func TestNothingToDo(t *testing.T) {
	for name, s := range sockets(t) {
		if n, err := s.WriteBatch(nil); n != 0 || err != nil {
			t.Errorf("%s: WriteBatch: %d, %v", name, n, err)
		}
		if n, err := s.ReadBatch(nil); n != 0 || err != nil {
			t.Errorf("%s: ReadBatch: %d, %v", name, n, err)
		}
	}
}

func TestMistakes(t *testing.T) {
	_, err := udp.Open("tcp", "127.0.0.1:0", udp.Options{})
	if err == nil || !strings.Contains(err.Error(), `network "tcp"`) {
		t.Errorf("a network that is not UDP: %v", err)
	}
	if _, err := udp.OpenShards("udp", "127.0.0.1:0", 0, udp.Options{}); err == nil {
		t.Error("no shards were opened, without an error")
	}
	busy := open(t, "127.0.0.1:0", udp.Options{})
	if _, err := udp.Open("udp", busy.LocalAddr().String(), udp.Options{}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("an address in use: %v", err)
	}
	other := open(t, "127.0.0.1:0", udp.Options{})
	client := dial(t, busy.LocalAddr().String(), udp.Options{})
	ps := []udp.Packet{{Addr: addrOf(other)}, {Addr: addrOf(busy)}, {}}
	if n, err := client.WriteBatch(ps); n != 3 || err == nil || err != ps[0].Err || ps[1].Err != nil || ps[2].Err != nil {
		t.Errorf("to another than the peer: %d, %v; the packets: %v, %v, %v", n, err, ps[0].Err, ps[1].Err, ps[2].Err)
	}
	receive(t, busy, 2, rooms(2, 100))
	nothing(t, other)
}

// TestRefused sends to a port where nobody listens.
func TestRefused(t *testing.T) {
	dead := open(t, "127.0.0.1:0", udp.Options{})
	to := addrOf(dead)
	dead.Close()
	for name, s := range sockets(t) {
		for range 3 {
			send(t, s, udp.Packet{Addr: to, Data: []byte("hello")}, udp.Packet{Addr: addrOf(s), Data: []byte("self")})
			receive(t, s, 1, rooms(1, 100)) // or this fails
		}
		if st := s.Stats(); st.Unreachable != 0 || st.Refused != 0 {
			t.Errorf("%s: %+v", name, st)
		}
	}
	conn, err := net.Dial("udp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	refused(t, to, dial(t, to.String(), udp.Options{}))
	refused(t, to, must(t, udp.Portable(conn.(*net.UDPConn)), nil))
}

// refused uses a connected socket while nobody listens at the other end, and afterwards.
func refused(t *testing.T, to netip.AddrPort, client *udp.Socket) {
	t.Helper()
	send(t, client, udp.Packet{Data: []byte("hello")})
	if _, err := client.ReadBatch(rooms(1, 100)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("ReadBatch of a connected socket: %v", err)
	}
	send(t, client, udp.Packet{Data: []byte("hello")})
	back := open(t, to.String(), udp.Options{})
	send(t, client, udp.Packet{Data: []byte("again")}, udp.Packet{Data: []byte("and again")}) // not taken for refused
	receive(t, back, 2, rooms(2, 100))
	back.Close()
	if st := client.Stats(); st.Unreachable != 2 || st.Refused != 0 || st.DatagramsOut != 4 {
		t.Errorf("a connected socket: %+v", st)
	}
}

// TestConcurrent uses a socket from many goroutines at once.
func TestConcurrent(t *testing.T) {
	s := open(t, "127.0.0.1:0", udp.Options{ReadBuffer: 1 << 20})
	const writers, batches = 4, 50
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range batches {
				ps := []udp.Packet{{Addr: addrOf(s), Data: make([]byte, 12), Segment: 4}, {Addr: addrOf(s)}}
				if _, err := s.WriteBatch(ps); err != nil {
					t.Error(err)
				}
				s.Stats()
			}
		})
	}
	wg.Wait()
	var mu sync.Mutex
	left := writers * batches * 4
	for range 2 {
		wg.Go(func() {
			for ps := rooms(8, 100); ; {
				n, err := s.ReadBatch(ps)
				if err != nil {
					return // closed
				}
				mu.Lock()
				if left -= n; left == 0 {
					s.Close()
				}
				mu.Unlock()
			}
		})
	}
	if wg.Wait(); left != 0 {
		t.Errorf("%d datagrams did not arrive", left)
	}
}

// TestShards checks that each peer stays with one shard, and that each shard has peers.
func TestShards(t *testing.T) {
	const peers = 64
	shards, err := udp.OpenShards("udp", "127.0.0.1:0", 4, udp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range shards {
		must(t, s, nil)
		if s.LocalAddr().String() != shards[0].LocalAddr().String() {
			t.Errorf("one shard is at %v, one at %v", s.LocalAddr(), shards[0].LocalAddr())
		}
	}
	for range peers {
		client := dial(t, shards[0].LocalAddr().String(), udp.Options{})
		for range 3 {
			send(t, client, udp.Packet{Data: []byte("x")})
		}
	}
	total := 0
	for i, s := range shards {
		seen := map[netip.AddrPort]int{}
		s.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		for ps := rooms(16, 100); ; {
			n, err := s.ReadBatch(ps)
			if err != nil {
				break
			}
			for _, p := range ps[:n] {
				seen[p.Addr]++
			}
		}
		for peer, n := range seen {
			if n != 3 {
				t.Errorf("shard %d: %d of 3 datagrams from %v", i, n, peer)
			}
		}
		if len(seen) == 0 {
			t.Errorf("shard %d of %d has no peer", i, len(shards))
		}
		total += len(seen)
	}
	if total != peers {
		t.Errorf("%d peers were heard, %d have sent", total, peers)
	}
	if _, err := udp.Open("udp", shards[0].LocalAddr().String(), udp.Options{}); err == nil {
		t.Error("a socket joined the shards that did not ask to")
	}
}

// TestAnyConn uses a conn without IP addresses, in fake time.
func TestAnyConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		s := udp.From(connected{a})
		defer s.Close()
		go b.Write([]byte("question"))
		ps := rooms(2, 100)
		if n, err := s.ReadBatch(ps); n != 1 || err != nil || string(ps[0].Data) != "question" || ps[0].Addr.IsValid() {
			t.Errorf("%d, %v, %q from %v", n, err, ps[0].Data, ps[0].Addr)
		}
		go s.WriteBatch([]udp.Packet{{Data: []byte("answers"), Segment: 4}})
		p := make([]byte, 100)
		for _, want := range []string{"answ", "ers"} {
			if n, err := b.Read(p); err != nil || string(p[:n]) != want {
				t.Errorf("%q, %v", p[:n], err)
			}
		}
		if _, err := s.PathMTU(netip.AddrPort{}); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("PathMTU: %v", err)
		}
		b.Close()
		if n, err := s.WriteBatch([]udp.Packet{{Data: []byte("x")}}); n != 0 || err == nil {
			t.Errorf("to a closed conn: %d, %v", n, err)
		}
	})
}

// connected makes a net.PacketConn of a net.Conn.
type connected struct{ net.Conn }

func (c connected) ReadFrom(p []byte) (int, net.Addr, error) {
	n, err := c.Read(p)
	return n, c.RemoteAddr(), err
}

func (c connected) WriteTo([]byte, net.Addr) (int, error) { return 0, errors.New("it is connected") }
