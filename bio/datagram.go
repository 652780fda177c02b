package bio

import (
	"encoding/binary"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

// What engines for datagrams have besides Engine, each of it optional: Notifier, Batcher, Identified, Exporter.

// Events of engines for datagrams.
const (
	// EventNewest says that a record was authentic and newer than all before it. It comes only if the peer's records
	// carry a connection ID: then the address it came from is the peer's, as far as DTLS can tell. Whoever moves a
	// connection to a new address on this event should know that an attacker on the path can forward a record first.
	// https://www.rfc-editor.org/rfc/rfc9146#section-6
	EventNewest Events = 1 << 6
	// EventRekey says that one eighth is left of what the keys may be used for: make a new connection.
	// https://www.rfc-editor.org/rfc/rfc9147#section-4.5.3
	EventRekey Events = 1 << 7
)

// A Notifier is an Engine that can have something to do although nobody has called it, as one whose handshake has
// timers of its own.
type Notifier interface {
	// Ready returns a channel that delivers when there is output for Flush, or an event or an error for Tick, that no
	// call has reported. When it has delivered, call Tick and Flush, and Open without bytes after EventHandshakeDone.
	Ready() <-chan struct{}
}

// A Batcher is an Engine for datagrams that seals and opens many of them at once. Its methods count as Seal and Open.
type Batcher interface {
	// SealBatch seals messages into datagrams that lie side by side, as one send with UDP segmentation offload wants
	// them: all of the length segment, except that the last may be shorter. In front of each record head bytes are left
	// free and behind it tail bytes, which count in segment and are not written, for the frame around it. It appends
	// the datagrams to dst and returns how many messages it took; it stops before one that would make a longer
	// datagram, behind one that makes a shorter, and before one that cannot be sealed. An error says why it could not
	// seal the first; dst is then as it was. An empty message makes an empty record.
	//
	// What a send can carry (64 segments and 65507 bytes, on Linux) is for the caller to respect, by passing no more.
	SealBatch(dst []byte, messages [][]byte, head, tail int) (out []byte, segment, n int, err error)

	// OpenBatch opens, in place, the datagrams of one receive: buf holds them side by side, each of segment bytes except
	// that the last may be shorter, as UDP receive offload delivers them; segment 0 says that buf is one datagram. It
	// appends the messages to dst, each of its own; they alias buf, except for those that came before the handshake was
	// done. Errors and Status are those of Open; messages come together with the error that followed them.
	OpenBatch(dst [][]byte, buf []byte, segment int) (messages [][]byte, st Status, err error)
}

// An Identified is an Engine whose peer may put a connection ID into its records.
type Identified interface {
	// LocalCID returns the connection ID that the peer's records carry, for PeekCID to find; nil if they carry none,
	// and before the handshake is done.
	LocalCID() []byte
}

// An Exporter is an Engine whose State().TLS cannot export keying material, and which does it itself.
type Exporter interface {
	// ExportKeyingMaterial returns n bytes that only the two ends of this connection know, for the use that label
	// names. A nil context is not the same as an empty one. Before the handshake is done it returns ErrNotOpen.
	// https://www.rfc-editor.org/rfc/rfc5705
	ExportKeyingMaterial(label string, context []byte, n int) ([]byte, error)
}

// A TooLongError says that a message does not fit one datagram. Nothing of it was sent; the connection goes on.
type TooLongError struct {
	Len, Limit int // bytes
}

func (e *TooLongError) Error() string {
	return fmt.Sprintf("bio: a message of %d bytes is too long, the limit is %d: "+
		"a datagram is sent whole or not at all", e.Len, e.Limit)
}

// Unwrap returns frame.ErrTooLarge: the caller's fault.
func (e *TooLongError) Unwrap() error { return frame.ErrTooLarge }

// PeekCID returns the connection ID that the DTLS 1.2 records of a datagram carry, for whoever has one socket and many
// connections; it aliases p. All connections of the socket must use connection IDs of cidLen bytes, since the length
// is not in the record. ok is false if there is none: handshakes begin without, and peers need not agree to it.
//
// Nothing about the datagram has been proven: give it to the connection that has this ID, and if that reports
// EventNewest, send to where it came from. https://www.rfc-editor.org/rfc/rfc9146#section-6
func PeekCID(p []byte, cidLen int) (cid []byte, ok bool) {
	const typeCID, headerLen, cidOffset = 25, 13, 11 // | type | version 2 | epoch 2 | sequence 6 | CID | length 2 |
	for cidLen > 0 && len(p) >= headerLen {
		header := headerLen
		if p[0] == typeCID {
			header += cidLen
		}
		if len(p) < header {
			break
		}
		end := header + int(binary.BigEndian.Uint16(p[header-2:]))
		switch {
		case len(p) < end:
			return nil, false
		case p[0] == typeCID:
			return p[cidOffset : cidOffset+cidLen : cidOffset+cidLen], true
		}
		p = p[end:]
	}
	return nil, false
}
