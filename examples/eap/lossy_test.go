package main

import (
	"bytes"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"
)

// relay returns an address from which packets go to the server and back. It loses some and repeats some.
func relay(t *testing.T, server string) string {
	t.Helper()
	front, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	back, err := net.Dial("udp", server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		front.Close()
		back.Close()
	})
	clients := make(chan net.Addr, 1)
	go func() {
		rnd, p := rand.New(rand.NewPCG(1, 1)), make([]byte, maxPacket)
		for {
			n, from, err := front.ReadFrom(p)
			if err != nil {
				return
			}
			select {
			case clients <- from:
			default:
			}
			times(rnd, func() { back.Write(p[:n]) })
		}
	}()
	go func() {
		rnd, p := rand.New(rand.NewPCG(2, 2)), make([]byte, maxPacket)
		client := <-clients
		for {
			n, err := back.Read(p)
			if err != nil {
				return
			}
			times(rnd, func() { front.WriteTo(p[:n], client) })
		}
	}()
	return front.LocalAddr().String()
}

// times calls f never, once or twice.
func times(rnd *rand.Rand, f func()) {
	for range []int{0, 1, 1, 1, 2}[rnd.IntN(5)] {
		f()
	}
}

// What is lost is asked for again, to the last packet.
func TestLossyNetwork(t *testing.T) {
	s := newSite(t)
	for _, version := range []string{"1.2", "1.3"} {
		address, said := serve(t, s.settings(t, "server", "-tls", version, "-mtu", "300"))
		var out bytes.Buffer
		peer := s.settings(t, "client", "-mtu", "300", "-connect", relay(t, address))
		peer.resend = 30 * time.Millisecond
		if err := peer.ask(t.Context(), &out); err != nil || !strings.Contains(out.String(), "let in, TLS "+version) {
			t.Errorf("TLS %s: %v: %s", version, err, &out)
		}
		said.await(t, "let in")
	}
}
