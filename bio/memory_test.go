package bio_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/encase-tls/encase/bio"
)

// TestPairIsAConn holds a Pair to what net.Conn promises, with room for a message of the test and with little.
func TestPairIsAConn(t *testing.T) {
	for _, limit := range []int{bio.DefaultMemory, 100} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				a, b := bio.Pair(limit)
				return a, b, func() { a.Close(); b.Close() }, nil
			})
		})
	}
}

func TestMemory(t *testing.T) {
	m := bio.NewMemory(10)
	p := make([]byte, 8)
	wantIO(t, "Read of nothing", 0, bio.ErrWantRead)(m.Read(p))
	wantIO(t, "Write", 6, nil)(m.Write([]byte("abcdef")))
	wantIO(t, "Write of more than there is room for", 4, bio.ErrWantWrite)(m.Write([]byte("ghijkl")))
	wantIO(t, "Write of nothing", 0, nil)(m.Write(nil))
	if m.Pending() != 10 || m.Room() != 0 {
		t.Errorf("Pending %d, Room %d, want 10, 0", m.Pending(), m.Room())
	}
	wantIO(t, "Read", 8, nil)(m.Read(p))
	if !bytes.Equal(p, []byte("abcdefgh")) {
		t.Errorf("Read returned %q", p)
	}
	wantIO(t, "Write behind", 1, nil)(m.Write([]byte("k")))
	m.CloseWrite()
	wantIO(t, "Write after CloseWrite", 0, io.ErrClosedPipe)(m.Write([]byte("x")))
	wantIO(t, "Read of the rest", 3, nil)(m.Read(p))
	wantIO(t, "Read at the end", 0, io.EOF)(m.Read(p))
	m.CloseRead()
	wantIO(t, "Read after CloseRead", 0, io.ErrClosedPipe)(m.Read(p))
}

func wantIO(t *testing.T, what string, wantN int, wantErr error) func(n int, err error) {
	t.Helper()
	return func(n int, err error) {
		t.Helper()
		if n != wantN || err != wantErr {
			t.Errorf("%s: %d, %v, want %d, %v", what, n, err, wantN, wantErr)
		}
	}
}

func TestPairNonblock(t *testing.T) {
	a, b := bio.Pair(4)
	a.SetNonblock(true)
	wantIO(t, "Write", 4, bio.ErrWantWrite)(a.Write([]byte("abcde")))
	if a.WriteGuarantee() != 0 || b.Pending() != 4 {
		t.Errorf("WriteGuarantee %d, Pending %d, want 0, 4", a.WriteGuarantee(), b.Pending())
	}
	wantIO(t, "Read of nothing", 0, bio.ErrWantRead)(a.Read(make([]byte, 1)))
	a.CloseWrite()
	p := make([]byte, 8)
	wantIO(t, "Read at the other end", 4, nil)(b.Read(p))
	wantIO(t, "Read of the end", 0, io.EOF)(b.Read(p))
	wantIO(t, "Write the other way", 1, nil)(b.Write([]byte("x")))
	wantIO(t, "Read of that", 1, nil)(a.Read(p))
	b.Close()
	wantIO(t, "Write to a closed end", 0, io.ErrClosedPipe)(a.Write([]byte("x")))
}

// TestDeadlineOnTheWall: a time without a monotonic part, as one that was parsed or read from a file.
func TestDeadlineOnTheWall(t *testing.T) {
	a, _ := bio.Pair(0)
	for range 20 {
		a.SetReadDeadline(time.Now().Round(0).Add(2 * time.Millisecond))
		start := time.Now()
		_, err := a.Read(make([]byte, 1))
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) > 10*time.Second {
			t.Fatalf("Read returned %v after %v", err, time.Since(start))
		}
	}
}
