package dtls

import (
	"crypto/rand"
	"fmt"
)

// PeekCID returns the connection ID that the records of a datagram carry, for whoever has one socket and many
// connections; it aliases p. All connections of the socket must use connection IDs of cidLen bytes, since the length
// is not in the record. ok is false if there is none: handshakes begin without, and peers need not agree to it.
//
// Nothing about the datagram has been proven: give it to the connection that has this ID, and if that reports
// EventNewest, send to where it came from. https://www.rfc-editor.org/rfc/rfc9146#section-6
func PeekCID(p []byte, cidLen int) (cid []byte, ok bool) {
	for len(p) > 0 && cidLen > 0 {
		r, rest, whole := cut(p, cidLen)
		if !whole {
			return nil, false
		}
		if r.typ == typeCID {
			return r.cid, true
		}
		p = rest
	}
	return nil, false
}

// newCID returns the connection ID for a new connection.
func (s *settings) newCID() []byte {
	if s.NewCID == nil {
		cid := make([]byte, s.CIDLen)
		rand.Read(cid)
		return cid
	}
	cid := s.NewCID()
	if len(cid) != s.CIDLen {
		panic(fmt.Sprintf("dtls: Options.NewCID returned %d bytes, CIDLen is %d", len(cid), s.CIDLen))
	}
	return cid
}
