package enginetest

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/encase-tls/encase/bio"
)

var answerRules = []rule{
	{"KeyUpdate", streams | onlyTLS13, checkKeyUpdate,
		"Replies are queued: see Status.Out. EventKeysUpdated: the peer asked for new keys and was answered."},
	{"KeyUpdateOrder", streams | onlyTLS13, checkKeyUpdateOrder,
		"Protocol output that was queued goes in front of what Seal makes or behind it, where its order demands."},
	{"Storm", streams | onlyTLS13, checkStorm,
		"Open takes no more input while many answers wait for Flush."},
	{"TooMuch", streams | onlyTLS13, checkTooMuch,
		"ErrTooMuch: the peer made the engine queue more answers than it is worth."},
	{"BadMessage", streams | onlyTLS13, checkBadMessage,
		"Data comes together with the error that followed it; the alert can be flushed after the error."},
	{"PeerAlert", streams | onlyTLS13, checkPeerAlert,
		"An AlertError says that an alert ended the connection, and who sent it."},
}

// eachEnd runs check with a handmade peer of the client and of the server.
func (k *kit) eachEnd(check func(l *link, e *end, h *handmade) error) error {
	for which := range 2 {
		l, e, h, err := k.handmadePeer(which)
		if err != nil {
			return err
		}
		if err := check(l, e, h); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	return nil
}

// take gives src to an engine that must take all of it.
func (e *end) take(src []byte) error {
	n, err := e.open(src)
	if err == nil && n != len(src) {
		err = fmt.Errorf("Open took %d of %d bytes", n, len(src))
	}
	return errors.Join(err, e.failed())
}

func checkKeyUpdate(k *kit) error { return k.eachEnd(keyUpdatesOneByOne) }

func keyUpdatesOneByOne(_ *link, e *end, h *handmade) error {
	for i := range 3 {
		silent, err := h.update(nil, false)
		if err != nil {
			return err
		}
		silent = h.seal(silent, dataType, noise(10))
		if err := errors.Join(e.take(silent), e.flush()); err != nil {
			return err
		}
		if len(e.got) != 10*(2*i+1) || e.keyUpdates() != i || len(e.sent) != 0 {
			return fmt.Errorf("after a KeyUpdate without request: %d bytes, %d events, %d bytes of output",
				len(e.got), e.keyUpdates(), len(e.wire()))
		}
		asked, err := h.update(nil, true)
		if err != nil {
			return err
		}
		if err := e.take(h.seal(asked, dataType, noise(10))); err != nil {
			return err
		}
		if len(e.got) != 10*(2*i+2) || e.keyUpdates() != i+1 {
			return fmt.Errorf("after a KeyUpdate with request: %d bytes, %d events", len(e.got), e.keyUpdates())
		}
		if i%2 == 0 { // else Seal brings the answer
			if err := e.flush(); err != nil || len(e.sent) == 0 {
				return fmt.Errorf("after a KeyUpdate with request there is nothing to flush: %w", err)
			}
		}
		if err := e.seal(noise(100)); err != nil {
			return err
		}
		data, updates, err := h.read(e.wire())
		if err != nil || updates != 1 || !bytes.Equal(data, noise(100)) {
			return fmt.Errorf("its peer reads %d bytes and %d KeyUpdates: %w", len(data), updates, err)
		}
	}
	return nil
}

// checkKeyUpdateOrder lets one goroutine seal and send while another opens KeyUpdates: messages with which a record
// looks like an answer from outside, and longer ones.
func checkKeyUpdateOrder(k *kit) error {
	for _, size := range []int{5, 1000} {
		check := func(_ *link, e *end, h *handmade) error { return keyUpdatesBesideWriter(e, h, size) }
		if err := k.eachEnd(check); err != nil {
			return fmt.Errorf("messages of %d bytes: %w", size, err)
		}
	}
	return nil
}

func keyUpdatesBesideWriter(e *end, h *handmade, size int) error {
	const updates = 300
	w := e.startWriter(size)
	var err error
	for range updates { // no request: a writer beside Open must not look like an answer
		err = errors.Join(err, e.take(h.seal(nil, dataType, noise(size))))
	}
	if n := e.keyUpdates(); n > 0 {
		err = errors.Join(err, fmt.Errorf("EventKeysUpdated came %d times, and the peer had asked for nothing", n))
	}
	for range updates {
		asked, updateErr := h.update(nil, true)
		asked = h.seal(asked, dataType, noise(size)) // or so many in a row would be refused
		err = errors.Join(err, updateErr, e.take(asked))
	}
	had := e.keyUpdates()
	if err := errors.Join(err, w.stop(), e.take(nil), e.take(nil), e.flush()); err != nil {
		return err
	}
	data, answers, err := h.read(e.wire())
	if err != nil || answers != updates || !bytes.Equal(data, bytes.Repeat(noise(size), len(data)/size)) {
		return fmt.Errorf("its peer reads %d bytes and %d answers to %d requests: %w", len(data), answers, updates, err)
	}
	if n := e.keyUpdates(); n < 1 || n > had+1 { // CloseWrite is no answer, but the last answer may be told late
		return fmt.Errorf("EventKeysUpdated came %d times, %d of them with a request", n, had)
	}
	return nil
}

// A writer seals messages, and flushes now and then, until it is stopped.
type writer struct {
	ended chan struct{}
	err   chan error
}

// startWriter returns when the first message is sealed.
func (e *end) startWriter(size int) writer {
	w := writer{make(chan struct{}), make(chan error, 1)}
	started := make(chan struct{})
	go func() {
		err := e.seal(noise(size))
		close(started)
		for i := 0; err == nil; i++ {
			select {
			case <-w.ended:
				w.err <- e.CloseWrite()
				return
			default:
			}
			if i%16 == 0 {
				err = e.flush()
			}
			err = errors.Join(err, e.seal(noise(size)))
		}
		w.err <- err
	}()
	<-started
	return w
}

// stop ends the writer, which closes its direction.
func (w writer) stop() error {
	close(w.ended)
	return <-w.err
}

// checkStorm asks again and again without reading, in pieces as a carrier brings them, and then reads after all.
func checkStorm(k *kit) error {
	const mark = 8 << 10 // far more requests than an engine should let wait
	return k.eachEnd(func(_ *link, e *end, h *handmade) error {
		asked, taken := 0, 0
		var piece []byte
		for taken == len(piece) {
			if asked > mark {
				return fmt.Errorf("%d answers wait for Flush, and Open still takes input", asked)
			}
			var err error
			if piece, err = h.update(nil, true); err != nil {
				return err
			}
			piece = h.seal(piece, dataType, []byte("x"))
			asked++
			if taken, err = e.open(piece); err != nil || e.err != nil {
				return fmt.Errorf("after %d requests: %w", asked, errors.Join(err, e.err))
			}
		}
		if taken != 0 || len(e.got) != asked-1 {
			return fmt.Errorf("Open took %d of %d bytes, and %d bytes of data came of %d requests",
				taken, len(piece), len(e.got), asked)
		}
		if err := errors.Join(e.flush(), e.take(piece), e.flush()); err != nil {
			return fmt.Errorf("after Flush: %w", err)
		}
		_, updates, err := h.read(e.wire())
		if err != nil || updates != asked {
			return fmt.Errorf("the peer reads %d answers to %d requests: %w", updates, asked, err)
		}
		return nil
	})
}

// checkTooMuch asks so often in the bytes of one call that Open cannot stop in between.
func checkTooMuch(k *kit) error {
	const requests, most = 20_000, 256 << 10
	return k.eachEnd(func(_ *link, e *end, h *handmade) error {
		var all []byte
		var err error
		for range requests {
			if all, err = h.update(all, true); err != nil {
				return err
			}
			all = h.seal(all, dataType, []byte("x"))
		}
		taken, err := e.open(all)
		if err != nil {
			return err
		}
		if e.err == nil && taken == len(all) || e.err != nil && !errors.Is(e.err, bio.ErrTooMuch) {
			return fmt.Errorf("Open took %d of %d bytes: %v", taken, len(all), e.err)
		}
		if err := e.flush(); err != nil {
			return err
		}
		if n := len(e.wire()); n > most {
			return fmt.Errorf("%d bytes of answers were queued", n)
		}
		return nil
	})
}

// checkBadMessage sends a handshake message that cannot be, behind data.
func checkBadMessage(k *kit) error {
	return k.eachEnd(func(_ *link, e *end, h *handmade) error {
		wire := h.seal(nil, dataType, []byte(before))
		wire = h.seal(wire, handshakeType, []byte{24, 0, 0, 1, 99})
		wire = h.seal(wire, dataType, []byte(after))
		if _, err := e.open(wire); err != nil {
			return err
		}
		var alert *bio.AlertError
		if string(e.got) != before || !errors.As(e.err, &alert) || !alert.Sent {
			return fmt.Errorf("Open returned %q and %v, want %q and an AlertError that was sent", e.got, e.err, before)
		}
		if err := e.flush(); err != nil {
			return err
		}
		typ, content, err := h.open(e.wire())
		if err != nil || typ != alertType || len(content) != 2 || content[0] != 2 {
			return fmt.Errorf("it flushes a record of type %d with % x, want a fatal alert: %w", typ, content, err)
		}
		return nil
	})
}

// checkPeerAlert sends data and a fatal alert.
func checkPeerAlert(k *kit) error {
	const handshakeFailure = 40
	return k.eachEnd(func(_ *link, e *end, h *handmade) error {
		wire := h.seal(nil, dataType, []byte(before))
		wire = h.seal(wire, alertType, []byte{2, handshakeFailure})
		if _, err := e.open(wire); err != nil {
			return err
		}
		var alert *bio.AlertError
		if string(e.got) != before || !errors.As(e.err, &alert) || alert.Sent || alert.Alert != handshakeFailure {
			return fmt.Errorf("Open returned %q and %v, want %q and the AlertError %d that was received",
				e.got, e.err, before, handshakeFailure)
		}
		if err := e.flush(); err != nil || len(e.sent) > 0 {
			return fmt.Errorf("it answers an alert with %d bytes: %w", len(e.wire()), err)
		}
		return nil
	})
}
