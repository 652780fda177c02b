package dtls

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"sync"
)

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

// decodeState reads an encoded State.
func decodeState(data []byte) (*exported, error) {
	x := &exported{}
	d := stateDecoders.Get().(*stateDecoder)
	if err := d.decode(data, x); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHandOver, err)
	}
	stateDecoders.Put(d) // not after an error, which stays with a decoder
	return x, nil
}

// flaw returns what is wrong with an exported state, by what must be true of every established connection.
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

// A stateDecoder decodes one State after the other. Each begins with the description of its types, always the same, for
// which package gob would make a machine that it uses once; that costs more than the rest of the hand-over. So the
// description is given to one gob.Decoder once, and only the value of what follows.
type stateDecoder struct {
	types []byte // what gob knows; nil: nothing yet
	in    bytes.Reader
	gob   *gob.Decoder
}

var stateDecoders = sync.Pool{New: func() any { return new(stateDecoder) }}

func (d *stateDecoder) decode(data []byte, x *exported) error {
	n := valueAt(data)
	if d.gob != nil && n > 0 && bytes.Equal(d.types, data[:n]) {
		d.in.Reset(data[n:])
		return d.gob.Decode(x)
	}
	d.in.Reset(data)
	d.types, d.gob = bytes.Clone(data[:n]), gob.NewDecoder(&d.in)
	return d.gob.Decode(x)
}

// valueAt returns where in a gob stream the first message with a value begins: behind those that describe types, whose
// number is negative. It returns 0 for what is no such stream. See "Encoding Details" of package encoding/gob.
func valueAt(data []byte) int {
	for at := 0; ; {
		size, prefix := gobUint(data[at:])
		rest := data[at+prefix:]
		if prefix == 0 || size > uint64(len(rest)) {
			return 0
		}
		typ, n := gobUint(rest[:size])
		switch {
		case n == 0:
			return 0
		case typ&1 == 0: // the sign of an integer is its lowest bit
			return at
		}
		at += prefix + int(size)
	}
}

// gobUint returns the number that p begins with and the length of its encoding, 0 if it is none: a byte below 128 stands
// for itself, one above is the negative count of the bytes that follow, big-endian.
func gobUint(p []byte) (v uint64, n int) {
	if len(p) == 0 {
		return 0, 0
	}
	if p[0] < 1<<7 {
		return uint64(p[0]), 1
	}
	n = 1 - int(int8(p[0]))
	if n > 9 || n > len(p) {
		return 0, 0
	}
	for _, b := range p[1:n] {
		v = v<<8 | uint64(b)
	}
	return v, n
}
