package lossy_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/encase-tls/encase/wrap/datagram/lossy"
)

// TestRelay counts what arrives of a thousand datagrams.
func TestRelay(t *testing.T) {
	for _, c := range []lossy.Conditions{{}, {Loss: 0.3}, {Duplicate: 0.3}, {Reorder: 0.3}, {MTU: 100}} {
		r, client, server := relay(t, c)
		const count = 1000
		received := make(chan [2]int)
		go func() {
			arrived, backwards := receive(server)
			received <- [2]int{arrived, backwards}
		}()
		for i := range uint32(count) {
			d := make([]byte, 100+i%2)
			binary.BigEndian.PutUint32(d, i)
			if _, err := client.Write(d); err != nil {
				t.Fatal(err)
			}
			if i%20 == 19 {
				time.Sleep(time.Millisecond) // for the buffer of the socket
			}
		}
		got := <-received
		arrived, backwards := got[0], got[1]
		s := r.Stats()
		if want := s.Passed + s.Duplicated; uint64(arrived) != want || s.Passed+s.Lost+s.TooLong != count {
			t.Errorf("%+v: %d arrive: %+v", c, arrived, s)
		}
		if (c.Loss > 0) != (s.Lost > 200) || (c.Duplicate > 0) != (s.Duplicated > 200) || (c.MTU > 0) != (s.TooLong == 500) {
			t.Errorf("%+v: %+v", c, s)
		}
		if (c.Reorder > 0) != (backwards > 100) {
			t.Errorf("%+v: %d come out of order: %+v", c, backwards, s)
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

// receive returns how many datagrams arrive, and how many of them after a later one.
func receive(server *net.UDPConn) (arrived, backwards int) {
	buf := make([]byte, 2000)
	var newest uint32
	for {
		server.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if _, err := server.Read(buf); err != nil {
			return arrived, backwards
		}
		arrived++
		i := binary.BigEndian.Uint32(buf)
		if i < newest {
			backwards++
		}
		newest = max(newest, i)
	}
}
