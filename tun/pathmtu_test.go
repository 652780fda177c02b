package tun

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/encase-tls/encase/tun/wire"
)

// A strait is a path in fake time: what is longer than it carries is lost, or refused by the kernel that knows.
type strait struct {
	t       *testing.T
	m       *pathMTU
	now     time.Time
	rtt     time.Duration
	carries int           // messages of this length
	kernel  int           // what the kernel lets pass, as it believes; 0: all
	loss    float64       // of probes and answers
	slow    time.Duration // how much later answers come
	sent    uint64        // bytes of packets
	rate    uint64        // of them in a second
	use     int
	random  *rand.Rand
	onWay   []arrival
	probes  int // that have left
	longest int // of them
}

type arrival struct {
	at time.Time
	p  wire.Probed
}

func (s *strait) MTU() int {
	if s.kernel > 0 && s.kernel < s.use {
		s.use = s.kernel
	}
	return s.use
}

func (s *strait) Use(size int) { s.use = size }

const topOfTest, baseOfTest, safeOfTest = 1400, 1163, 511

// newStrait returns a path with a pathMTU on it.
func newStrait(t *testing.T, carries int, change func(*strait)) *strait {
	s := &strait{t: t, now: time.Unix(1000, 0), rtt: 20 * time.Millisecond, carries: carries, rate: 100_000,
		random: rand.New(rand.NewPCG(1, 2))}
	if change != nil {
		change(s)
	}
	s.m = newPathMTU(s, topOfTest, baseOfTest, safeOfTest, 0, "")
	return s
}

// pass lets time pass, as the ticks of a session have it.
func (s *strait) pass(d time.Duration) {
	const step = 10 * time.Millisecond
	for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(step) {
		s.sent += s.rate / uint64(time.Second/step)
		due := s.now.UnixMilli()%lookInterval.Milliseconds() == 0
		for len(s.onWay) > 0 && !s.onWay[0].at.After(s.now) {
			s.m.answered(s.now, s.onWay[0].p, s.sent)
			s.onWay, due = s.onWay[1:], true
		}
		if due {
			s.look()
		}
	}
}

func (s *strait) look() {
	for range 100 {
		probes, _ := s.m.look(s.now, s.rtt, s.sent)
		if len(probes) == 0 {
			return
		}
		for _, p := range probes {
			s.send(p)
		}
	}
	s.t.Fatal("a look sends a hundred probes and more")
}

func (s *strait) send(p wire.Probe) {
	switch {
	case s.kernel > 0 && p.Length > s.kernel:
		s.m.refused(p.Length)
		return
	case p.Length > topOfTest:
		s.t.Fatalf("a probe of %d bytes, %d are configured", p.Length, topOfTest)
	}
	s.probes++
	s.longest = max(s.longest, p.Length)
	if p.Length <= s.carries && s.random.Float64() >= s.loss {
		s.onWay = append(s.onWay, arrival{s.now.Add(s.rtt + s.slow), wire.Probed{ID: p.ID, Length: p.Length}})
	}
}

// finds checks what is sent.
func (s *strait) finds(what string, least, most int, source mtuSource) {
	s.t.Helper()
	if m := s.m; m.size < least || m.size > most || m.size != s.use || m.source != source {
		s.t.Errorf("%s: %d bytes (%s), in use are %d; want %d to %d (%s)", what, m.size, m.source, s.use, least, most, source)
	}
}

// A path that carries all that is configured costs one probe, and one now and then while packets are sent.
func TestPathMTUOfWidePath(t *testing.T) {
	s := newStrait(t, 1500, nil)
	s.pass(time.Second)
	s.finds("at once", topOfTest, topOfTest, fromConfig)
	if s.probes != 1 || s.m.phase != settled {
		t.Errorf("%d probes, phase %d", s.probes, s.m.phase)
	}
	s.pass(time.Minute)
	if s.probes < 40 || s.probes > 70 {
		t.Errorf("%d probes in a minute of bulk", s.probes)
	}
	before := s.probes
	s.rate = 200 // somebody types
	s.pass(time.Minute)
	if n := s.probes - before; n < 5 || n > 10 {
		t.Errorf("%d probes in a minute of 200 bytes a second", n)
	}
	before = s.probes
	s.rate = 0
	s.pass(time.Hour)
	if n := s.probes - before; n > 1 {
		t.Errorf("%d probes in an hour in which nothing is sent", n)
	}
	s.finds("after all that", topOfTest, topOfTest, fromConfig)
}

// Whatever a path carries is found in seconds, with few probes, and what is sent then arrives.
func TestPathMTUOfHoles(t *testing.T) {
	for _, carries := range []int{1399, 1392, 1215, 1164, 1163, 1162, 935, 535, 512, 511} {
		s := newStrait(t, carries, nil)
		s.pass(1800 * time.Millisecond)
		if s.m.size > carries {
			t.Errorf("%d: after 1.8 s still %d are sent", carries, s.m.size)
		}
		s.pass(18 * time.Second)
		s.finds("hole", carries-grain, carries, fromProbes)
		if s.probes > 45 || s.m.counts.holes == 0 {
			t.Errorf("%d: %d probes, %d holes", carries, s.probes, s.m.counts.holes)
		}
	}
}

// A path that becomes narrower without a word is noticed while packets are sent, and one that becomes wider later.
func TestPathMTUChanges(t *testing.T) {
	s := newStrait(t, 1400, nil)
	s.pass(30 * time.Second)
	s.carries = 1000
	s.pass(4 * time.Second)
	if s.m.size > 1000 {
		t.Errorf("after 4 s still %d are sent", s.m.size)
	}
	s.pass(20 * time.Second)
	s.finds("narrow", 1000-grain, 1000, fromProbes)
	s.carries = 1300
	s.pass(9 * time.Minute)
	s.finds("before the timer", 1000-grain, 1000, fromProbes)
	s.pass(2 * time.Minute)
	s.finds("wider", 1300-grain, 1300, fromProbes)
	s.carries = 1500
	s.m.again()
	s.pass(time.Second)
	s.finds("asked for", topOfTest, topOfTest, fromConfig)
}

// What the kernel says counts at once, is verified, and costs nothing but probes that arrive; it is tried again soon
// whether it has forgotten.
func TestPathMTUAndKernel(t *testing.T) {
	s := newStrait(t, 1215, func(s *strait) { s.kernel = 1215 })
	s.pass(2 * time.Second)
	s.finds("from the start", 1215, 1215, fromKernel)
	if s.longest > 1215 {
		t.Errorf("a probe of %d bytes has left", s.longest)
	}
	s.carries, s.kernel = 1400, 0
	s.pass(2 * time.Minute)
	s.finds("forgotten", topOfTest, topOfTest, fromConfig)
	s.carries, s.kernel = 935, 935
	s.pass(2 * time.Second)
	s.finds("less", 935, 935, fromKernel)
	s.carries = 600 // and somewhere there is a hole, too
	s.pass(20 * time.Second)
	s.finds("and a hole", 600-grain, 600, fromProbes)
}

// A kernel that only says that it is too much is asked to the byte.
func TestPathMTUAndSilentKernel(t *testing.T) {
	s := newStrait(t, 935, func(s *strait) { s.kernel = 935 })
	s.kernel = 511 // what a datagram.Conn believes then
	s.look()
	s.kernel = 935
	s.pass(2 * time.Second)
	s.finds("searched", 935, 935, fromProbes)
}

// Losses, and answers that come late, may cost time, but no length.
func TestPathMTUOfBadPaths(t *testing.T) {
	for _, loss := range []float64{0.02, 0.1, 0.3} {
		for seed := range uint64(20) {
			s := newStrait(t, 1215, func(s *strait) { s.loss, s.random = loss, rand.New(rand.NewPCG(seed, 7)) })
			s.pass(time.Minute)
			if s.m.size > 1215 {
				t.Errorf("loss %v, %d: %d are sent", loss, seed, s.m.size)
			}
			if loss < 0.05 && s.m.size < 1215-grain {
				t.Errorf("loss %v, %d: only %d are sent", loss, seed, s.m.size)
			}
		}
	}
	s := newStrait(t, 1400, func(s *strait) { s.slow = 4 * time.Second })
	s.pass(2 * time.Second)
	s.pass(10 * time.Second)
	s.finds("late answers", topOfTest, topOfTest, fromConfig)
}

// A path on which nothing arrives is none that is narrow: nothing changes, and it is asked less and less.
func TestPathMTUOfDeadPath(t *testing.T) {
	s := newStrait(t, 1400, nil)
	s.pass(10 * time.Second)
	s.carries = 0
	before := s.probes
	s.pass(10 * time.Minute)
	s.finds("dead", topOfTest, topOfTest, fromConfig)
	if n := s.probes - before; n > 120 {
		t.Errorf("%d probes in ten minutes", n)
	}
	s.carries = 1000
	s.pass(2 * time.Minute)
	s.finds("alive and narrow", 1000-grain, 1000, fromProbes)
}

// What an earlier connection has found is where a new one begins, and it looks for more.
func TestPathMTUInherited(t *testing.T) {
	for _, carries := range []int{1000, 1400} {
		s := newStrait(t, carries, nil)
		s.m = newPathMTU(s, topOfTest, baseOfTest, safeOfTest, 995, fromProbes)
		s.finds("first", 995, 995, fromProbes)
		s.pass(20 * time.Second)
		want := fromProbes
		if carries == topOfTest {
			want = fromConfig
		}
		s.finds("then", carries-grain, carries, want)
		if s.m.counts.holes != 0 {
			t.Errorf("%d: %d holes", carries, s.m.counts.holes)
		}
	}
}

// Answers to what was never asked, to another length, or twice, change nothing.
func TestPathMTUIgnoresForeignAnswers(t *testing.T) {
	s := newStrait(t, 1000, nil)
	s.pass(20 * time.Second)
	for _, p := range []wire.Probed{{}, {ID: 1 << 31, Length: 1400}, {ID: s.m.id, Length: 1400}, {ID: s.m.id + 1, Length: 1400}} {
		s.m.answered(s.now, p, s.sent)
	}
	s.finds("after nonsense", 1000-grain, 1000, fromProbes)
}

// The other end hears how long packets are, without being asked.
func TestPathMTUTellsPeer(t *testing.T) {
	a, b := newStrait(t, 1000, nil), newStrait(t, 1400, nil)
	a.rate = 0
	for range 200 {
		probes, _ := a.m.look(a.now, a.rtt, a.sent)
		for _, p := range probes {
			b.m.heard(p)
			a.send(p)
		}
		a.now = a.now.Add(100 * time.Millisecond)
		for len(a.onWay) > 0 && !a.onWay[0].at.After(a.now) {
			a.m.answered(a.now, a.onWay[0].p, a.sent)
			a.onWay = a.onWay[1:]
		}
	}
	if a.m.phase != settled || b.m.peer != a.m.size {
		t.Errorf("the peer has heard of %d, it is %d", b.m.peer, a.m.size)
	}
}
