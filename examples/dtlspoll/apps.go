//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// An app is what talks through a loop. It must not wait: the loop calls it.
type app interface {
	opened(l *loop, p *peer)                // the handshake is done
	heard(l *loop, p *peer, message []byte) // message is valid during the call
	late(l *loop, p *peer)                  // p.wake has come
	ended(p *peer, err error)               // nil: in good order
}

// echo says back what it hears.
type echo struct{ stdout io.Writer }

func (echo) opened(*loop, *peer) {}
func (echo) late(*loop, *peer)   {}

func (echo) heard(l *loop, p *peer, message []byte) {
	l.say(p, message) // what came in one datagram fits into one
}

func (e echo) ended(p *peer, err error) {
	if err != nil {
		fmt.Fprintf(e.stdout, "%v: %v\n", p.addr, err)
	}
}

// An asker has messages said back, one after the other, and repeats those that get no answer.
type asker struct {
	stdout io.Writer
	unsaid []string // the first of them is the question
	wait   time.Duration
	err    error
}

const (
	firstWait = 250 * time.Millisecond
	lastWait  = 4 * time.Second
)

func (a *asker) opened(l *loop, p *peer) { a.ask(l, p, firstWait) }

// ask puts the question and sets the time until which to wait for an answer.
func (a *asker) ask(l *loop, p *peer, wait time.Duration) {
	if len(a.unsaid) == 0 {
		l.bye(p)
		return
	}
	if err := l.say(p, []byte(a.unsaid[0])); err != nil {
		l.drop(p, err)
		return
	}
	a.wait, p.wake = wait, time.Now().Add(wait)
}

func (a *asker) heard(l *loop, p *peer, message []byte) {
	if len(a.unsaid) == 0 || string(message) != a.unsaid[0] {
		return // the answer to an earlier question that was put twice
	}
	fmt.Fprintf(a.stdout, "%s\n", message)
	a.unsaid = a.unsaid[1:]
	a.ask(l, p, firstWait)
}

func (a *asker) late(l *loop, p *peer) {
	if a.wait >= lastWait {
		l.drop(p, errors.New("no answer"))
		return
	}
	a.ask(l, p, 2*a.wait)
}

func (a *asker) ended(_ *peer, err error) {
	if err == nil && len(a.unsaid) > 0 {
		err = errors.New("it has ended before all was said")
	}
	a.err = err
}
