package dtls

import (
	"bytes"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/gob"
	"fmt"

	"github.com/encase-tls/encase/frame"
	pion "github.com/pion/dtls/v3"
)

// How a connection changes hands, in this order:
//
//  1. memConn.mute: from here on, nothing that pion writes is sent.
//  2. export: the state that pion has after its last write. A number that pion takes later is never seen on the wire; a
//     number that it took before is below the exported one, and below is checked against what was sent.
//  3. pion.Conn.Close: its goroutines end; its close_notify is lost on the way.
//  4. Engine.takeOver: our record layer begins, with the exported number.
//
// (3 cannot come first: pion's Close uses up a number.)
//
// What pion received does not matter: it never passes data on, and all protected records were kept and are opened by
// our record layer, whose replay window begins empty.

// exported is what pion puts into the encoding of its State, by the names that gob sees. What is missing in a later
// version of pion would be zero here, and does not pass check.
type exported struct {
	HandshakeComplete                     bool
	LocalEpoch, RemoteEpoch               uint16
	LocalRandom, RemoteRandom             [32]byte
	CipherSuiteID                         uint16
	MasterSecret                          []byte
	SequenceNumber                        uint64
	PeerCertificates                      [][]byte
	IdentityHint                          []byte
	LocalConnectionID, RemoteConnectionID []byte
	IsClient                              bool
	NegotiatedProtocol                    string
}

// decodeState reads an encoded State and checks what must be true of every established connection.
func decodeState(data []byte) (*exported, error) {
	x := &exported{}
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(x); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHandOver, err)
	}
	if why := x.flaw(); why != "" {
		return nil, fmt.Errorf("%w: %s", ErrHandOver, why)
	}
	return x, nil
}

// flaw returns what is wrong with an exported state.
func (x *exported) flaw() string {
	switch {
	case !x.HandshakeComplete:
		return "the handshake is not complete"
	case x.LocalEpoch != 1 || x.RemoteEpoch != 1:
		return fmt.Sprintf("epochs %d and %d, want 1", x.LocalEpoch, x.RemoteEpoch)
	case len(x.MasterSecret) != len(secrets{}.master) || allZero(x.MasterSecret):
		return fmt.Sprintf("a master secret of %d bytes", len(x.MasterSecret))
	case allZero(x.LocalRandom[:]) || allZero(x.RemoteRandom[:]):
		return "a random is missing"
	case suiteByID(x.CipherSuiteID) == nil:
		return fmt.Sprintf("cipher suite %#04x", x.CipherSuiteID)
	case x.SequenceNumber == 0 || x.SequenceNumber > maxSeq:
		return fmt.Sprintf("sequence number %d: Finished had one", x.SequenceNumber)
	case len(x.LocalConnectionID) > maxCIDLen || len(x.RemoteConnectionID) > maxCIDLen:
		return "a connection ID that is too long"
	}
	return ""
}

func allZero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

// secrets returns the secrets of the connection.
func (x *exported) secrets() *secrets {
	s := &secrets{suite: suiteByID(x.CipherSuiteID), client: x.LocalRandom, server: x.RemoteRandom}
	if !x.IsClient {
		s.client, s.server = s.server, s.client
	}
	copy(s.master[:], x.MasterSecret)
	return s
}

// An estate is what the record layer takes over.
type estate struct {
	secrets  *secrets
	tx       *sender
	rx       *receiver
	last     [][]byte // datagrams to repeat when the peer repeats its Finished; nil if the peer had the last word
	identity []byte   // of a PSK: the client's for a server, the server's hint for a client
	state    tls.ConnectionState
}

// export takes the connection away from pion, which has completed its handshake and is mute. sent is what it has said.
func (h *handshake) export(sent *trace) (*estate, error) {
	state, ok := h.conn.ConnectionState()
	if !ok {
		return nil, fmt.Errorf("%w: pion has no state", ErrHandOver)
	}
	data, err := state.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHandOver, err)
	}
	x, err := decodeState(data)
	clear(data)
	if err != nil {
		return nil, err
	}
	if x.IsClient != (h.role == frame.Client) {
		return nil, fmt.Errorf("%w: the role is another one", ErrHandOver)
	}
	if !sent.full {
		// pion negotiates no connection IDs when it resumes, but a server remembers what the client has asked for.
		x.LocalConnectionID, x.RemoteConnectionID = nil, nil
	}
	est := &estate{secrets: x.secrets(), identity: x.IdentityHint}
	if err := est.agree(&state); err != nil {
		return nil, err
	}
	if (h.role == frame.Server) == sent.full { // the server has the last word, but the client if they resume
		est.last = sent.last
	}
	if err := est.protect(x, h, sent); err != nil {
		return nil, err
	}
	est.state, err = h.connectionState(x, !sent.full)
	return est, err
}

// agree compares keying material that pion exports with what our secrets yield: if the two agree, then so do master
// secret, randoms, roles and pseudorandom function.
func (est *estate) agree(state *pion.State) error {
	const label, n = "EXPERIMENTAL encase hand-over", 32
	theirs, err := state.ExportKeyingMaterial(label, nil, n)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrHandOver, err)
	}
	ours, err := est.secrets.export(label, nil, n)
	if err == nil && subtle.ConstantTimeCompare(ours, theirs) != 1 {
		err = fmt.Errorf("%w: the secrets yield other keys than pion's", ErrHandOver)
	}
	return err
}

// protect makes both directions of the record layer.
func (est *estate) protect(x *exported, h *handshake, sent *trace) error {
	write, read, err := est.secrets.protections(h.role)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrHandOver, err)
	}
	write.identify(x.RemoteConnectionID)
	read.identify(x.LocalConnectionID)
	est.tx = &sender{
		protection: write,
		number:     1<<48 | max(x.SequenceNumber, sent.seq),
		blocks:     write.maxBlocks,
	}
	est.rx = &receiver{protection: read, seen: newWindow(h.settings.ReplayWindow)}
	return nil
}

// connectionState returns what the handshake agreed on.
func (h *handshake) connectionState(x *exported, resumed bool) (tls.ConnectionState, error) {
	cs, err := describe(x.CipherSuiteID, x.NegotiatedProtocol, x.PeerCertificates)
	if err != nil {
		return cs, err
	}
	cs.HandshakeComplete, cs.DidResume = true, resumed
	h.complete(&cs)
	return cs, nil
}

// describe returns a ConnectionState with what pion says of a connection.
func describe(suite uint16, alpn string, certificates [][]byte) (tls.ConnectionState, error) {
	cs := tls.ConnectionState{Version: VersionDTLS12, CipherSuite: suite, NegotiatedProtocol: alpn}
	for _, der := range certificates {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return cs, fmt.Errorf("dtls: the peer's certificate: %w", err)
		}
		cs.PeerCertificates = append(cs.PeerCertificates, c)
	}
	return cs, nil
}
