package udp_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/encase-tls/encase/wrap/udp"
)

// A pipe is a conn that is no socket and refuses what is longer than its path takes.
type pipe struct {
	net.PacketConn
	mtu int
}

func (p pipe) WriteTo(b []byte, to net.Addr) (int, error) {
	if len(b) <= p.mtu {
		return p.PacketConn.WriteTo(b, to)
	}
	addr := to.(*net.UDPAddr).AddrPort()
	return 0, fmt.Errorf("pipe: %w", &udp.TooBigError{Addr: addr, Size: len(b), MTU: p.mtu, Err: syscall.EMSGSIZE})
}

// TestForeignMTU has a conn that is no socket tell how narrow its path is.
func TestForeignMTU(t *testing.T) {
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := udp.From(pipe{pc, 700})
	defer s.Close()
	to := netip.MustParseAddrPort(pc.LocalAddr().String())
	ps := []udp.Packet{{Data: make([]byte, 701), Addr: to}, {Data: make([]byte, 700), Addr: to}}
	if n, err := s.WriteBatch(ps); n != 2 {
		t.Fatal(n, err)
	}
	big, ok := errors.AsType[*udp.TooBigError](ps[0].Err)
	if !ok || big.MTU != 700 || big.Size != 701 || ps[1].Err != nil {
		t.Errorf("%v, %v", ps[0].Err, ps[1].Err)
	}
}
