package lossy_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/encase-tls/encase/wrap/datagram/lossy"
)

// TestRelay counts what arrives of a thousand datagrams.
func TestRelay(t *testing.T) {
	for _, c := range []lossy.Conditions{{}, {Loss: 0.3}, {Duplicate: 0.3}, {Reorder: 0.3}, {MTU: 100}} {
		r, client, server := relay(t, c)
		const count, atOnce = 1000, 20
		a := &arrivals{}
		go a.receive(server)
		for i := range uint32(count) {
			d := make([]byte, 100+i%2)
			binary.BigEndian.PutUint32(d, i)
			if _, err := client.Write(d); err != nil {
				t.Fatal(err)
			}
			if i%atOnce == atOnce-1 { // more might not fit into the sockets
				eventually(t, "it has arrived", func() bool {
					s := r.Stats()
					return s.Passed+s.Lost+s.TooLong == uint64(i+1) && a.count.Load() >= s.Passed+s.Duplicated
				})
			}
		}
		s, backwards := r.Stats(), a.backwards.Load()
		if got := a.count.Load(); got != s.Passed+s.Duplicated {
			t.Errorf("%+v: %d arrive: %+v", c, got, s)
		}
		if (c.Loss > 0) != (s.Lost > 200) || (c.Duplicate > 0) != (s.Duplicated > 200) || (c.MTU > 0) != (s.TooLong == 500) {
			t.Errorf("%+v: %+v", c, s)
		}
		if (c.Reorder > 0) != (backwards > 100) {
			t.Errorf("%+v: %d come out of order: %+v", c, backwards, s)
		}
	}
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !so(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not come true that %s", what)
		}
	}
}

// TestRebind answers a client at the address that it has after Rebind.
func TestRebind(t *testing.T) {
	r, client, server := relay(t, lossy.Conditions{})
	var last netip.AddrPort
	for range 3 {
		client.Write([]byte("ping"))
		buf := make([]byte, 100)
		server.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, from, err := server.ReadFromUDPAddrPort(buf)
		if err != nil || from == last {
			t.Fatalf("from %v, before %v: %v", from, last, err)
		}
		last = from
		server.WriteToUDPAddrPort(buf[:n], from)
		client.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, err := client.Read(buf); err != nil || string(buf[:n]) != "ping" {
			t.Fatalf("the answer is %q, %v", buf[:n], err)
		}
		if err := r.Rebind(); err != nil {
			t.Fatal(err)
		}
	}
}

func relay(t *testing.T, c lossy.Conditions) (r *lossy.Relay, client, server *net.UDPConn) {
	t.Helper()
	server, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	if r, err = lossy.New(server.LocalAddr().(*net.UDPAddr).AddrPort(), c, 1); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if client, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(r.Addr())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return r, client, server
}

// arrivals counts what arrives, and how many of it after a later one.
type arrivals struct{ count, backwards atomic.Uint64 }

// receive counts until server is closed.
func (a *arrivals) receive(server *net.UDPConn) {
	buf := make([]byte, 2000)
	for newest := uint32(0); ; {
		if _, err := server.Read(buf); err != nil {
			return
		}
		i := binary.BigEndian.Uint32(buf)
		if i < newest {
			a.backwards.Add(1)
		}
		newest = max(newest, i)
		a.count.Add(1)
	}
}
