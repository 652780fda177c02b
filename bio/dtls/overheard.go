package dtls

import (
	"bytes"
	"encoding/hex"
	"fmt"

	"github.com/encase-tls/encase/frame"
	pion "github.com/pion/dtls/v3"
	"golang.org/x/crypto/cryptobyte"
)

// pion has its state encoded by package gob, with a description of all its types each time, which takes longer than the
// rest of the hand-over. Nearly always that can be done without: the ServerHello has been seen, the datagrams that pion
// has sent say what numbers it has used, and its key log has the secret. What was put together so is believed only if
// it opens what pion has sealed (estate.agree); else pion is asked.

// overheard returns what pion would export, from what it has said anyway.
func (h *handshake) overheard(state *pion.State, hello *serverHello, sent *trace) (*exported, error) {
	logged := h.secret.known && (h.role == frame.Client || sent.full) // a server that resumes logs another random
	if hello == nil || !logged {
		return nil, fmt.Errorf("%w: not all of it was heard", ErrHandOver)
	}
	x := &exported{
		HandshakeComplete: true, LocalEpoch: 1, RemoteEpoch: 1,
		CipherSuiteID:      uint16(state.CipherSuiteID),
		MasterSecret:       h.secret.master[:],
		SequenceNumber:     sent.seq,
		PeerCertificates:   state.PeerCertificates,
		IdentityHint:       state.IdentityHint,
		IsClient:           h.role == frame.Client,
		NegotiatedProtocol: state.NegotiatedProtocol,
	}
	x.LocalRandom, x.RemoteRandom = h.secret.client, hello.random
	if !x.IsClient {
		x.LocalRandom, x.RemoteRandom = x.RemoteRandom, x.LocalRandom
	}
	if hello.hasCID {
		x.LocalConnectionID, x.RemoteConnectionID = h.cid, bytes.Clone(hello.cid)
		if !x.IsClient {
			x.RemoteConnectionID = sent.peerCID(suiteByID(x.CipherSuiteID))
		}
	}
	return x, nil
}

// peerCID returns the connection ID in the last record of pion's, a Finished: what its length leaves for it.
func (t *trace) peerCID(s *suite) []byte {
	if s == nil || len(t.sealed) == 0 || contentType(t.sealed[0]) != typeCID {
		return nil
	}
	body := s.cipher.numLen + msgHeaderLen + verifyDataLen + 1 + s.cipher.tagLen
	n := len(t.sealed) - headerLen - body
	if n <= 0 || n > maxCIDLen {
		return nil
	}
	return bytes.Clone(t.sealed[cidOffset:][:n])
}

// A loggedSecret is the line that pion writes into a key log when it has the secret.
type loggedSecret struct {
	known  bool
	client [32]byte // random
	master [48]byte
}

// Write implements io.Writer.
func (s *loggedSecret) Write(p []byte) (int, error) {
	words := bytes.Fields(p)
	s.known = len(words) == 3 && string(words[0]) == "CLIENT_RANDOM" &&
		decodeHex(s.client[:], words[1]) && decodeHex(s.master[:], words[2])
	return len(p), nil
}

func decodeHex(dst, p []byte) bool {
	if len(p) != hex.EncodedLen(len(dst)) {
		return false
	}
	_, err := hex.Decode(dst, p)
	return err == nil
}

// A serverHello is what this package wants to know of one.
type serverHello struct {
	random [32]byte
	hasCID bool
	cid    []byte // that the server wants to get
}

// https://www.rfc-editor.org/rfc/rfc9146#section-3
const extConnectionID = 54

// parseServerHello reads the body of a ServerHello, which cid is a part of then; nil if it is none.
// https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.3
func parseServerHello(p []byte) *serverHello {
	h, s := &serverHello{}, cryptobyte.String(p)
	var session, extensions cryptobyte.String
	if !s.Skip(2) || !s.CopyBytes(h.random[:]) || !s.ReadUint8LengthPrefixed(&session) || !s.Skip(3) {
		return nil
	}
	if s.Empty() {
		return h
	}
	if !s.ReadUint16LengthPrefixed(&extensions) || !s.Empty() || !h.extend(extensions) {
		return nil
	}
	return h
}

// extend reads extensions, and reports whether they are some.
func (h *serverHello) extend(extensions cryptobyte.String) bool {
	for !extensions.Empty() {
		var typ uint16
		var content, cid cryptobyte.String
		if !extensions.ReadUint16(&typ) || !extensions.ReadUint16LengthPrefixed(&content) {
			return false
		}
		if typ != extConnectionID {
			continue
		}
		if h.hasCID || !content.ReadUint8LengthPrefixed(&cid) || !content.Empty() {
			return false
		}
		h.hasCID, h.cid = true, cid
	}
	return true
}

// A hearing takes the ServerHello from datagrams. It is certain only if there was one and no other, and that whole:
// pion takes the first, or puts it together, and somebody may have sent another.
type hearing struct {
	hello    []byte // its body
	doubtful bool
}

// certain returns the body of the ServerHello, nil if it may be another than pion has seen.
func (h *hearing) certain() []byte {
	if h.doubtful {
		return nil
	}
	return h.hello
}

// listen takes in a datagram, which must not change any more.
func (h *hearing) listen(d []byte) {
	for len(d) > 0 {
		r, rest, ok := cut(d, 0)
		if !ok || r.epoch > 0 {
			return
		}
		d = rest
		for p := r.body; r.typ == typeHandshake && len(p) > 0; {
			f, rest, ok := cutFragment(p)
			if !ok {
				return
			}
			if f.typ == msgServerHello {
				h.take(p[msgHeaderLen:][:f.len], f.len == f.length)
			}
			p = rest
		}
	}
}

func (h *hearing) take(body []byte, whole bool) {
	if !whole || h.hello != nil && !bytes.Equal(h.hello, body) {
		h.doubtful = true
		return
	}
	h.hello = body
}
