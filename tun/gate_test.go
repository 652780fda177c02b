package tun

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// A crowd asks a gate for places.
type crowd struct {
	t     *testing.T
	g     *gate
	now   time.Time
	ended map[string]bool
}

func newCrowd(t *testing.T, l Limits) *crowd {
	return &crowd{t: t, g: newGate(l.settle()), now: time.Now(), ended: map[string]bool{}}
}

// come reports whether a connection from an address got a place, and for how long.
func (c *crowd) come(from string) (time.Duration, func()) {
	a, _ := netip.ParseAddr(from)
	e, d := c.g.come(a, c.now, func() { c.ended[from] = true })
	if e == nil {
		return 0, nil
	}
	return d, func() { c.g.leave(e) }
}

// One address gets its share of places and no more, which is less under load; the lower half of IPv6 is one address.
func TestPlacesPerAddress(t *testing.T) {
	c := newCrowd(t, Limits{HalfOpen: 40, PerAddress: 16, Rate: -1, RateAll: -1})
	fill := func(address func(i int) string) (n int) {
		for i := range 30 {
			if _, leave := c.come(address(i)); leave != nil {
				n++
			}
		}
		return n
	}
	if n := fill(func(int) string { return "192.0.2.1" }); n != 16 {
		t.Errorf("one address has %d places", n)
	}
	if n := fill(func(i int) string { return fmt.Sprintf("2001:db8::%x", i) }); n != 4 { // then half of all are taken
		t.Errorf("a network of IPv6 has %d places", n)
	}
	if n := fill(func(int) string { return "::ffff:192.0.2.1" }); n != 0 {
		t.Errorf("an address of IPv4 in another form has %d more", n)
	}
	if n := fill(func(int) string { return "198.51.100.1" }); n != 2 {
		t.Errorf("under load one address has %d places", n)
	}
	if s := c.g.snapshot(); s.HalfOpen != 22 || !s.UnderLoad || s.PerAddress != 14+26+30+28 {
		t.Errorf("%+v", s)
	}
	if d, _ := c.come("203.0.113.1"); d != timeUnderLoad {
		t.Errorf("under load strangers have %v", d)
	}
}

// When all places are taken the oldest goes, but not before it has had its time.
func TestEviction(t *testing.T) {
	c := newCrowd(t, Limits{HalfOpen: 2, PerAddress: -1, Rate: -1, RateAll: -1})
	_, leaveFirst := c.come("192.0.2.1")
	c.now = c.now.Add(patience / 2)
	_, leaveSecond := c.come("192.0.2.2")
	if _, leave := c.come("192.0.2.3"); leave != nil {
		t.Fatal("a third has a place")
	}
	c.now = c.now.Add(patience / 2)
	if _, leave := c.come("192.0.2.3"); leave == nil || !c.ended["192.0.2.1"] || c.ended["192.0.2.2"] {
		t.Errorf("ended: %v", c.ended)
	}
	leaveFirst() // it has no place any more
	leaveSecond()
	leaveSecond()
	if s := c.g.snapshot(); s.HalfOpen != 1 || s.Full != 1 || s.Evicted != 1 {
		t.Errorf("%+v", s)
	}
}

// An address may come so often, with a burst, and all together likewise; a rest gives all of it back.
func TestRates(t *testing.T) {
	c := newCrowd(t, Limits{HalfOpen: 1000, PerAddress: -1, Rate: 10, RateAll: 25})
	flood := func(from string) (n int) {
		for range 100 {
			if _, leave := c.come(from); leave != nil {
				leave()
				n++
			}
		}
		return n
	}
	for _, want := range []struct {
		from string
		n    int
	}{{"192.0.2.1", 10}, {"192.0.2.2", 10}, {"192.0.2.3", 5}, {"192.0.2.4", 0}} {
		if n := flood(want.from); n != want.n {
			t.Errorf("%s comes %d times, want %d", want.from, n, want.n)
		}
	}
	c.now = c.now.Add(2 * time.Second)
	if n := flood("192.0.2.1"); n != 10 {
		t.Errorf("after a rest it comes %d times", n)
	}
	if _, leave := c.come(""); leave == nil { // datagrams have been counted by their listener
		t.Error("a connection without an address is counted")
	}
}

// What a gate remembers of addresses is bounded, and those that have a place are not forgotten.
func TestSourcesAreBounded(t *testing.T) {
	c := newCrowd(t, Limits{HalfOpen: 10, PerAddress: 1, Rate: 1, RateAll: -1})
	if _, leave := c.come("10.0.0.1"); leave == nil {
		t.Fatal("no place")
	}
	for i := range 2 * maxSources {
		a := netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)})
		if _, leave := c.come(a.String()); leave != nil {
			leave()
		}
	}
	c.now = c.now.Add(2 * time.Second)
	if n := len(c.g.sources); n > maxSources {
		t.Errorf("%d addresses are remembered", n)
	}
	if _, leave := c.come("10.0.0.1"); leave != nil {
		t.Error("who has a place was forgotten")
	}
}
