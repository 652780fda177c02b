package dtls

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"weak"

	"github.com/encase-tls/encase/frame"
	pion "github.com/pion/dtls/v3"
)

// How a connection changes hands, in this order:
//
//  1. memConn.mute: from here on, nothing that pion writes is sent.
//  2. export: the state that pion has after its last write, as it is known without asking (overheard.go), else as pion
//     encodes it. What was sent says which numbers are used up; a number that pion takes later is never seen on the
//     wire. Nothing is continued unless our keys open what pion has sealed, under the nonce that we expect.
//  3. pion.Conn.Close: its goroutines end; its close_notify is lost on the way.
//  4. Engine.takeOver: our record layer begins, with the next number.
//
// (3 cannot come first: pion's Close uses up a number.)
//
// What pion received does not matter: it never passes data on, and all protected records were kept and are opened by
// our record layer, whose replay window begins empty.

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
	last     [][]byte            // datagrams to repeat when the peer repeats its Finished; nil if the peer had the last word
	identity []byte              // of a PSK: the client's for a server, the server's hint for a client
	state    tls.ConnectionState // without certificates
	papers   papers

	mu     sync.Mutex
	parsed weak.Pointer[tls.ConnectionState] // with certificates, as long as anybody may ask again soon
}

// connectionState returns what the handshake agreed on.
func (est *estate) connectionState() tls.ConnectionState {
	if len(est.papers.sent) == 0 {
		return est.state
	}
	est.mu.Lock()
	defer est.mu.Unlock()
	if cs := est.parsed.Value(); cs != nil {
		return *cs
	}
	cs := est.state
	est.papers.describe(&cs)
	est.parsed = weak.Make(&cs)
	return cs
}

// errResumedCID: the server waits for a connection ID in our Finished, where pion has put none.
var errResumedCID = errors.New("dtls: the server resumes the session with connection IDs, which this stack " +
	"cannot do: connect again, the session is forgotten")

// export takes the connection away from pion, which has completed its handshake and is mute. sent is what it has said.
func (h *handshake) export(sent *trace) (*estate, error) {
	state, ok := h.conn.ConnectionState()
	if !ok {
		return nil, fmt.Errorf("%w: pion has no state", ErrHandOver)
	}
	hello := parseServerHello(sent.heard.certain())
	if hello != nil && hello.hasCID && !sent.full {
		return nil, errResumedCID
	}
	x, err := h.overheard(&state, hello, sent)
	if err == nil {
		if est, err := h.inherit(x, sent); err == nil {
			return est, nil
		}
	}
	if x, err = encoded(&state); err != nil {
		return nil, err
	}
	return h.inherit(x, sent)
}

// encoded returns what pion exports.
func encoded(state *pion.State) (*exported, error) {
	data, err := state.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHandOver, err)
	}
	defer clear(data)
	return decodeState(data)
}

// inherit makes the estate of a connection whose state is x, if x is its state.
func (h *handshake) inherit(x *exported, sent *trace) (*estate, error) {
	if why := x.flaw(); why != "" {
		return nil, fmt.Errorf("%w: %s", ErrHandOver, why)
	}
	if x.IsClient != (h.role == frame.Client) {
		return nil, fmt.Errorf("%w: the role is another one", ErrHandOver)
	}
	if !sent.full {
		// pion negotiates no connection IDs when it resumes, but a server remembers what the client has asked for.
		x.LocalConnectionID, x.RemoteConnectionID = nil, nil
	}
	est := &estate{secrets: x.secrets(), identity: x.IdentityHint}
	if err := est.protect(x, h, sent); err != nil {
		return nil, err
	}
	if err := est.agree(sent.sealed); err != nil {
		return nil, err
	}
	if (h.role == frame.Server) == sent.full { // the server has the last word, but the client if they resume
		est.last = sent.last
	}
	var err error
	est.state, est.papers, err = h.agreed(x, !sent.full)
	return est, err
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

// agree opens a record that pion has sealed, its Finished, with the keys that ours will be sealed with: if that works,
// then secrets, randoms, roles, pseudorandom function, cipher and connection ID are those that pion has, and pion's
// records number their nonces as ours do.
func (est *estate) agree(sealed []byte) error {
	r, _, ok := cut(sealed, len(est.tx.cid))
	if !ok {
		return fmt.Errorf("%w: pion has sent no protected record", ErrHandOver)
	}
	own := receiver{protection: est.tx.protection, seen: newWindow(minWindow)}
	if _, _, v := own.open(nil, &r); v != authentic {
		return fmt.Errorf("%w: the keys do not open what pion has sealed", ErrHandOver)
	}
	if own.numLen > 0 && binary.BigEndian.Uint64(r.body) != uint64(r.epoch)<<48|r.seq {
		return fmt.Errorf("%w: pion's nonces are not its record numbers", ErrHandOver)
	}
	return nil
}

// agreed returns what the handshake agreed on.
func (h *handshake) agreed(x *exported, resumed bool) (tls.ConnectionState, papers, error) {
	cs, err := h.describe(x.CipherSuiteID, x.NegotiatedProtocol, x.PeerCertificates)
	if err != nil {
		return cs, papers{}, err
	}
	p := filed(x.PeerCertificates, cs.VerifiedChains)
	cs.HandshakeComplete, cs.DidResume = true, resumed
	cs.PeerCertificates, cs.VerifiedChains = nil, nil
	return cs, p, nil
}
