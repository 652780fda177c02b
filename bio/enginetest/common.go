package enginetest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/encase-tls/encase/bio"
)

var commonRules = []rule{
	{"Session", 0, checkSession,
		"Open takes bytes from the peer and appends the application data in them to dst."},
	{"Append", 0, checkAppend,
		"Seal and Flush append to dst, as cipher.AEAD does; the bytes of a result are the caller's."},
	{"NotTheEnd", 0, checkNotTheEnd,
		"Before the handshake is done, and after CloseWrite, Seal returns ErrNotOpen or ErrWriteClosed; these two " +
			"are no end of the engine."},
	{"SealOne", 0, checkSealOne,
		"Seal appends one record with a prefix of p and returns how many bytes of p it took. Overhead returns the " +
			"most bytes that it adds."},
	{"HalfClose", 0, checkHalfClose,
		"CloseWrite queues the close_notify alert; reading goes on. Calling it again does nothing."},
	{"Concurrent", 0, checkConcurrent,
		"One goroutine may call Open while another calls Seal, Flush or CloseWrite. State may be called at any time."},
}

// sizes of messages: around the borders of small things, and more than one record.
var sizes = []int{1, 2, 15, 16, 17, 255, 256, 1399, 4096, bio.MaxPlaintext - 1, bio.MaxPlaintext, bio.MaxPlaintext + 1}

// datagramSizes fit one datagram of the least MTU that a carrier may have.
var datagramSizes = []int{1, 2, 15, 16, 17, 255, 256, 1024}

func (k *kit) sizes() []int {
	if k.stack.Datagram {
		return datagramSizes
	}
	return sizes
}

// noise returns n bytes that look like nothing, the same at every call.
func noise(n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{'n'}).Read(p)
	return p
}

func checkSession(k *kit) error {
	l, err := k.pair()
	if err != nil {
		return err
	}
	for _, e := range l.ends() {
		if s := e.State(); s.Phase != bio.PhaseHandshake || s.TLS.Version != 0 || e.Overhead() != 0 {
			return fmt.Errorf("State of a new %s is %+v, Overhead %d", e.name, s, e.Overhead())
		}
	}
	if err := l.handshake(); err != nil {
		return err
	}
	for _, size := range k.sizes() {
		for _, e := range l.ends() {
			if err := l.talk(e, noise(size)); err != nil {
				return fmt.Errorf("%d bytes from the %s: %w", size, e.name, err)
			}
		}
	}
	for _, e := range l.ends() {
		if n := e.count(bio.EventHandshakeDone); n != 1 {
			return fmt.Errorf("the %s had EventHandshakeDone %d times, want 1", e.name, n)
		}
		if got := e.State().TLS; got.Version != k.version || got.CipherSuite == 0 {
			return fmt.Errorf("State of the %s has version %x and suite %x, want version %x",
				e.name, got.Version, got.CipherSuite, k.version)
		}
	}
	return nil
}

// checkAppend keeps what calls return, fills the room behind it, and looks whether later calls touch either.
func checkAppend(k *kit) error {
	l, err := k.open()
	if err != nil {
		return err
	}
	for _, e := range l.ends() {
		var kept, copies [][]byte
		for i := range 8 {
			arena := bytes.Repeat([]byte{poison}, 4096)
			out, n, err := e.Seal(arena[:32], noise(100))
			if err != nil || n != 100 {
				return fmt.Errorf("Seal of the %s took %d bytes of 100: %v", e.name, n, err)
			}
			if &out[0] != &arena[0] {
				return fmt.Errorf("Seal of the %s left dst, which has room for it", e.name)
			}
			kept, copies = append(kept, arena), append(copies, bytes.Clone(arena))
			if _, err := e.peer.open(out[32:]); err != nil || len(e.peer.got) != 100*(i+1) {
				return fmt.Errorf("the %s has %d bytes, want %d: %v", e.peer.name, len(e.peer.got), 100*(i+1), err)
			}
		}
		if err := e.CloseWrite(); err != nil {
			return err
		}
		e.Flush(nil, 0)
		for i, arena := range kept {
			if !bytes.Equal(arena, copies[i]) {
				return fmt.Errorf("a later call wrote into the array of result %d of the %s", i, e.name)
			}
		}
	}
	return nil
}

func checkNotTheEnd(k *kit) error {
	l, err := k.pair()
	if err != nil {
		return err
	}
	for _, e := range l.ends() {
		if out, n, err := e.Seal([]byte(prefix), noise(10)); string(out) != prefix || n != 0 || err != bio.ErrNotOpen {
			return fmt.Errorf("Seal before the handshake: %q, %d, %v", out, n, err)
		}
		if err := e.CloseWrite(); err != bio.ErrNotOpen {
			return fmt.Errorf("CloseWrite before the handshake: %v", err)
		}
	}
	if err := l.handshake(); err != nil {
		return err
	}
	for _, e := range l.ends() {
		if err := l.talk(e, noise(10)); err != nil {
			return err
		}
	}
	if err := l.client.CloseWrite(); err != nil {
		return err
	}
	out, n, err := l.client.Seal([]byte(prefix), noise(10))
	if string(out) != prefix || n != 0 || err != bio.ErrWriteClosed {
		return fmt.Errorf("Seal after CloseWrite: %q, %d, %v", out, n, err)
	}
	return l.talk(&l.server, noise(10))
}

func checkSealOne(k *kit) error {
	l, err := k.open()
	if err != nil {
		return err
	}
	if err := l.settle(); err != nil { // what the handshake left would come with the first record
		return err
	}
	for _, e := range l.ends() {
		if out, n, err := e.Seal(nil, nil); len(out) != 0 || n != 0 || err != nil {
			return fmt.Errorf("Seal of nothing by the %s: %d bytes, %d, %v", e.name, len(out), n, err)
		}
		for _, size := range append(k.sizes(), 100, 1350) {
			out, n, err := e.Seal(nil, noise(size))
			if err != nil || n != min(size, bio.MaxPlaintext) {
				return fmt.Errorf("Seal of %d bytes by the %s took %d: %v", size, e.name, n, err)
			}
			if over := len(out) - n; over > e.Overhead() || over <= 0 {
				return fmt.Errorf("a record of the %s with %d bytes adds %d, Overhead says %d",
					e.name, n, over, e.Overhead())
			}
			if r := records(out); !k.stack.Datagram && len(r) != 1 {
				return fmt.Errorf("Seal of %d bytes by the %s made %d records", size, e.name, len(r))
			}
		}
	}
	return nil
}

// records cuts stream bytes into records. The last may be short.
func records(p []byte) (list [][]byte) {
	const header = 5
	for len(p) >= header {
		n := min(header+int(p[3])<<8+int(p[4]), len(p))
		list, p = append(list, p[:n]), p[n:]
	}
	if len(p) > 0 {
		list = append(list, p)
	}
	return list
}

func checkHalfClose(k *kit) error {
	for _, first := range []int{0, 1} {
		l, err := k.open()
		if err != nil {
			return err
		}
		if err := l.halfClose(l.ends()[first]); err != nil {
			return fmt.Errorf("the %s closes first: %w", l.ends()[first].name, err)
		}
	}
	return nil
}

func (l *link) halfClose(e *end) error {
	if err := errors.Join(e.seal(noise(100)), e.CloseWrite(), e.CloseWrite()); err != nil {
		return err
	}
	if err := l.until("close_notify", func() bool { return e.peer.count(bio.EventPeerClosed) > 0 }); err != nil {
		return err
	}
	if len(e.peer.got) != 100 {
		return fmt.Errorf("%d bytes came before close_notify, want 100", len(e.peer.got))
	}
	if s := e.peer.State(); !s.PeerClosed || s.WriteClosed || s.Phase != bio.PhaseOpen {
		return fmt.Errorf("State of the other end is %+v", s)
	}
	if err := e.peer.TransportEOF(); err != nil {
		return fmt.Errorf("TransportEOF after close_notify: %w", err)
	}
	if n, err := e.peer.open(noise(100)); n != 100 || err != nil || e.peer.err != nil {
		return fmt.Errorf("100 bytes after close_notify: %d taken: %w", n, errors.Join(err, e.peer.err))
	}
	if err := l.talk(e.peer, noise(300)); err != nil {
		return err
	}
	if err := e.peer.CloseWrite(); err != nil {
		return err
	}
	return l.until("both ends to be closed", func() bool {
		return e.State().Phase == bio.PhaseClosed && e.peer.State().Phase == bio.PhaseClosed
	})
}

// checkConcurrent lets both ends seal and open at once. It is for the race detector, and for the order on the wire.
func checkConcurrent(k *kit) error {
	l, err := k.open()
	if err != nil {
		return err
	}
	if err := l.settle(); err != nil {
		return err
	}
	const messages, size = 400, 700
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i, e := range l.ends() {
		wire := make(chan []byte, 4)
		wg.Go(func() { errs[2*i] = e.sealInto(wire, messages, size) })
		wg.Go(func() { errs[2*i+1] = e.peer.openFrom(wire, messages*size) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (e *end) sealInto(wire chan<- []byte, messages, size int) error {
	defer close(wire)
	p := noise(messages * size)
	for len(p) > 0 {
		out, n, err := e.Seal(nil, p[:size])
		if err != nil || n != size {
			return fmt.Errorf("Seal of the %s took %d of %d bytes: %v", e.name, n, size, err)
		}
		wire <- out
		p = p[n:]
		e.State()
	}
	return nil
}

// openFrom takes what comes; it does not stop at an error, or the other end would wait for it.
func (e *end) openFrom(wire <-chan []byte, size int) (err error) {
	e.got = nil
	for src := range wire {
		if _, oneErr := e.open(src); err == nil {
			err = errors.Join(oneErr, e.failed())
		}
		e.State()
	}
	if err == nil && !bytes.Equal(e.got, noise(size)) {
		err = fmt.Errorf("what the %s got in %d bytes is not what was sent", e.name, len(e.got))
	}
	return err
}
