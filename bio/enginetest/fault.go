package enginetest

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/encase-tls/encase/bio"
)

var faultRules = []rule{
	{"Tampered", streams, checkTampered,
		"A changed byte ends the engine: data before it is delivered, no other ever is, and the alert can be flushed " +
			"after the error."},
	{"Cut", streams, checkCut,
		"TransportEOF returns nil if the peer had closed with close_notify, and otherwise an error that wraps " +
			"ErrTruncated."},
	{"CutHandshake", streams, checkCutHandshake,
		"TransportEOF returns nil if the peer had closed with close_notify, and otherwise an error that wraps " +
			"ErrTruncated."},
	{"Final", streams, checkFinal,
		"A non-nil error is always the end: every later call returns it, and nothing more is opened or sealed."},
	{"AlertBesideSeal", streams, checkAlertBesideSeal,
		"With any error Seal returns dst as it was, and what is queued stays so."},
}

const (
	before  = "what came before the fault"
	changed = "this must never come out of an engine, neither as it was nor changed"
	after   = "nor must what comes after it"
)

// checkTampered changes one bit of the second of three records: in each byte of its header, and in a sample of the
// rest.
func checkTampered(k *kit) error {
	for _, from := range []int{0, 1} {
		for at, length := 0, 1; at < length; at++ {
			if at > 8 {
				at += 6
			}
			l, err := k.open()
			if err != nil {
				return err
			}
			e := l.ends()[from]
			wire, err := e.faulty()
			if err != nil {
				return err
			}
			length = len(wire[1])
			wire[1][min(at, length-1)] ^= 1 << (at % 8)
			if err := l.refuses(e.peer, bytes.Join(wire, nil)); err != nil {
				return fmt.Errorf("byte %d of a record of the %s changed: %w", at, e.name, err)
			}
		}
	}
	return nil
}

// faulty returns three records, of which the caller spoils the second.
func (e *end) faulty() ([][]byte, error) {
	if err := errors.Join(e.seal([]byte(before)), e.seal([]byte(changed)), e.seal([]byte(after))); err != nil {
		return nil, err
	}
	list := records(e.wire())
	if len(list) != 3 {
		return nil, fmt.Errorf("three messages of the %s make %d records", e.name, len(list))
	}
	return list, nil
}

// refuses gives e a stream with a fault behind the data before it.
func (l *link) refuses(e *end, src []byte) error {
	if _, err := e.open(src); err != nil {
		return err
	}
	if string(e.got) != before {
		return fmt.Errorf("Open returned the data %q, want %q", e.got, before)
	}
	if e.err == nil { // a length that was made greater: the engine waits
		if err := e.TransportEOF(); !errors.Is(err, bio.ErrTruncated) {
			return fmt.Errorf("Open returned no error, TransportEOF %v", err)
		}
		return nil
	}
	var alert *bio.AlertError
	if !errors.As(e.err, &alert) || !alert.Sent {
		return fmt.Errorf("the error is %v, want an AlertError that was sent", e.err)
	}
	return l.alerts(e)
}

// alerts checks that e, which has failed, tells its peer, once.
func (l *link) alerts(e *end) error {
	if err := e.flush(); err != nil {
		return err
	}
	if len(e.sent) == 0 {
		return fmt.Errorf("there is no alert to flush after %w", e.err)
	}
	if _, err := e.deliver(nil); err != nil {
		return err
	}
	var alert *bio.AlertError
	if !errors.As(e.peer.err, &alert) || alert.Sent || alert.Alert == 0 {
		return fmt.Errorf("the peer's error is %v, want an AlertError that was received", e.peer.err)
	}
	if err := e.flush(); err != nil || len(e.sent) > 0 {
		return fmt.Errorf("after the alert there is more to flush: %d, %v", len(e.sent), err)
	}
	return nil
}

// checkCut ends the stream after each number of bytes of what follows the handshake.
func checkCut(k *kit) error {
	for _, from := range []int{0, 1} {
		for n, total := 0, 0; n <= total; n++ {
			l, err := k.open()
			if err != nil {
				return err
			}
			if err := l.settle(); err != nil {
				return err
			}
			e := l.ends()[from]
			if err := errors.Join(e.seal([]byte("a")), e.seal([]byte("bc")), e.CloseWrite(), e.flush()); err != nil {
				return err
			}
			wire := e.wire()
			total = len(wire)
			if _, err := e.peer.open(wire[:n]); err != nil || e.peer.err != nil {
				return fmt.Errorf("%d bytes of %d: %w", n, total, errors.Join(err, e.peer.err))
			}
			if err := e.peer.cutAfter(records(wire), n); err != nil {
				return fmt.Errorf("%d bytes of %d from the %s: %w", n, total, e.name, err)
			}
		}
	}
	return nil
}

// cutAfter checks an end that has got n bytes of wire: a record with "a", one with "bc", and close_notify.
func (e *end) cutAfter(wire [][]byte, n int) error {
	want := ""
	for i, text := range []string{"a", "bc"} {
		if n -= len(wire[i]); n >= 0 {
			want += text
		}
	}
	if string(e.got) != want {
		return fmt.Errorf("Open returned the data %q, want %q", e.got, want)
	}
	closed := n >= len(wire[2])
	if err := e.TransportEOF(); closed && err != nil || !closed && !errors.Is(err, bio.ErrTruncated) {
		return fmt.Errorf("TransportEOF: %v", err)
	}
	return nil
}

// checkCutHandshake ends the stream after every few bytes of a handshake, in each direction.
func checkCutHandshake(k *kit) error {
	for _, from := range []int{0, 1} {
		for n := 0; ; n += 1 + n/7 {
			l, err := k.pair()
			if err != nil {
				return err
			}
			e := l.ends()[from]
			left := n
			e.budget = &left
			if err := l.settle(); err != nil {
				return err
			}
			if e.peer.State().Phase == bio.PhaseOpen {
				break
			}
			if err := e.peer.TransportEOF(); !errors.Is(err, bio.ErrTruncated) {
				return fmt.Errorf("after %d bytes of the %s: TransportEOF: %v", n, e.name, err)
			}
			e.Abort(nil)
		}
	}
	return nil
}

// checkFinal goes on after an error.
func checkFinal(k *kit) error {
	for _, from := range []int{0, 1} {
		l, err := k.open()
		if err != nil {
			return err
		}
		e := l.ends()[from]
		wire, err := e.faulty()
		if err != nil {
			return err
		}
		bad := bytes.Clone(wire[1])
		bad[len(bad)-1]++
		e.peer.open(bad)
		if err := e.peer.isOver(wire[1]); err != nil {
			return fmt.Errorf("a changed record of the %s: %w", e.name, err)
		}
		if err := l.alerts(e.peer); err != nil {
			return err
		}
		if err := e.isOver(nil); err != nil { // the alert is an error, too
			return fmt.Errorf("an alert to the %s: %w", e.name, err)
		}
	}
	return nil
}

// checkAlertBesideSeal lets Open meet a fault while another goroutine seals. Whichever call sees the end first, the
// alert must reach the wire.
func checkAlertBesideSeal(k *kit) error {
	for i := range 40 {
		l, err := k.open()
		if err != nil {
			return err
		}
		e := l.ends()[i%2]
		wire, err := e.faulty()
		if err != nil {
			return err
		}
		wire[1][len(wire[1])-1]++
		sealed := make(chan []byte)
		size := []int{10, 1000}[i/2%2]
		go func() { sealed <- e.peer.sealUntilError(size) }()
		if _, err := e.peer.open(wire[1]); err != nil || e.peer.err == nil {
			return fmt.Errorf("a changed record: %w", errors.Join(err, e.peer.err))
		}
		e.peer.sent = append(e.peer.sent, <-sealed)
		if err := l.alerts(e.peer); err != nil {
			return err
		}
	}
	return nil
}

func (e *end) sealUntilError(size int) (wire []byte) {
	for start := time.Now(); time.Since(start) < waiting; {
		out, _, err := e.Seal(wire, noise(size))
		if wire = out; err != nil {
			break
		}
	}
	return wire
}

// isOver gives an end that has failed something good to open and something to seal.
func (e *end) isOver(good []byte) error {
	first := e.err
	if first == nil {
		return errors.New("Open returned no error")
	}
	if _, err := e.open(good); err != nil || e.err != first || len(e.got) > 0 {
		return fmt.Errorf("Open after %v: %v, %v, %d bytes", first, e.err, err, len(e.got))
	}
	if out, n, err := e.Seal(nil, noise(10)); len(out) > 0 || n > 0 || err != first {
		return fmt.Errorf("Seal after %v: %v, %d bytes", first, err, len(out))
	}
	if err := e.CloseWrite(); err != first {
		return fmt.Errorf("CloseWrite after %v: %v", first, err)
	}
	if err := e.TransportEOF(); err != first {
		return fmt.Errorf("TransportEOF after %v: %v", first, err)
	}
	if s := e.State(); s.Phase != bio.PhaseFailed {
		return fmt.Errorf("the phase is %v after %v", s.Phase, first)
	}
	return nil
}
