package udp_test

import (
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/encase-tls/encase/wrap/udp"
)

// The mark is on the socket before it sends, or there is no socket: an unmarked packet would go where it must not.
func TestMark(t *testing.T) {
	const mark = 0x7464
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	allowed := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, mark) == nil
	s, err := udp.Dial("udp", "127.0.0.1:9", udp.Options{Mark: mark})
	if !allowed {
		if !errors.Is(err, unix.EPERM) {
			t.Fatalf("without the privilege: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	raw, err := s.Conn().(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		if got, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK); got != mark || err != nil {
			t.Errorf("the mark is %#x, %v", got, err)
		}
	})
}
