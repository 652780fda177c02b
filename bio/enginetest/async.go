package enginetest

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/encase-tls/encase/bio"
)

var asyncRules = []rule{
	{"Ready", async, checkReady,
		"Ready delivers when there is output for Flush, or an event or an error for Tick, that no call has reported."},
	{"ReadyError", async, checkReadyError,
		"An error that no call has reported comes by Tick after Ready, and is the end; the alert can be flushed after it."},
}

// tick tells the engine the time and does what has to be done when Ready has delivered, except for Flush.
func (e *end) tick() error {
	st, err := e.Tick(time.Now())
	e.note(st.Events, err)
	if err != nil || !st.Events.Has(bio.EventHandshakeDone) {
		return nil
	}
	_, err = e.open(nil)
	return err
}

// patience is how long nothing may happen.
func (l *link) patience() time.Duration {
	if l.fake {
		return 2 * time.Hour
	}
	return waiting
}

// await waits until an end has something to say although nobody has called it, until one wants to know the time, or
// until a datagram arrives. If there is nothing of it to wait for, or not within limit, it returns false.
func (l *link) await(limit time.Duration) (bool, error) {
	next, ok := l.next()
	if !ok && !l.async {
		return false, nil
	}
	if ok {
		limit = min(limit, time.Until(next))
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-l.client.ready:
		return true, l.client.tick()
	case <-l.server.ready:
		return true, l.server.tick()
	case <-timer.C:
		return ok, nil
	}
}

// next returns the time at which something is to be done, if that is known.
func (l *link) next() (t time.Time, ok bool) {
	earlier := func(u time.Time, known bool) {
		if known && (!ok || u.Before(t)) {
			t, ok = u, true
		}
	}
	for _, e := range l.ends() {
		earlier(e.Deadline())
	}
	if l.net != nil {
		earlier(l.net.next())
	}
	return t, ok
}

// checkReady shakes hands, and does nothing without being told that there is something to do. (Any rule that shakes
// hands would see the fault. This one has it in its name.)
func checkReady(k *kit) error {
	for range 10 {
		l, err := k.open()
		if err != nil {
			return err
		}
		for _, e := range l.ends() {
			if err := l.talk(e, noise(100)); err != nil {
				return err
			}
		}
		for _, e := range l.ends() {
			if n := e.count(bio.EventHandshakeDone); n != 1 {
				return fmt.Errorf("the %s had EventHandshakeDone %d times, want 1", e.name, n)
			}
		}
	}
	return nil
}

// checkReadyError lets the client refuse the server's certificate.
func checkReadyError(k *kit) error {
	l, err := k.pair(func(c, _ *bio.Config) { c.TLS.RootCAs = x509.NewCertPool() })
	if err != nil {
		return err
	}
	defer l.abort()
	for _, e := range l.ends() {
		for e.err == nil {
			if moved, err := l.advance(); err != nil || !moved {
				return fmt.Errorf("the %s does not fail, phases %v and %v: %w",
					e.name, l.client.State().Phase, l.server.State().Phase, err)
			}
		}
		var alert *bio.AlertError
		if !errors.As(e.err, &alert) || alert.Sent != (e == &l.client) {
			return fmt.Errorf("the error of the %s is %v, want an AlertError that the client has sent", e.name, e.err)
		}
	}
	return errors.Join(l.client.isOver(noise(100)), l.server.isOver(noise(100)))
}
