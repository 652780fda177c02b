package dtls

import (
	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// Open implements bio.Engine. A datagram that holds several messages yields them one behind the other: OpenBatch keeps
// them apart. Without bytes it returns what came before the handshake was done.
func (e *Engine) Open(dst, src []byte) ([]byte, bio.Status, error) {
	e.open.Lock()
	defer e.open.Unlock()
	if !e.begin(src) {
		return dst, e.status(e.consumed(src)), e.failure()
	}
	for _, raw := range e.takeEarly() {
		dst = e.openDatagram(dst, raw)
	}
	dst = e.openDatagram(dst, src)
	return dst, e.end(len(src)), e.failure()
}

// begin reports whether there is a record layer to open src with, and if not does with src what has to be done.
func (e *Engine) begin(src []byte) bool {
	switch {
	case e.failure() != nil:
		return false
	case e.peerClosed.Load():
		e.afterClosed(src)
		return false
	case e.rx == nil:
		e.shakeHands(src)
		return false
	}
	return true
}

// end returns the status after records were opened.
func (e *Engine) end(consumed int) bio.Status {
	if e.rx.newest && len(e.rx.cid) > 0 {
		e.event(bio.EventNewest)
	}
	e.rx.newest, e.said.told = false, false
	return e.status(consumed)
}

// consumed returns how much is taken of src when none of it could be opened: nothing if the engine has failed.
func (e *Engine) consumed(src []byte) int {
	if e.failure() != nil {
		return 0
	}
	return len(src)
}

func (e *Engine) afterClosed(src []byte) {
	if len(src) > 0 {
		e.stats.AfterClosed++
	}
}

// shakeHands gives a datagram to the handshake.
func (e *Engine) shakeHands(src []byte) {
	keep := e.role == frame.Client || e.mem.saidHello()
	pass := e.screen.sort(src, keep)
	for _, d := range pass {
		e.mem.deliver(d)
	}
	if e.role == frame.Server && len(pass) > 0 {
		e.start(e.shake)
	}
}

// takeEarly returns the records that came before the handshake was done.
func (e *Engine) takeEarly() [][]byte {
	if e.screen.early == nil {
		return nil
	}
	early := e.screen.early
	e.screen.early = nil
	return early
}

// openDatagram appends the messages in a datagram to dst.
func (e *Engine) openDatagram(dst, p []byte) []byte {
	for len(p) > 0 && !e.peerClosed.Load() && e.failure() == nil {
		r, rest, ok := cut(p, len(e.rx.cid))
		if !ok {
			e.stats.Malformed++
			break
		}
		p = rest
		out, typ, v := e.rx.open(dst, &r)
		if e.received(&r, typ, out[len(dst):], v) {
			dst = out
		}
	}
	return dst
}

// received deals with a record that was opened, or was not, and reports whether its content is a message.
func (e *Engine) received(r *record, typ contentType, content []byte, v verdict) bool {
	switch {
	case v != authentic:
		e.refused(r, v)
	case typ == typeData:
		e.said.over = true
		e.stats.Opened++
		return true
	case typ == typeAlert:
		e.alertIn(content)
	case typ == typeHandshake:
		e.handshakeIn(r.seq, content)
	default:
		e.stats.Unexpected++
	}
	return false
}

// refused counts a record that was dropped, and sees whether it calls for something else.
func (e *Engine) refused(r *record, v verdict) {
	e.stats.count(v)
	switch {
	case v == replayed && e.said.seen && !e.said.over && r.seq == e.said.seq:
		// A peer may repeat its Finished with the sequence number that it had; pion does if there are connection IDs.
		// So can an attacker, which costs one small datagram for each of his, and none once the peer sends data.
		e.repeat()
	case v == forged && e.rx.forged >= e.rx.maxForged:
		e.alertOut(alertFatal, alertBadRecordMAC)
		e.fail(ErrWornOut)
	case v == forged && !e.rx.warned && e.rx.forged >= e.rx.maxForged/8*7:
		e.rx.warned = true
		e.event(bio.EventRekey)
	}
}

// handshakeIn takes an authentic handshake message of an established connection.
func (e *Engine) handshakeIn(seq uint64, p []byte) {
	f, _, ok := cutFragment(p)
	switch {
	case ok && f.typ == msgFinished && !e.said.seen:
		e.said.seen, e.said.seq = true, seq
	case ok && f.typ == msgFinished:
		e.repeat()
	case ok && (f.typ == msgHelloRequest || f.typ == msgClientHello):
		// https://www.rfc-editor.org/rfc/rfc5246#section-7.2.2
		e.stats.Renegotiate++
		e.alertOut(alertWarning, alertNoRenegotiation)
	default:
		e.stats.Unexpected++
	}
}

// repeat sends the last flight again, byte for byte, if it was ours: the peer has lost it. As nothing is sealed anew,
// no nonce is used again. The sequence numbers lie below all that came since, but whoever has not got this flight has
// no keys to open those with, and its replay window is still where it was.
// https://www.rfc-editor.org/rfc/rfc6347#section-4.2.4
func (e *Engine) repeat() {
	if len(e.last) == 0 || e.said.told {
		e.stats.Unexpected++
		return
	}
	e.said.told = true
	e.stats.Repeated++
	for _, d := range e.last {
		e.out.push(d)
	}
}

// OpenBatch implements bio.Batcher.
func (e *Engine) OpenBatch(dst [][]byte, buf []byte, segment int) ([][]byte, bio.Status, error) {
	e.open.Lock()
	defer e.open.Unlock()
	if segment <= 0 {
		segment = max(len(buf), 1)
	}
	opened := false
	for rest, first := buf, true; first || len(rest) > 0; first = false {
		d := rest[:min(segment, len(rest))]
		rest = rest[len(d):]
		if opened = e.begin(d); opened {
			dst = e.openAllInPlace(dst, d)
		}
	}
	if !opened {
		return dst, e.status(e.consumed(buf)), e.failure()
	}
	return dst, e.end(len(buf)), e.failure()
}

// openAllInPlace appends the messages in a datagram, and in front of them those that came early, to dst.
func (e *Engine) openAllInPlace(dst [][]byte, p []byte) [][]byte {
	for _, raw := range e.takeEarly() {
		dst = e.openInPlace(dst, raw)
	}
	return e.openInPlace(dst, p)
}

// openInPlace appends the messages in a datagram to dst, each where its ciphertext was.
func (e *Engine) openInPlace(dst [][]byte, p []byte) [][]byte {
	for len(p) > 0 && !e.peerClosed.Load() && e.failure() == nil {
		r, rest, ok := cut(p, len(e.rx.cid))
		if !ok {
			e.stats.Malformed++
			break
		}
		p = rest
		at := min(len(r.body), e.rx.numLen)
		out, typ, v := e.rx.open(r.body[at:at], &r)
		if e.received(&r, typ, out, v) {
			dst = append(dst, out[:len(out):len(out)]) // appending to it must not reach what lies behind
		}
	}
	return dst
}

// finished is what is known of the Finished message that the peer sends.
type finished struct {
	seen bool
	seq  uint64 // of its first record
	over bool   // the peer has sent data: it does not wait for our Finished any more
	told bool   // the last flight was repeated during this call
}
