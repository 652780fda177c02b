package pionv2

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	pion "github.com/pion/dtls/v2"
	"github.com/pion/logging"
)

var (
	errTimeout  = fmt.Errorf("pionv2: no handshake within %v: %w", HandshakeTimeout, os.ErrDeadlineExceeded)
	errHandOver = errors.New("pionv2: cannot take the connection over from the handshake")
)

// run makes the handshake, on a goroutine of its own. Once pion is mute its state is exported: whatever it does
// afterwards, in its Close for example, nobody sees, and the numbers that it uses for that are as good as unused.
func (e *Engine) run(ctx context.Context) {
	ctx, stop := context.WithTimeoutCause(ctx, HandshakeTimeout, errTimeout)
	defer stop()
	config := *e.pion
	var chains [][]*x509.Certificate
	config.VerifyPeerCertificate = func(raw [][]byte, verified [][]*x509.Certificate) error {
		chains = verified
		if f := e.pion.VerifyPeerCertificate; f != nil {
			return f(raw, verified)
		}
		return nil
	}
	shake := pion.ClientWithContext
	if e.role == frame.Server {
		shake = pion.ServerWithContext
	}
	conn, err := shake(ctx, e.net, &config)
	sent := e.net.mute()
	if err != nil {
		e.refuse(blame(err, &sent, context.Cause(ctx)))
		e.net.Close()
		return
	}
	e.takeOver(conn, &sent, chains)
	conn.Close()
}

// blame says whose fault it is that the handshake failed.
func blame(err error, sent *trace, cause error) error {
	var alert interface { // pion's type for the peer's alert is not exported, but what it can do is
		IsFatalOrCloseNotify() bool
		Marshal() ([]byte, error)
	}
	if errors.As(err, &alert) {
		if p, merr := alert.Marshal(); merr == nil && len(p) == 2 {
			return &bio.AlertError{Alert: tls.AlertError(p[1]), Err: err}
		}
	}
	switch {
	case errors.Is(cause, errTimeout):
		return fmt.Errorf("%w: the peer does not answer, or not with what is of use", errTimeout)
	case len(sent.alert) == 2 && sent.alert[0] == alertFatal:
		return &bio.AlertError{Sent: true, Alert: tls.AlertError(sent.alert[1]), Err: err}
	}
	return fmt.Errorf("pionv2: %w", err)
}

// exported is what pion puts into the encoding of its State, by the names that gob sees.
type exported struct {
	LocalEpoch, RemoteEpoch   uint16
	LocalRandom, RemoteRandom [32]byte
	CipherSuiteID             uint16
	MasterSecret              []byte
	SequenceNumber            uint64
	PeerCertificates          [][]byte
	IsClient                  bool
}

// takeOver ends the handshake: the record layer of this package begins.
func (e *Engine) takeOver(conn *pion.Conn, sent *trace, chains [][]*x509.Certificate) {
	state := conn.ConnectionState()
	data, err := state.MarshalBinary()
	var x exported
	if err == nil {
		err = gob.NewDecoder(bytes.NewReader(data)).Decode(&x)
	}
	if err == nil && (x.LocalEpoch != 1 || x.RemoteEpoch != 1 || len(x.MasterSecret) != 48 || sent.next == 0 ||
		x.IsClient != (e.role == frame.Client)) {
		err = errors.New("its state is not that of an established connection")
	}
	var tx *sealer
	var rx *opener
	if err == nil {
		tx, rx, err = x.keys(max(sent.next, 1<<48|x.SequenceNumber))
	}
	cs, cerr := x.describe(chains)
	if err = errors.Join(err, cerr); err != nil {
		e.refuse(fmt.Errorf("%w: %w", errHandOver, err))
		return
	}
	if e.role == frame.Client {
		cs.ServerName = e.tls.ServerName
	}
	x.log(e.tls.KeyLogWriter)
	e.established(tx, rx, cs, sent.last)
}

// describe returns what the handshake agreed on.
func (x *exported) describe(chains [][]*x509.Certificate) (cs tls.ConnectionState, err error) {
	cs = tls.ConnectionState{
		Version: VersionDTLS12, HandshakeComplete: true, CipherSuite: x.CipherSuiteID, VerifiedChains: chains,
	}
	for _, der := range x.PeerCertificates {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return cs, err
		}
		cs.PeerCertificates = append(cs.PeerCertificates, c)
	}
	return cs, nil
}

// keyLog guards the KeyLogWriters of all configurations, as crypto/tls does with its own.
var keyLog sync.Mutex

func (x *exported) log(w io.Writer) {
	if w == nil {
		return
	}
	random := x.LocalRandom
	if !x.IsClient {
		random = x.RemoteRandom
	}
	keyLog.Lock()
	defer keyLog.Unlock()
	fmt.Fprintf(w, "CLIENT_RANDOM %x %x\n", random, x.MasterSecret)
}

// silence is a logger for what is told by errors.
type silence struct{}

// NewLogger implements logging.LoggerFactory.
func (silence) NewLogger(scope string) logging.LeveledLogger {
	return logging.NewDefaultLeveledLoggerForScope(scope, logging.LogLevelDisabled, io.Discard)
}
