package dtls

import (
	"slices"

	"github.com/encase-tls/encase/bio"
)

// Seal implements bio.Engine: one message, one record, one datagram. p may also lie exactly where its ciphertext will:
// Front bytes behind the end of dst, in the room that dst has; then nothing is copied. A message that is too long is
// refused with a *bio.TooLongError, and an empty one makes no record.
func (e *Engine) Seal(dst, p []byte) ([]byte, int, error) {
	e.seal.Lock()
	defer e.seal.Unlock()
	if err := e.writable(); err != nil || len(p) == 0 {
		return dst, 0, err
	}
	if err := e.sealable(p); err != nil {
		return dst, 0, err
	}
	dst = e.sealMessage(dst, p)
	e.tire()
	return dst, len(p), nil
}

// writable returns why nothing can be sealed. The caller holds e.seal.
func (e *Engine) writable() error {
	switch {
	case e.failure() != nil:
		return e.failure()
	case e.tx == nil:
		return bio.ErrNotOpen
	case e.writeClosed.Load():
		return bio.ErrWriteClosed
	}
	return nil
}

// sealable returns why this message cannot be sealed.
func (e *Engine) sealable(p []byte) error {
	switch {
	case len(p) > MaxMessage:
		return &bio.TooLongError{Len: len(p), Limit: MaxMessage}
	case e.tx.worn(len(p)):
		return ErrWornOut
	}
	return nil
}

func (e *Engine) sealMessage(dst, p []byte) []byte {
	e.sealed++
	return e.tx.seal(dst, typeData, p)
}

// tire tells, once, that the keys will soon be worn out.
func (e *Engine) tire() {
	if e.tx.tiring() {
		e.event(bio.EventRekey)
		e.notify()
	}
}

// SealBatch implements bio.Batcher. A message may lie exactly where its ciphertext will, as for Seal.
func (e *Engine) SealBatch(dst []byte, messages [][]byte, head, tail int) (out []byte, segment, n int, err error) {
	e.seal.Lock()
	defer e.seal.Unlock()
	if err := e.writable(); err != nil || len(messages) == 0 {
		return dst, 0, 0, err
	}
	if err := e.sealable(messages[0]); err != nil {
		return dst, 0, 0, err
	}
	size := len(messages[0])
	for n < len(messages) && len(messages[n]) <= size && e.sealable(messages[n]) == nil {
		dst = grow(e.sealMessage(grow(dst, head), messages[n]), tail)
		n++
		if len(messages[n-1]) < size {
			break
		}
	}
	e.tire()
	return dst, head + size + e.tx.overhead() + tail, n, nil
}

// grow makes dst n bytes longer, which are not written.
func grow(dst []byte, n int) []byte { return slices.Grow(dst, n)[:len(dst)+n] }
