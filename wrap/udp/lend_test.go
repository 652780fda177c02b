package udp_test

import (
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/encase-tls/encase/wrap/udp"
)

// A lender lends one Packet room, and fails the test if it is not asked in turn.
type lender struct {
	t        *testing.T
	lent     bool
	loans    int
	returned chan struct{} // each time
}

func newLender(t *testing.T) *lender { return &lender{t: t, returned: make(chan struct{}, 10)} }

func (l *lender) Lend(ps []udp.Packet) {
	if l.lent || len(ps) != 1 || ps[0].Data != nil {
		l.t.Errorf("a loan for %d packets, there is one already: %v", len(ps), l.lent)
	}
	l.lent, ps[0].Data = true, make([]byte, 0, udp.MaxRead)
	l.loans++
}

func (l *lender) Return(ps []udp.Packet) {
	if !l.lent || ps[0].Data == nil {
		l.t.Error("back comes what was not lent")
	}
	l.lent, ps[0].Data = false, nil
	l.returned <- struct{}{}
}

// TestLent: while a ReadBatchLent waits it has borrowed nothing, on Linux, and it ends with packets or without a debt.
func TestLent(t *testing.T) {
	for name, s := range sockets(t) {
		t.Run(name, func(t *testing.T) {
			l, ps := newLender(t), make([]udp.Packet, 1)
			thrifty := runtime.GOOS == "linux" && (name == "Open" || name == "From a *net.UDPConn")
			go func() {
				if thrifty {
					<-l.returned
				}
				s.WriteBatch([]udp.Packet{{Addr: addrOf(s), Data: []byte("hello")}})
			}()
			n, err := s.ReadBatchLent(ps, l)
			if n != 1 || err != nil || string(ps[0].Data) != "hello" {
				t.Fatalf("%d, %v, %q", n, err, ps[0].Data)
			}
			if want := 1 + btoi(thrifty); !l.lent || l.loans != want {
				t.Errorf("%d loans, want %d, the last of which is not returned: %v", l.loans, want, l.lent)
			}
			l.Return(ps)
			s.SetReadDeadline(time.Now().Add(-time.Second))
			if _, err := s.ReadBatchLent(ps, l); !errors.Is(err, os.ErrDeadlineExceeded) || l.lent {
				t.Errorf("%v, and there is a debt: %v", err, l.lent)
			}
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
