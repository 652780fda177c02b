package tun

import (
	"testing"
	"time"

	"github.com/encase-tls/encase/tun/link"
	"github.com/encase-tls/encase/tun/wire"
)

func TestHealth(t *testing.T) {
	const keepalive, dead = 10 * time.Second, 30 * time.Second
	at := time.Unix(1000, 0)
	after := func(d time.Duration) time.Time { return at.Add(d) }
	fresh := func() *health { h := &health{}; h.init(at); return h }

	h := fresh()
	if ask, gone := h.look(after(9*time.Second), link.Stats{}, keepalive, dead); ask || gone {
		t.Error("asks while nothing is expected")
	}
	if ask, _ := h.look(after(10*time.Second), link.Stats{}, keepalive, dead); !ask {
		t.Error("an idle connection is not kept alive")
	}
	if _, gone := h.look(after(31*time.Second), link.Stats{}, keepalive, dead); !gone {
		t.Error("a dead peer is not given up")
	}

	h = fresh() // packets leave, and nothing comes back
	h.look(after(time.Second), link.Stats{Sent: 1}, keepalive, dead)
	if ask, _ := h.look(after(1900*time.Millisecond), link.Stats{Sent: 2}, keepalive, dead); ask {
		t.Error("asks too early")
	}
	if ask, _ := h.look(after(2*time.Second), link.Stats{Sent: 3}, keepalive, dead); !ask {
		t.Error("does not ask")
	}
	h.ask(after(2*time.Second), wire.Ping{Sent: 3})
	if !h.works(after(3900*time.Millisecond)) || h.works(after(4*time.Second)) {
		t.Error("stalls at another time than after three seconds")
	}
	h.look(after(5*time.Second), link.Stats{Sent: 3, Received: 1}, keepalive, dead)
	if !h.works(after(5 * time.Second)) {
		t.Error("has been heard, and is held for stalled")
	}
}

// Answers come, and say that packets do not.
func TestHealthSeesThatOnlyControlArrives(t *testing.T) {
	h := &health{}
	h.init(time.Unix(1000, 0))
	now := h.heard
	answer := func(sent, received uint32) {
		now = now.Add(time.Second)
		p := h.ask(now, wire.Ping{Sent: sent})
		now = now.Add(20 * time.Millisecond)
		h.hear(now)
		h.pong(wire.Ping{ID: p.ID - 1, Received: 999}, now) // an old one
		h.pong(wire.Ping{ID: p.ID, Received: received}, now)
	}
	answer(0, 0)
	answer(100, 90)
	if !h.works(now) || h.loss < 0.09 || h.loss > 0.11 || h.rtt != 20*time.Millisecond {
		t.Errorf("works %v, loss %v, rtt %v", h.works(now), h.loss, h.rtt)
	}
	answer(105, 90)
	if !h.works(now) {
		t.Error("five lost packets say nothing")
	}
	answer(200, 90)
	if h.works(now) {
		t.Error("a hundred do")
	}
	answer(300, 150)
	if !h.works(now) {
		t.Error("they arrive again")
	}
	answer(1<<32-5&0xffffffff, 1<<32-50)
	answer(95, 40)
	if !h.works(now) || h.loss > 0.2 {
		t.Errorf("counters that wrap around: works %v, loss %v", h.works(now), h.loss)
	}
}

// A peer is silent when it was asked and has not answered in time, which is longer on long ways; idle it is not.
func TestSilent(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		rtt, since time.Duration
		asked      bool
		want       bool
	}{
		{0, time.Hour, false, false},
		{time.Millisecond, 1200 * time.Millisecond, true, false},
		{time.Millisecond, 1300 * time.Millisecond, true, true},
		{time.Second, 2900 * time.Millisecond, true, false},
		{time.Second, 3 * time.Second, true, true},
	} {
		var h health
		h.init(now)
		h.rtt = c.rtt
		if c.asked {
			h.ask(now, wire.Ping{})
		}
		if got := h.silent(now.Add(c.since)); got != c.want {
			t.Errorf("%+v: silent is %v", c, got)
		}
	}
}
