package enginetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

var datagramRules = []rule{
	{"Boundaries", datagrams, checkBoundaries,
		"A message is one record is one datagram: it arrives whole, and with no other."},
	{"TooLong", datagrams, checkTooLong,
		"A message that does not fit one datagram is refused whole, with a *TooLongError that has the limit in it; the " +
			"engine goes on."},
	{"Replay", datagrams, checkReplay,
		"Datagrams may come out of order, and no message is delivered twice."},
	{"CID", datagrams | identified, checkCID,
		"LocalCID returns the connection ID that the peer's records carry. EventNewest: a record was authentic and newer " +
			"than all before it."},
}

// openOne gives an end a datagram and returns what comes of it.
func (e *end) openOne(d []byte) (plain []byte, events bio.Events, err error) {
	before, told := len(e.got), len(e.events)
	if _, err := e.open(d); err != nil {
		return nil, 0, err
	}
	for _, ev := range e.events[told:] {
		events |= ev
	}
	return e.got[before:], events, e.failed()
}

// sealOne returns the datagram that carries p.
func (e *end) sealOne(p []byte) ([]byte, error) {
	if err := e.seal(p); err != nil {
		return nil, err
	}
	if len(e.sent) != 1 {
		return nil, fmt.Errorf("a message of %d bytes from the %s makes %d datagrams", len(p), e.name, len(e.sent))
	}
	d := e.sent[0]
	e.sent = nil
	return d, nil
}

// ignores gives an established end a datagram that must change nothing.
func (e *end) ignores(d []byte) error {
	before := e.State()
	plain, events, err := e.openOne(d)
	switch {
	case err != nil:
		return err
	case len(plain) > 0:
		return fmt.Errorf("the %s delivers %d bytes of it", e.name, len(plain))
	case events != 0:
		return fmt.Errorf("the %s has the events %b for it", e.name, events)
	}
	if out, _ := e.Flush(nil, 0); len(out) > 0 {
		return fmt.Errorf("the %s answers with %d bytes", e.name, len(out))
	}
	if s := e.State(); s.Phase != before.Phase || s.PeerClosed != before.PeerClosed {
		return fmt.Errorf("the %s changes its state from %v to %v", e.name, before.Phase, s.Phase)
	}
	return nil
}

// eachOpen runs check on each end of a new connection that says nothing by itself.
func (k *kit) eachOpen(check func(e *end) error, changes ...change) error {
	for which := range 2 {
		l, err := k.open(changes...)
		if err != nil {
			return err
		}
		e := l.ends()[which]
		if err := errors.Join(l.settle(), check(e)); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
		for _, e := range l.ends() {
			if err := l.talk(e, noise(100)); err != nil {
				return fmt.Errorf("afterwards: %w", err)
			}
		}
	}
	return nil
}

func checkBoundaries(k *kit) error {
	return k.eachOpen(func(e *end) error {
		for i, size := range datagramSizes {
			p := noise(size + i)
			d, err := e.peer.sealOne(p)
			if err != nil {
				return err
			}
			if got, _, err := e.openOne(d); err != nil || !bytes.Equal(got, p) {
				return fmt.Errorf("of a datagram with a message of %d bytes come %d: %w", len(p), len(got), err)
			}
		}
		return nil
	})
}

func checkTooLong(k *kit) error {
	return k.eachOpen(func(e *end) error {
		const tooLong = 70_000
		limit, err := e.peer.refuses(noise(tooLong))
		if err != nil {
			return err
		}
		if _, err := e.peer.refuses(noise(limit + 1)); err != nil {
			return fmt.Errorf("one byte more than the limit: %w", err)
		}
		p := noise(limit)
		d, err := e.peer.sealOne(p)
		if err != nil {
			return fmt.Errorf("a message as long as the limit: %w", err)
		}
		if got, _, err := e.openOne(d); err != nil || !bytes.Equal(got, p) {
			return fmt.Errorf("of a message as long as the limit come %d bytes of %d: %w", len(got), limit, err)
		}
		return nil
	})
}

// refuses returns the limit with which p is refused.
func (e *end) refuses(p []byte) (limit int, err error) {
	out, n, err := e.Seal([]byte(prefix), p)
	var tooLong *bio.TooLongError
	if !errors.As(err, &tooLong) || !errors.Is(err, frame.ErrTooLarge) || n != 0 || string(out) != prefix {
		return 0, fmt.Errorf("Seal of %d bytes took %d, made %d and returned %v, want a TooLongError",
			len(p), n, len(out)-len(prefix), err)
	}
	if tooLong.Len != len(p) || tooLong.Limit < 1 || tooLong.Limit >= len(p) {
		return 0, fmt.Errorf("Seal of %d bytes returned %w", len(p), err)
	}
	return tooLong.Limit, nil
}

// checkReplay gives datagrams in the reverse order, and then again: soon, and when many others have come.
func checkReplay(k *kit) error {
	const some, many = 20, 300
	return k.eachOpen(func(e *end) error {
		var all [][]byte
		for i := range some {
			d, err := e.peer.sealOne(numbered(i))
			if err != nil {
				return err
			}
			all = append(all, d)
		}
		for i, d := range slices.Backward(all) {
			if got, _, err := e.openOne(d); err != nil || !bytes.Equal(got, numbered(i)) {
				return fmt.Errorf("message %d of %d, in reverse order, is not delivered: %w", i, some, err)
			}
		}
		if err := e.ignoresAll(all); err != nil {
			return fmt.Errorf("a datagram that came before: %w", err)
		}
		for i := range many {
			d, err := e.peer.sealOne(numbered(i))
			if err != nil {
				return err
			}
			if got, _, err := e.openOne(d); err != nil || !bytes.Equal(got, numbered(i)) {
				return fmt.Errorf("message %d after replays is not delivered: %w", i, err)
			}
		}
		if err := e.ignoresAll(all); err != nil {
			return fmt.Errorf("a datagram that came before %d others: %w", many, err)
		}
		return nil
	})
}

func (e *end) ignoresAll(all [][]byte) error {
	for _, d := range all {
		if err := e.ignores(d); err != nil {
			return err
		}
	}
	return nil
}

const cidLen = 8

// withCIDs lets both ends ask for connection IDs, all of which are different.
func withCIDs(c, s *bio.Config) {
	for i, cfg := range []*bio.Config{c, s} {
		n := byte(0)
		cfg.CIDLen, cfg.NewCID = cidLen, func() []byte {
			n++
			return append(noise(cidLen-2), byte(i), n)
		}
	}
}

func checkCID(k *kit) error {
	return k.eachOpen(func(e *end) error {
		cid := e.Engine.(bio.Identified).LocalCID()
		if len(cid) != cidLen {
			return fmt.Errorf("LocalCID returned %x, want %d bytes", cid, cidLen)
		}
		var sealed [2][]byte
		for i := range sealed {
			var err error
			if sealed[i], err = e.peer.sealOne(numbered(i)); err != nil {
				return err
			}
			if got, ok := bio.PeekCID(sealed[i], cidLen); !ok || !bytes.Equal(got, cid) {
				return fmt.Errorf("a record of the %s has the connection ID %x (%v), want %x", e.peer.name, got, ok, cid)
			}
		}
		forged := bytes.Clone(sealed[1])
		forged[len(forged)-1] ^= 1
		for i, step := range []struct {
			what   string
			d      []byte
			plain  []byte
			newest bool
		}{
			{"a forged record", forged, nil, false},
			{"a newer record", sealed[1], numbered(1), true},
			{"an older record", sealed[0], numbered(0), false},
			{"a replay", sealed[1], nil, false},
		} {
			plain, events, err := e.openOne(step.d)
			if err != nil || !bytes.Equal(plain, step.plain) || events.Has(bio.EventNewest) != step.newest {
				return fmt.Errorf("step %d, %s: %d bytes, EventNewest %v: %w",
					i, step.what, len(plain), events.Has(bio.EventNewest), err)
			}
		}
		return nil
	}, withCIDs)
}
