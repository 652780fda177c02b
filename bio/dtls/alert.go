package dtls

import (
	"crypto/tls"
	"errors"

	"github.com/encase-tls/encase/bio"
)

// Alerts. https://www.rfc-editor.org/rfc/rfc5246#section-7.2
const (
	alertWarning = 1
	alertFatal   = 2

	alertCloseNotify     = 0
	alertBadRecordMAC    = 20
	alertNoRenegotiation = 100
)

// alertIn takes an authentic alert of an established connection.
func (e *Engine) alertIn(p []byte) {
	switch {
	case len(p) == 2 && p[1] == alertCloseNotify:
		e.peerClosed.Store(true)
		e.event(bio.EventPeerClosed)
		if e.writeClosed.Load() {
			e.setPhase(bio.PhaseClosed)
		}
	case len(p) == 2 && p[0] == alertFatal:
		// https://www.rfc-editor.org/rfc/rfc5246#section-7.2.2: the session must not be resumed.
		e.forget()
		e.fail(&bio.AlertError{Alert: tls.AlertError(p[1])})
	default:
		e.stats.Unexpected++
	}
}

// alertOut seals an alert and queues it.
func (e *Engine) alertOut(level, description byte) {
	e.seal.Lock()
	defer e.seal.Unlock()
	e.queueAlert(level, description)
}

// queueAlert is alertOut for a caller that holds e.seal. Alerts may exceed the limit of the cipher, which has a
// margin; a sequence number may not.
func (e *Engine) queueAlert(level, description byte) {
	if e.tx.number&maxSeq < maxSeq {
		e.out.push(e.tx.seal(nil, typeAlert, []byte{level, description}))
	}
}

// received returns the alert that the peer sent, if that is what ended pion's handshake. pion's type for it is not
// exported, but what it can do is.
func received(err error) (tls.AlertError, bool) {
	var alert interface {
		IsFatalOrCloseNotify() bool
		Marshal() ([]byte, error)
	}
	if !errors.As(err, &alert) {
		return 0, false
	}
	p, err := alert.Marshal()
	if err != nil || len(p) != 2 {
		return 0, false
	}
	return tls.AlertError(p[1]), true
}
