package dtls

import "github.com/encase-tls/encase/bio"

// Seal implements bio.Engine: one message, one record, one datagram. p may also lie exactly where its ciphertext will:
// Front bytes behind the end of dst, in the room that dst has; then nothing is copied. A message that is too long is
// refused with a *TooLongError, and an empty one makes no record.
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
		return &TooLongError{Len: len(p), Limit: MaxMessage}
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
		e.event(EventRekey)
		e.notify()
	}
}

// SealBatch seals messages into datagrams that lie side by side, as one send with UDP segmentation offload wants
// them: all of the length segment, except that the last may be shorter. It appends them to dst and returns how many
// messages it took; it stops before one that would make a longer datagram, behind one that makes a shorter, and
// before one that cannot be sealed. An error says why it could not seal the first; dst is then as it was.
//
// A message may lie exactly where its ciphertext will, as for Seal; an empty one makes an empty record, unlike there.
// What a send can carry (64 segments and 65507 bytes, on Linux) is for the caller to respect, by passing no more.
func (e *Engine) SealBatch(dst []byte, messages [][]byte) (out []byte, segment, n int, err error) {
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
		dst = e.sealMessage(dst, messages[n])
		n++
		if len(messages[n-1]) < size {
			break
		}
	}
	e.tire()
	return dst, size + e.tx.overhead(), n, nil
}
