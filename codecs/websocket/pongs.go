package websocket

import "time"

const (
	pongBurst = 16                     // pings answered at once
	pongEvery = 100 * time.Millisecond // and one more after this time
)

// pongs decides which pings are answered. What is not answered at once waits, and a later ping takes its place:
//
// https://www.rfc-editor.org/rfc/rfc6455.html#section-5.5.3
type pongs struct {
	left  int       // may be sent at once
	since time.Time // when left was last raised

	waiting bool // for left to be raised
	late    [maxControl]byte
	lateLen int
}

// take reports whether a pong may be sent now.
func (p *pongs) take() bool {
	if p.left == 0 {
		return false
	}
	p.left--
	return true
}

// wait keeps the payload of a ping for later.
func (p *pongs) wait(payload []byte) {
	p.waiting = true
	p.lateLen = copy(p.late[:], payload)
}

// tick raises left by what the time since the last call allows.
func (p *pongs) tick(now time.Time) {
	if n := now.Sub(p.since) / pongEvery; n > 0 {
		p.left = int(min(pongBurst, time.Duration(p.left)+n))
		p.since = now
	}
}

// deadline returns when a pong that waits may be sent.
func (p *pongs) deadline() (time.Time, bool) { return p.since.Add(pongEvery), p.waiting }
