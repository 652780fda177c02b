package dtlstest

import (
	"net"
	"sync"
	"testing"

	"github.com/encase-tls/encase/frame"
)

// Link returns a link for Exchange that carries each datagram in a frame of mk, over a network that loses some. It
// keeps their order and doubles none: s_client and s_server do not look at their input while a record that came too
// early, or once too often, is in their memory.
func Link(t testing.TB, mk frame.Maker) func(server *net.UDPAddr) (client *net.UDPAddr) {
	return func(server *net.UDPAddr) *net.UDPAddr {
		near, far := &side{t: t, dtls: Listen(t)}, &side{t: t, dtls: Listen(t), program: server}
		near.peer, far.peer = far, near
		for role, s := range []*side{near, far} {
			m, err := mk(frame.Role(role))
			if err != nil {
				t.Fatal(err)
			}
			s.machine = m
		}
		go near.run()
		go far.run()
		return near.dtls.LocalAddr().(*net.UDPAddr)
	}
}

// A side is one end of a Link.
type side struct {
	t       testing.TB
	dtls    *net.UDPConn // to OpenSSL
	peer    *side
	mu      sync.Mutex
	program *net.UDPAddr // where OpenSSL is
	machine frame.Machine
	sent    int
}

// run takes datagrams from OpenSSL.
func (s *side) run() {
	l := s.machine.Limits()
	full := make([]byte, l.MaxFrame())
	for {
		n, from, err := s.dtls.ReadFromUDP(full[l.Head : l.Head+l.Max])
		if err != nil {
			return // closed with the test
		}
		if f := s.frame(frame.NewBuf(l.Head, full[l.Head:l.Head+n], l.Tail), from); f != nil {
			s.peer.deliver(f)
		}
	}
}

// frame returns a datagram in its frame, or nil for one that is lost: the second, and every ninth from there on.
func (s *side) frame(b *frame.Buf, from *net.UDPAddr) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.program = from
	ev, err := s.machine.Send(nil, b, true)
	if err != nil || len(ev) != 1 || ev[0].Kind != frame.Out {
		s.t.Errorf("Send: %v, %v", ev, err)
		return nil
	}
	if s.sent++; s.sent%9 == 2 {
		return nil
	}
	return ev[0].Buf.Bytes()
}

// deliver takes a frame from the network.
func (s *side) deliver(f []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ev, err := s.machine.Recv(nil, frame.NewBuf(0, f, 0))
	if err != nil {
		s.t.Errorf("Recv: %v", err)
	}
	for _, e := range ev {
		if e.Kind != frame.In {
			s.t.Errorf("Recv: %v", e.Kind)
			continue
		}
		s.dtls.WriteToUDP(e.Buf.Bytes(), s.program)
	}
}
