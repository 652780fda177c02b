package demo

import (
	"io"
	"net"
	"strings"
	"testing"
)

// flipping is a conn whose Read changes one byte of what arrives, as TLS would never let it happen.
type flipping struct {
	net.Conn
	at int // bytes before the one
}

func (f *flipping) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if f.at >= 0 && f.at < n {
		p[f.at] ^= 1
	}
	f.at -= n
	return n, err
}

// The comparison notices one wrong bit, and an end that comes too early.
func TestVerified(t *testing.T) {
	const n = 3*chunk + 100
	a, b := net.Pipe()
	if sum, _, err := (&link{a, b}).verified(n, io.Discard); err != nil || len(sum) != 32 {
		t.Errorf("a good link: %x, %v", sum, err)
	}
	a, b = net.Pipe()
	_, _, err := (&link{&flipping{a, 2 * chunk}, b}).verified(n, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "not what was sent") {
		t.Errorf("a wrong bit: %v", err)
	}
	a, b = net.Pipe()
	_, _, err = (&link{a, &short{b, chunk}}).verified(n, io.Discard)
	if err == nil {
		t.Error("what was cut off was not missed")
	}
}

// short is a conn that breaks after so many bytes.
type short struct {
	net.Conn
	left int
}

func (s *short) Write(p []byte) (int, error) {
	if s.left < len(p) {
		s.Conn.Close()
		return 0, io.ErrClosedPipe
	}
	s.left -= len(p)
	return s.Conn.Write(p)
}
