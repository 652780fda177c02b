package admission

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"
)

var start = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func newGate(t testing.TB, l Limits) *Gate {
	t.Helper()
	g, err := New(l, start)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// addr returns the n-th of many addresses.
func addr(n int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 0x0a000000+uint32(n))
	return netip.AddrFrom4(b)
}

// at returns a time after start.
func at(d time.Duration) time.Time { return start.Add(d) }

// spoofed changes a ClientHello into that of somebody else.
func spoofed(p []byte, n int) []byte {
	binary.BigEndian.PutUint64(p[27:], uint64(n)*0x9e3779b97f4a7c15)
	return p
}

func wantReason(t *testing.T, what string, got Decision, want Reason) {
	t.Helper()
	if got.Reason != want || got.Ticket.Valid() != (want == Admitted) {
		t.Fatalf("%s: %v, want %v", what, got.Reason, want)
	}
}

func TestLimitsAreChecked(t *testing.T) {
	for _, l := range []Limits{
		{HalfOpen: -1}, {HalfOpen: 1<<20 + 1}, {Remembered: 17}, {Addresses: 5},
		{CookieTime: -1}, {UnprovenTimeout: -1},
	} {
		if _, err := New(l, start); err == nil {
			t.Errorf("%+v is accepted", l)
		}
	}
	got := newGate(t, Limits{HelloRate: -1}).Limits()
	if got.HelloRate != 0 || got.HalfOpen != defaultHalfOpen || got.CookieTime != defaultCookieTime {
		t.Errorf("%+v", got)
	}
}

func TestWhatIsNoFirstHello(t *testing.T) {
	g := newGate(t, Limits{})
	cookie := helloBody(make([]byte, 32), nil, []byte("cookie"))
	wantReason(t, "garbage", g.Hello(addr(1), []byte("garbage"), start), NoHello)
	wantReason(t, "cookie", g.Hello(addr(1), record(1, 1, cookie, len(cookie)), start), LateCookie)
	second := helloBody(make([]byte, 32), nil, nil)
	wantReason(t, "second message", g.Hello(addr(1), record(1, 1, second, len(second)), start), LateCookie)
	wantReason(t, "hello", g.Hello(addr(1), hello(1), start.Add(-time.Second)), Admitted) // a clock may jump
	if c := g.Stats().Counts; c[NoHello] != 1 || c[LateCookie] != 2 || c[Admitted] != 1 {
		t.Errorf("%v", c)
	}
}

func TestHelloRateOfAnAddress(t *testing.T) {
	g := newGate(t, Limits{HelloRate: 4, HalfOpenPerAddr: -1})
	v6 := netip.MustParseAddr("2001:db8::1")
	for range 4 {
		wantReason(t, "within the rate", g.Hello(v6, hello(1), start), Admitted)
	}
	wantReason(t, "same /64", g.Hello(netip.MustParseAddr("2001:db8::ffff:1"), hello(1), start), HelloRate)
	wantReason(t, "another /64", g.Hello(netip.MustParseAddr("2001:db8:0:1::1"), hello(1), start), Admitted)
	wantReason(t, "too early", g.Hello(v6, hello(1), at(200*time.Millisecond)), HelloRate)
	wantReason(t, "a quarter later", g.Hello(v6, hello(1), at(250*time.Millisecond)), Admitted)
	for range 4 {
		wantReason(t, "IPv4", g.Hello(addr(1), hello(1), start), Admitted)
	}
	mapped := netip.AddrFrom16(addr(1).As16())
	wantReason(t, "the same, mapped", g.Hello(mapped, hello(1), start), HelloRate)
	wantReason(t, "its neighbour", g.Hello(addr(2), hello(1), start), Admitted)
}

func TestAdmitRateOfAll(t *testing.T) {
	g := newGate(t, Limits{AdmitRate: 10})
	for i := range 10 {
		wantReason(t, "within the rate", g.Hello(addr(i), hello(1), start), Admitted)
	}
	wantReason(t, "beyond", g.Hello(addr(11), hello(1), start), AdmitRate)
	wantReason(t, "later", g.Hello(addr(11), hello(1), at(100*time.Millisecond)), Admitted)
	for i := range 10 { // an hour without anybody saves nothing up
		wantReason(t, "after a pause", g.Hello(addr(i), hello(1), at(time.Hour)), Admitted)
	}
	wantReason(t, "beyond, after a pause", g.Hello(addr(11), hello(1), at(time.Hour)), AdmitRate)
}

func TestHalfOpenPerAddress(t *testing.T) {
	g := newGate(t, Limits{HalfOpenPerAddr: 2})
	first := g.Hello(addr(1), hello(1), start)
	wantReason(t, "second", g.Hello(addr(1), hello(2), start), Admitted)
	wantReason(t, "third", g.Hello(addr(1), hello(3), start), PerAddr)
	g.Done(first.Ticket)
	g.Done(first.Ticket) // does nothing
	wantReason(t, "after one is done", g.Hello(addr(1), hello(3), start), Admitted)
	wantReason(t, "again", g.Hello(addr(1), hello(4), start), PerAddr)
}

// TestEviction fills the places: the oldest that is unproven has to go, but not before it had its time.
func TestEviction(t *testing.T) {
	g := newGate(t, Limits{HalfOpen: 4, CookieTime: time.Second, UnprovenTimeout: 5 * time.Second})
	g.load.on = false
	var tickets []Ticket
	for i := range 4 {
		d := g.admit(prefixOf(addr(i)), int64(i)*int64(time.Millisecond))
		tickets = append(tickets, d.Ticket)
	}
	g.Proven(tickets[0])
	if d := g.admit(prefixOf(addr(5)), int64(900*time.Millisecond)); d.Reason != Full {
		t.Fatalf("before its time: %v", d.Reason)
	}
	d := g.admit(prefixOf(addr(5)), int64(1001*time.Millisecond))
	if d.Reason != Admitted || d.Evict != tickets[1] || d.Ticket.Slot() != tickets[1].Slot() {
		t.Fatalf("%+v, want %+v evicted", d, tickets[1])
	}
	g.Done(tickets[1]) // must not hit its successor
	if s := g.Stats(); s.HalfOpen != 4 || s.Unproven != 3 {
		t.Fatalf("%+v", s)
	}
	if due, ok := g.Deadline(); !ok || !due.Equal(at(5*time.Second+2*time.Millisecond)) {
		t.Errorf("deadline %v, %v", due, ok)
	}
	if _, ok := g.Expire(at(5 * time.Second)); ok {
		t.Error("expired early")
	}
	var expired []Ticket
	for tk, ok := g.Expire(at(6001 * time.Millisecond)); ok; tk, ok = g.Expire(at(6001 * time.Millisecond)) {
		expired = append(expired, tk)
	}
	if len(expired) != 3 || expired[0] != tickets[2] || expired[2] != d.Ticket {
		t.Errorf("expired %v", expired)
	}
	g.Done(tickets[0])
	if s := g.Stats(); s.HalfOpen != 0 || len(g.open.perPrefix) != 0 {
		t.Errorf("%+v, %d prefixes", s, len(g.open.perPrefix))
	}
}

// TestUnderLoad goes through the life of a flood: who sends once gets nothing, who repeats gets in, and when it is over
// the server is as before.
func TestUnderLoad(t *testing.T) {
	g := newGate(t, Limits{HalfOpen: 64, UnprovenTimeout: time.Second, CookieTime: 100 * time.Millisecond})
	now, flood := start, hello(0)
	expire := func() {
		for _, ok := g.Expire(now); ok; _, ok = g.Expire(now) {
		}
	}
	for i := range 4000 { // 1000 per second
		now = now.Add(time.Millisecond)
		expire()
		d := g.Hello(addr(i), spoofed(flood, i), now)
		if i > 32 && d.Reason != FirstUnderLoad {
			t.Fatalf("false hello %d: %v", i, d.Reason)
		}
	}
	honest := addr(1 << 20)
	wantReason(t, "first", g.Hello(honest, hello(1), now), FirstUnderLoad)
	wantReason(t, "duplicate", g.Hello(honest, hello(1), now.Add(50*time.Millisecond)), FirstUnderLoad)
	wantReason(t, "another's", g.Hello(addr(1<<20+1), hello(1), now.Add(time.Second)), FirstUnderLoad)
	wantReason(t, "another random", g.Hello(honest, hello(2), now.Add(time.Second)), FirstUnderLoad)
	wantReason(t, "repeated", g.Hello(honest, hello(1), now.Add(time.Second)), Admitted)
	wantReason(t, "again", g.Hello(honest, hello(1), now.Add(time.Second)), FirstUnderLoad)
	now = now.Add(3 * time.Second)
	expire()
	g.Hello(honest, hello(3), now) // looks at what came during the last second
	now = now.Add(time.Second)
	wantReason(t, "after the flood", g.Hello(honest, hello(4), now), Admitted)
	if g.Stats().UnderLoad {
		t.Error("still under load")
	}
}

// TestRepeatedAreNoFlood lets many honest clients come under load: they do not keep it up.
func TestRepeatedAreNoFlood(t *testing.T) {
	g := newGate(t, Limits{HalfOpen: 64, UnprovenTimeout: time.Second, HelloRate: -1, HalfOpenPerAddr: -1})
	for i := range 32 {
		g.Done(Ticket{})
		wantReason(t, "before", g.Hello(addr(i), spoofed(hello(0), i), start), Admitted)
	}
	now := at(2 * time.Second)
	for _, ok := g.Expire(now); ok; _, ok = g.Expire(now) {
	}
	g.load.on, g.load.looked = true, int64(now.Sub(start))
	for i := range 200 {
		g.Hello(addr(1), spoofed(hello(9), i), now)
	}
	for i := range 200 {
		now = now.Add(time.Millisecond)
		d := g.Hello(addr(1), spoofed(hello(9), i), now.Add(500*time.Millisecond))
		wantReason(t, "repeated", d, Admitted)
		g.Proven(d.Ticket)
		g.Done(d.Ticket)
	}
	g.Hello(addr(2), hello(1), now.Add(2*time.Second))
	if g.Stats().UnderLoad {
		t.Error("honest clients keep the server under load")
	}
}

// TestSeenSurvivesAFlood says how much may come between a ClientHello and its repetition, and how many of that pass for
// repetitions.
func TestSeenSurvivesAFlood(t *testing.T) {
	const n, rounds = 1 << 16, 100
	random := rand.New(rand.NewPCG(1, 2))
	lost, mistaken := 0, 0
	for range rounds {
		table, mine := newSeenTable(n), random.Uint64()
		table.repeated(mine, 0)
		for i := range n / 2 {
			if table.repeated(random.Uint64(), int64(i)*second*2/n) {
				mistaken++
			}
		}
		if !table.repeated(mine, second) {
			lost++
		}
	}
	t.Logf("%d of %d lost, %d of %d mistaken", lost, rounds, mistaken, rounds*n/2)
	if lost > rounds/20 || mistaken > rounds*n/2/30_000 {
		t.Errorf("%d of %d lost, %d of %d mistaken", lost, rounds, mistaken, rounds*n/2)
	}
}

func TestSeenForgets(t *testing.T) {
	table := newSeenTable(16)
	table.repeated(77, 0)
	if table.repeated(77, 41*second) {
		t.Error("known after 41 s")
	}
	if !table.repeated(77, 42*second) {
		t.Error("not known after a second")
	}
	table.forget(77)
	if table.repeated(77, 43*second) {
		t.Error("known although forgotten")
	}
}

// TestRateTableKeepsTheBusy fills the table with others: whoever has used up his share must not get a new one by it.
func TestRateTableKeepsTheBusy(t *testing.T) {
	table := newRateTable(rateWays)
	for table.take(1, 0, 100) {
	}
	for other := range uint64(1000) {
		table.take(other+2, 0, 100)
	}
	if table.take(1, 0, 100) {
		t.Error("a new share for who has used up his")
	}
}

// TestMillionHellos shows that a flood takes neither memory nor much time.
func TestMillionHellos(t *testing.T) {
	n := 1_000_000
	if testing.Short() {
		n = 100_000
	}
	g, p := newGate(t, Limits{}), hello(0)
	now, admitted := start, 0
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range n {
		now = now.Add(5 * time.Microsecond)
		for _, ok := g.Expire(now); ok; _, ok = g.Expire(now) {
		}
		if g.Hello(addr(i), spoofed(p, i), now).Reason == Admitted {
			admitted++
		}
	}
	runtime.ReadMemStats(&after)
	t.Logf("%d of %d admitted, %d allocations", admitted, n, after.Mallocs-before.Mallocs)
	if got := after.Mallocs - before.Mallocs; got > 100 {
		t.Errorf("%d allocations", got)
	}
	if most := defaultHalfOpen/2 + n/10_000; admitted > most {
		t.Errorf("%d were admitted, want %d at most", admitted, most)
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for r := range reasons {
		if seen[r.String()] || r.String() == "unknown" {
			t.Errorf("reason %d: %q", r, r)
		}
		seen[r.String()] = true
	}
	if got := fmt.Sprint(reasons, Protocol(99), RTP); got != "unknown unknown rtp" {
		t.Error(got)
	}
}

// FuzzGate gives a Gate any order of what may happen, and compares its books with a plain count.
func FuzzGate(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0, 0, 200, 1, 1, 3})
	f.Fuzz(func(t *testing.T, script []byte) {
		g := newGate(t, Limits{HalfOpen: 4, HalfOpenPerAddr: 3, Remembered: 16, Addresses: 4})
		now, open := start, map[Ticket]bool{} // true: proven
		for i, b := range script {
			now = now.Add(time.Duration(b) * 10 * time.Millisecond)
			any := Ticket{slot: int32(b % 4), turn: g.open.slots[b%4].turn}
			switch b % 5 {
			case 0, 1:
				d := g.Hello(addr(int(b)%3), hello(byte(i)%8), now)
				if d.Evict.Valid() && open[d.Evict] {
					t.Fatal("a proven peer was evicted")
				}
				delete(open, d.Evict)
				if d.Ticket.Valid() {
					open[d.Ticket] = false
				}
			case 2:
				g.Proven(any)
				if _, ok := open[any]; ok {
					open[any] = true
				}
			case 3:
				g.Done(any)
				delete(open, any)
			case 4:
				if tk, ok := g.Expire(now); ok {
					delete(open, tk)
				}
			}
			unproven := 0
			for _, proven := range open {
				if !proven {
					unproven++
				}
			}
			if s := g.Stats(); s.HalfOpen != len(open) || s.Unproven != unproven || s.HalfOpen > 4 {
				t.Fatalf("after %d: %+v, want %d and %d", i, s, len(open), unproven)
			}
		}
	})
}

func BenchmarkHelloUnderLoad(b *testing.B) {
	g, p := newGate(b, Limits{}), bytes.Clone(opensslHello)
	g.load = load{on: true, keptOut: 1 << 30}
	b.ReportAllocs()
	now := start
	for i := 0; b.Loop(); i++ {
		now = now.Add(2 * time.Microsecond)
		g.Hello(addr(i), spoofed(p, i), now)
	}
}
