package datagram

import (
	"errors"
	"net/netip"
	"sync/atomic"
	"time"
)

var (
	// ErrIdle says that Config.IdleTimeout has ended the connection.
	ErrIdle = errors.New("datagram: nothing was sent or heard for longer than Config.IdleTimeout")

	// ErrPeerSilent says that Config.PeerTimeout has ended the connection.
	ErrPeerSilent = errors.New("datagram: the peer has not answered for longer than Config.PeerTimeout")
)

// An Event is something that happens to a Conn besides messages.
type Event struct {
	Kind     EventKind
	From, To netip.AddrPort // EventMoved
	MTU      int            // EventMTU: how long a message may be now, in bytes
}

// EventKind tells what an Event means.
type EventKind uint8

const (
	EventRekey EventKind = iota + 1 // the keys are nearly worn out: make a new connection
	EventMoved                      // the peer has another address
	EventMTU                        // the path turns out to be narrower
)

// String returns a word for the kind.
func (k EventKind) String() string {
	names := [...]string{"none", "rekey", "moved", "mtu"}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}

func (c *Conn) tell(e Event) {
	if c.cfg.OnEvent != nil {
		c.cfg.OnEvent(c, e)
	}
}

// What is noted between two calls of look.
const (
	spoke = 1 << iota // something was sent
	heard             // something authentic was received
)

// note is called with every message, so it writes only what is new.
func (c *Conn) note(what uint32) {
	if c.activity.Load()&what == 0 {
		c.activity.Or(what)
	}
}

// A vigil is what is remembered of when a Conn was active.
type vigil struct {
	last  time.Time   // something was sent or heard
	asked time.Time   // something was sent that nothing has been heard after; zero: nothing was
	timer *time.Timer // of a Conn that has no owner to look at it
}

// watch begins to look at the time, if the configuration wants that.
func (c *Conn) watch() {
	if c.cfg.lookEvery() == 0 {
		return
	}
	v := &vigil{last: time.Now()}
	if _, alone := c.owner.(nobody); alone {
		v.timer = time.AfterFunc(c.cfg.lookEvery(), func() {
			if v := c.vigil.Load(); v != nil && c.look(time.Now()) {
				v.timer.Reset(c.cfg.lookEvery())
			}
		})
	}
	c.vigil.Store(v)
}

// lookEvery returns how often look is to be called, 0 for never: connections end after their time and a quarter.
func (c *Config) lookEvery() time.Duration {
	shortest := max(c.IdleTimeout, 0)
	if c.PeerTimeout > 0 && (shortest == 0 || c.PeerTimeout < shortest) {
		shortest = c.PeerTimeout
	}
	if shortest == 0 {
		return 0
	}
	return max(shortest/4, time.Millisecond)
}

// look ends the Conn if nothing has happened for too long, and reports whether it goes on. It is called every lookEvery,
// by one goroutine at a time. What happened since the last call counts as if it did now: the time of each message is not
// taken.
func (c *Conn) look(now time.Time) bool {
	v := c.vigil.Load()
	if c.closed.Load() {
		return false
	}
	if v == nil {
		return true
	}
	v.update(c.activity.Swap(0), now)
	switch {
	case c.cfg.IdleTimeout > 0 && now.Sub(v.last) >= c.cfg.IdleTimeout:
		c.shut(ErrIdle)
	case c.cfg.PeerTimeout > 0 && !v.asked.IsZero() && now.Sub(v.asked) >= c.cfg.PeerTimeout:
		c.shut(ErrPeerSilent)
	default:
		return true
	}
	return false
}

func (v *vigil) update(what uint32, now time.Time) {
	if what != 0 {
		v.last = now
	}
	switch {
	case what&heard != 0:
		v.asked = time.Time{}
	case what&spoke != 0 && v.asked.IsZero():
		v.asked = now
	}
}

// stopVigil ends the timer of a Conn that has one.
func stopVigil(p *atomic.Pointer[vigil]) {
	if v := p.Load(); v != nil && v.timer != nil {
		v.timer.Stop()
	}
}
