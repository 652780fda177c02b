package dtls

import (
	"crypto/rand"
	"fmt"
)

// newCID returns the connection ID that this end asks for.
func (h *handshake) newCID() []byte {
	h.cid = h.settings.newCID()
	return h.cid
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
		panic(fmt.Sprintf("dtls: NewCID returned %d bytes, CIDLen is %d", len(cid), s.CIDLen))
	}
	return cid
}
