package porttest

import (
	"net"
	"testing"
)

// A port that is found can be listened on, and is not found again while somebody does.
func TestFree(t *testing.T) {
	stream, err := net.Listen("tcp", Free(t))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	packets, err := net.ListenPacket("udp", Free(t))
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	for _, port := range []int{stream.Addr().(*net.TCPAddr).Port, packets.LocalAddr().(*net.UDPAddr).Port} {
		if port < lowest || port >= lowest+count || isFree(port) {
			t.Errorf("port %d is called free", port)
		}
	}
}
