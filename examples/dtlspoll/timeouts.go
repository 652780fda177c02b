//go:build linux

package main

import (
	"errors"
	"time"
)

const (
	handshakeTime  = 10 * time.Second       // for the whole handshake
	flightInterval = 250 * time.Millisecond // after which the engine repeats what is not answered, doubling each time
	idleTime       = 30 * time.Second       // between two signs of life
)

var errSilent = errors.New("the peer has been silent for too long")

// next returns when a peer wants to be looked at.
func (p *peer) next() time.Time {
	at := p.deadline
	if !p.wake.IsZero() && p.wake.Before(at) {
		at = p.wake
	}
	if t, ok := p.engine.Deadline(); ok && t.Before(at) { // this engine has none; others may
		at = t
	}
	return at
}

// patience returns how long poll may wait, in milliseconds, rounded up; -1 for ever. A loop of thousands of peers would
// keep them in a heap.
func (l *loop) patience(now time.Time) int {
	wait := time.Duration(-1)
	for _, p := range l.peers {
		if w := max(p.next().Sub(now), 0); wait < 0 || w < wait {
			wait = w
		}
	}
	if wait < 0 {
		return -1
	}
	return int((wait + time.Millisecond - 1) / time.Millisecond)
}

// expire does what is due.
func (l *loop) expire(now time.Time) {
	for _, p := range l.peers {
		if t, ok := p.engine.Deadline(); ok && !now.Before(t) {
			l.attend(p)
		}
		if !p.gone && !p.wake.IsZero() && !now.Before(p.wake) {
			p.wake = time.Time{}
			l.app.late(l, p)
		}
		if !p.gone && !now.Before(p.deadline) {
			l.drop(p, errSilent)
		}
	}
}
