package dtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	pion "github.com/pion/dtls/v3"
)

// A handshake drives pion over a memConn, on a goroutine of its own, until pion is done or gives up.
type handshake struct {
	*settings
	role     frame.Role
	conn     *pion.Conn
	mem      *memConn
	sessions pion.SessionStore // nil: none
	started  atomic.Bool
	ctx      context.Context // ends when the engine gives up
	cancel   context.CancelCauseFunc

	// What callbacks have learned. They run on a goroutine of pion's, which is done with them before the handshake is.
	serverName string
	chains     [][]*x509.Certificate
	secret     loggedSecret
	cid        []byte // that this end has asked for
}

// errTimeout is a timeout to whoever asks for one with errors.Is or as a net.Error.
var errTimeout = fmt.Errorf("dtls: no handshake within Options.HandshakeTimeout: %w", os.ErrDeadlineExceeded)

// newHandshake prepares a handshake; nothing runs yet.
func newHandshake(s *settings, role frame.Role, mem *memConn, stored func()) (*handshake, error) {
	if err := s.fit(role); err != nil {
		return nil, err
	}
	h := &handshake{settings: s, role: role, mem: mem, sessions: s.sessionStore(role, stored)}
	var err error
	if role == frame.Client {
		h.conn, err = h.client()
	} else {
		h.conn, err = h.server()
	}
	if err != nil {
		return nil, fmt.Errorf("dtls: %w", err)
	}
	h.ctx, h.cancel = context.WithCancelCause(context.Background())
	return h, nil
}

// run makes the handshake and ends pion. The result is the estate or what went wrong.
func (h *handshake) run() (*estate, error) {
	timer := time.AfterFunc(h.HandshakeTimeout, func() { h.cancel(errTimeout) })
	defer timer.Stop()
	err := h.conn.HandshakeContext(h.ctx)
	sent := h.mem.mute()
	var est *estate
	if err == nil {
		est, err = h.export(&sent)
	} else {
		err = h.blame(err, &sent, context.Cause(h.ctx))
	}
	h.conn.Close() // what it returns says how the memConn ended, which is known
	if est != nil {
		h.logKeys(est.secrets)
	}
	return est, err
}

// blame says whose fault it is that the handshake failed.
func (h *handshake) blame(err error, sent *trace, cause error) error {
	if alert, ok := received(err); ok {
		return &bio.AlertError{Alert: alert, Err: err}
	}
	switch {
	case errors.Is(cause, errTimeout):
		return fmt.Errorf("%w: the peer does not answer, or not with what is of use", errTimeout)
	case sent.alert[0] == alertFatal:
		return &bio.AlertError{Sent: true, Alert: tls.AlertError(sent.alert[1]), Err: err}
	}
	return fmt.Errorf("dtls: %w", err)
}

// keyLog guards the KeyLogWriters of all configurations, as crypto/tls does with its own.
var keyLog sync.Mutex

// logKeys writes the secret in the format that other programs read. pion's own log has the wrong random when a server
// resumes.
func (h *handshake) logKeys(s *secrets) {
	if h.tls.KeyLogWriter == nil {
		return
	}
	keyLog.Lock()
	defer keyLog.Unlock()
	fmt.Fprintf(h.tls.KeyLogWriter, "CLIENT_RANDOM %x %x\n", s.client, s.master)
}
