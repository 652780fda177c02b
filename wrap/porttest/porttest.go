// Package porttest finds ports on loopback for programs under test that cannot choose one themselves.
package porttest

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Systems give whoever asks for any port one from 32768 on, or higher. What lies below is given to nobody who does not
// ask for it, so that no other test takes a port between the time it is found and the time a program listens on it.
const (
	lowest = 10_000
	count  = 20_000
)

// Free returns an address of IPv4 on loopback on whose port nobody listens, neither over TCP nor over UDP. The same is
// true of the port behind it, which some programs take as well.
func Free(t testing.TB) string {
	t.Helper()
	for range 1000 {
		port := lowest + rand.IntN(count)
		if isFree(port) && isFree(port+1) {
			return address(port)
		}
	}
	t.Fatal("no port is free")
	return ""
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func isFree(port int) bool {
	stream, err := net.Listen("tcp4", address(port))
	if err != nil {
		return false
	}
	packets, err := net.ListenPacket("udp4", address(port))
	if err != nil {
		stream.Close()
		return false
	}
	return errors.Join(stream.Close(), packets.Close()) == nil
}
