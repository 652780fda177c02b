package openvpn_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs/openvpn"
	"github.com/encase-tls/encase/frame"
)

// A network joins a client and a server in memory. It has a clock of its own.
type network struct {
	ends     [2]*node // by role
	now      time.Time
	rng      *rand.Rand
	bad      bool // lose three packets of ten, repeat one, reorder many
	corrupt  bool // and change bits in one of ten
	underway []datagram
	refused  int
}

type node struct {
	frame.Machine
	role frame.Role
	got  []byte
	side [][]byte
	done error
}

type datagram struct {
	to *node
	p  []byte
}

func newNetwork(t *testing.T, mk frame.Maker) *network {
	t.Helper()
	n := &network{now: time.Unix(1e9, 0), rng: rand.New(rand.NewPCG(7, 7))}
	for role := range n.ends {
		m, err := mk(frame.Role(role))
		if err != nil {
			t.Fatal(err)
		}
		n.ends[role] = &node{Machine: m, role: frame.Role(role)}
	}
	return n
}

func (n *network) start(t *testing.T) {
	t.Helper()
	for _, e := range n.ends {
		if err := n.do(e, e.Start); err != nil {
			t.Fatal(err)
		}
	}
}

// do calls a method of a Machine, after its Tick, and does what it wants.
func (n *network) do(e *node, f func([]frame.Event) ([]frame.Event, error)) error {
	ev, err := e.Machine.(frame.Timed).Tick(nil, n.now)
	if err == nil && f != nil {
		ev, err = f(ev)
	}
	for _, v := range ev {
		switch v.Kind {
		case frame.Out:
			n.carry(n.ends[e.role.Peer()], v.Buf.Bytes())
		case frame.In:
			e.got = append(e.got, v.Buf.Bytes()...)
		case frame.Side:
			e.side = append(e.side, bytes.Clone(v.Buf.Bytes()))
		case frame.Done:
			e.done = v.Err
		}
		if v.Buf != nil {
			v.Buf.Release()
		}
	}
	return err
}

// carry puts a packet on its way, or does not.
func (n *network) carry(to *node, p []byte) {
	p = bytes.Clone(p)
	if n.bad {
		switch roll := n.rng.IntN(10); {
		case roll < 3:
			return
		case roll == 3:
			n.underway = append(n.underway, datagram{to, bytes.Clone(p)})
		case roll == 4 && n.corrupt:
			p[n.rng.IntN(len(p))] ^= 1 << n.rng.IntN(8)
		}
	}
	n.underway = append(n.underway, datagram{to, p})
}

// deliver gives a packet to its receiver: the oldest, or in a bad network any.
func (n *network) deliver() error {
	i := 0
	if n.bad {
		i = n.rng.IntN(len(n.underway))
	}
	d := n.underway[i]
	n.underway = append(n.underway[:i], n.underway[i+1:]...)
	b := frame.NewBuf(0, d.p, 0)
	err := n.do(d.to, func(ev []frame.Event) ([]frame.Event, error) { return d.to.Recv(ev, b) })
	if errors.Is(err, frame.ErrMalformed) {
		n.refused++
		return nil
	}
	return err
}

func (n *network) send(e *node, p []byte, flush bool) error {
	b := frame.NewBuf(0, p, 0)
	return n.do(e, func(ev []frame.Event) ([]frame.Event, error) { return e.Send(ev, b, flush) })
}

// step delivers a packet, or moves the clock to the next deadline. It returns false if there is neither.
func (n *network) step() (bool, error) {
	if len(n.underway) > 0 {
		return true, n.deliver()
	}
	var next *node
	var at time.Time
	for _, e := range n.ends {
		if t, ok := e.Machine.(frame.Timed).Deadline(); ok && (next == nil || t.Before(at)) {
			next, at = e, t
		}
	}
	if next == nil {
		return false, nil
	}
	if at.After(n.now) {
		n.now = at
	}
	return true, n.do(next, nil)
}

// settle delivers what is under way. The clock stands still.
func (n *network) settle(t *testing.T) {
	t.Helper()
	for len(n.underway) > 0 {
		if err := n.deliver(); err != nil {
			t.Fatal(err)
		}
	}
}

// Through a network that loses three packets of ten, repeats and reorders them, and changes bits where a key protects
// them, all arrives as it was sent, both ways at once, and nothing is held back in the end.
func TestBadNetwork(t *testing.T) {
	for _, arg := range []string{"udp", "udp,tls-auth=KEY,auth=sha256", "udp,tls-crypt=KEY,mtu=384", "v2"} {
		for seed := range uint64(4) {
			t.Run(fmt.Sprintf("%s/%d", arg, seed), func(t *testing.T) {
				mk := v2Maker(t, "udp,timeout=24h")
				if arg != "v2" {
					mk = parse(t, arg+",timeout=24h")
				}
				n := newNetwork(t, mk)
				n.rng, n.bad, n.corrupt = rand.New(rand.NewPCG(seed, 1)), true, arg != "udp"
				converse(t, n)
				if n.corrupt && n.refused == 0 {
					t.Error("no packet was refused, though some were changed")
				}
			})
		}
	}
}

// converse sends from both ends and fails unless all of it arrives.
func converse(t *testing.T, n *network) {
	t.Helper()
	var want, rest [2][]byte
	for i := range want {
		want[i] = make([]byte, 60000)
		for j := range want[i] {
			want[i][j] = byte(n.rng.Uint32())
		}
		rest[i] = want[i]
	}
	n.start(t)
	for steps := 0; ; steps++ {
		for i, e := range n.ends {
			size := min(len(rest[i]), 1+n.rng.IntN(3000))
			if size == 0 || e.Machine.(frame.Backlogger).Backlog() > 20000 {
				continue
			}
			if err := n.send(e, rest[i][:size], size == len(rest[i]) || n.rng.IntN(3) == 0); err != nil {
				t.Fatal(err)
			}
			rest[i] = rest[i][size:]
		}
		more, err := n.step()
		if err != nil || steps > 50000 {
			t.Fatalf("after %d steps: %v", steps, err)
		}
		if !more {
			break
		}
	}
	for i, e := range n.ends {
		if !bytes.Equal(e.got, want[1-i]) {
			t.Errorf("the %v gets %d bytes, not the %d that were sent", e.role, len(e.got), len(want[1-i]))
		}
		if held := e.Machine.(frame.Backlogger).Backlog(); held != 0 {
			t.Errorf("the %v holds %d bytes back", e.role, held)
		}
	}
}

// The counters tell what a network has done.
func TestCounters(t *testing.T) {
	var counters openvpn.Counters
	key, err := openvpn.ReadStaticKey(keyFile(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []openvpn.Options{{}, {Crypt: key}} {
		o.Counters, o.Timeout = &counters, 24*time.Hour
		mk, err := openvpn.New(o)
		if err != nil {
			t.Fatal(err)
		}
		n := newNetwork(t, mk)
		n.bad = true
		converse(t, n)
	}
	if counters.Repeated.Load() == 0 || counters.Early.Load() > 0 || counters.Duplicate.Load() == 0 || counters.Replayed.Load() == 0 {
		t.Errorf("repeated %d, duplicate %d, replayed %d", counters.Repeated.Load(), counters.Duplicate.Load(),
			counters.Replayed.Load())
	}
}

// A packet that comes twice before its turn is kept once; one that is far too early is not kept.
func TestCountersOfEarlyPackets(t *testing.T) {
	var counters openvpn.Counters
	mk, err := openvpn.New(openvpn.Options{SessionID: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, Counters: &counters})
	if err != nil {
		t.Fatal(err)
	}
	n := newNetwork(t, mk)
	n.start(t)
	n.settle(t)
	for _, id := range []byte{2, 2, 13} {
		n.carry(n.ends[frame.Client], []byte{4 << 3, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, id, 22})
		n.settle(t)
	}
	if counters.Duplicate.Load() != 1 || counters.Early.Load() != 1 {
		t.Errorf("duplicate %d, early %d; want 1 of each", counters.Duplicate.Load(), counters.Early.Load())
	}
}
