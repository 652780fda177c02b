package udp_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/encase-tls/encase/wrap/udp"
)

var errKernel = errors.New("no")

func TestErrorTexts(t *testing.T) {
	to := netip.MustParseAddrPort("[2001:db8::1]:4433")
	for _, c := range []struct {
		err  error
		want string
	}{
		{&udp.TooBigError{Addr: to, Size: 1400, MTU: 1280, Err: errKernel}, "udp: 1400 bytes to " +
			"[2001:db8::1]:4433 are too many for one datagram: the path MTU is 1280, which leaves 1232"},
		{&udp.TooBigError{Addr: to, Size: 1400, Err: errKernel}, "udp: 1400 bytes to " +
			"[2001:db8::1]:4433 are too many for one datagram: the path MTU is not known"},
		{&udp.SendError{Addr: to, Err: errKernel}, "udp: sending to [2001:db8::1]:4433: no"},
		{&udp.OffloadError{Offload: "GSO", Err: errKernel},
			"udp: GSO is off, which costs speed but no data: no"},
	} {
		if c.err.Error() != c.want || !errors.Is(c.err, errKernel) {
			t.Errorf("%v\n\tis not %s", c.err, c.want)
		}
	}
	want := "udp: ReadBuffer: asked for 8388608 bytes, the kernel grants 212992: raise net.core.rmem_max, " +
		"or run with CAP_NET_ADMIN"
	err := udp.BufferError{Option: "ReadBuffer", Limit: "net.core.rmem_max", Asked: 8 << 20, Granted: 212992}
	if err.Error() != want {
		t.Error(err.Error())
	}
}

func TestMaxPayload(t *testing.T) {
	for _, c := range []struct {
		addr      string
		mtu, want int
	}{
		{"192.0.2.1", 1500, 1472}, {"::ffff:192.0.2.1", 1500, 1472}, {"2001:db8::1", 1280, 1232},
		{"192.0.2.1", 65535, udp.MaxDatagram}, {"2001:db8::1", 1 << 20, udp.MaxDatagram}, {"192.0.2.1", 20, 0},
	} {
		if got := udp.MaxPayload(netip.MustParseAddr(c.addr), c.mtu); got != c.want {
			t.Errorf("%s, MTU %d: %d bytes fit, not %d", c.addr, c.mtu, got, c.want)
		}
	}
}
