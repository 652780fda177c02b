package carrier

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/encase-tls/encase/tun/tuntest"
)

// DTLS shakes hands and talks over frames, of both versions of IP.
func TestDTLS(t *testing.T) {
	for _, peer := range []netip.Addr{b4, b6} {
		t.Run(peer.String(), func(t *testing.T) {
			r := newRig(t)
			a, b := r.both()
			s := r.session(a, b, peer)
			for _, size := range []int{1, 100, 1363} {
				s.say(t, s.client, s.server, string(bytes.Repeat([]byte{'x'}, size)))
				s.say(t, s.server, s.client, string(bytes.Repeat([]byte{'y'}, size)))
			}
			if got := s.server.RemoteAddr().(*net.UDPAddr); got.Port != 0 || !a.owns(got.IP) {
				t.Errorf("the client comes from %v", got)
			}
		})
	}
}

func (d *Device) owns(ip net.IP) bool {
	for _, a := range d.own {
		if ip.Equal(a.AsSlice()) {
			return true
		}
	}
	return false
}

// Machines that translate addresses (NAT) carry frames, where the network knows no way to those behind the devices; and
// what a router has to say about the path gets through to them.
func TestTranslated(t *testing.T) {
	tuntest.Need(t, "nft")
	r := newRig(t)
	r.router.IP("route", "del", "198.18.1.0/24")
	r.router.IP("route", "del", "198.18.2.0/24")
	r.a.Run("nft", "add table ip nat; add chain ip nat out { type nat hook postrouting priority srcnat; };"+
		"add rule ip nat out ip protocol 253 masquerade")
	r.b.Run("nft", "add table ip nat; add chain ip nat in { type nat hook prerouting priority dstnat; };"+
		"add rule ip nat in ip protocol 253 dnat to 198.18.2.2")
	r.router.IP("link", "set", "in2", "mtu", "1300")
	a, b := r.both()
	client, server := r.dial(a, netip.MustParseAddr("10.2.0.2")), r.listen(b, b4)
	r.exchange(client, server)
	if _, err := client.Write(make([]byte, 1400)); err != nil {
		t.Fatal(err)
	}
	r.until("the router says that the path is narrow", func() bool { return a.Stats().Narrowed == 1 })
	r.exchange(client, server)
}

// A network that loses a fifth of the frames, in the router, is borne: handshakes succeed, and what is asked for until
// it has come, comes.
func TestLossy(t *testing.T) {
	tuntest.Need(t, "nft")
	r := newRig(t)
	r.router.Run("nft", "add table inet bad; add chain inet bad f { type filter hook forward priority 0; };"+
		"add rule inet bad f meta l4proto 253 numgen random mod 5 == 0 counter drop")
	a, b := r.both()
	s := r.session(a, b, b4)
	const blocks, size = 300, 1000
	go serveBlocks(s.server, size)
	sum, want := sha256.New(), sha256.New()
	answer := make([]byte, 4+size)
	for i := range uint32(blocks) {
		question := binary.BigEndian.AppendUint32(nil, i)
		for end := time.Now().Add(tuntest.Patience); ; {
			s.client.Write(question)
			s.client.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			if n, err := s.client.Read(answer); err == nil && n == len(answer) && bytes.Equal(answer[:4], question) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("no answer to question %d", i)
			}
		}
		sum.Write(answer[4:])
		want.Write(block(i, size))
	}
	if !bytes.Equal(sum.Sum(nil), want.Sum(nil)) {
		t.Error("what arrives is not what was sent")
	}
}

// serveBlocks answers each question with its number and a block.
func serveBlocks(c net.Conn, size int) {
	question := make([]byte, 100)
	for {
		n, err := c.Read(question)
		if err != nil {
			return
		}
		if n == 4 {
			c.Write(append(question[:4:4], block(binary.BigEndian.Uint32(question), size)...))
		}
	}
}

func block(i uint32, size int) []byte { return bytes.Repeat([]byte(fmt.Sprintf("%08x", i)), size/8) }

// In steady state a frame costs no memory, on either side.
func TestNothingIsAllocated(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r := newRig(t)
	a, b := r.both()
	client, server := r.dial(a, b4), r.listen(b, b4)
	frame, buf := make([]byte, 1000), make([]byte, 1500)
	client.SetReadDeadline(time.Now().Add(tuntest.Patience))
	back := net.Addr(&net.UDPAddr{IP: net.IP(a4.AsSlice())})
	round := func() {
		if _, err := client.Write(frame); err != nil {
			t.Fatal(err)
		}
		if _, _, err := server.ReadFrom(buf); err != nil {
			t.Fatal(err)
		}
		if _, err := server.WriteTo(frame, back); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		round()
	}
	if n := testing.AllocsPerRun(500, round); n > 0 {
		t.Errorf("%v allocations for two frames", n)
	}
}
