package bio

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
)

var (
	// ErrNotOpen says that the handshake is not done yet.
	ErrNotOpen = errors.New("bio: the handshake is not done")

	// ErrWriteClosed says that CloseWrite has been called.
	ErrWriteClosed = errors.New("bio: closed for writing")

	// ErrTruncated says that the carrier ended without the peer's close_notify: an attacker, a crash or a peer that
	// does not close TLS may have cut data off. It wraps io.ErrUnexpectedEOF.
	ErrTruncated = fmt.Errorf("bio: the carrier ended before the peer closed TLS (close_notify): %w",
		io.ErrUnexpectedEOF)

	// ErrTooMuch says that the peer made the engine queue more answers than it is worth: it asks and does not read.
	ErrTooMuch = errors.New("bio: the peer demands answers (KeyUpdate) and does not read them")

	// ErrAborted is what Abort(nil) leaves.
	ErrAborted = errors.New("bio: aborted")
)

// An AlertError says that a TLS alert ended the connection, and who sent it.
// https://www.rfc-editor.org/rfc/rfc8446#section-6.2
type AlertError struct {
	// Sent: this end refused the peer's bytes or certificate and told it so. Otherwise the peer refused ours.
	Sent  bool
	Alert tls.AlertError // the code; 0 if it was sent encrypted and the stack does not tell
	Err   error          // the stack's own description, such as a *tls.CertificateVerificationError
}

func (e *AlertError) Error() string {
	if e.Sent {
		return fmt.Sprintf("bio: this end refuses the peer: %v", e.Err)
	}
	return fmt.Sprintf("bio: the peer refuses this end: %v (alert %d)", e.Alert, uint8(e.Alert))
}

func (e *AlertError) Unwrap() error { return e.Err }

// alertOf finds the alert in an error of crypto/tls, whose own type for it is not exported: a uint8 in a *net.OpError.
// op is "remote error" for one that the peer sent and "local error" for one that this end sent.
func alertOf(err error, op string) (tls.AlertError, bool) {
	var e *net.OpError
	if !errors.As(err, &e) || e.Op != op || e.Err == nil {
		return 0, false
	}
	v := reflect.ValueOf(e.Err)
	if v.Kind() != reflect.Uint8 {
		return 0, false
	}
	return tls.AlertError(v.Uint()), true
}
