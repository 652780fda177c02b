package dtls

import "encoding/binary"

// A trace is what the datagrams that pion has sent say about its handshake. They are our own end's, so they can be
// believed; what came from the peer is not in it.
type trace struct {
	serverHello bool     // a ServerHello
	heard       hearing  // its body; a client's is that which it was given
	full        bool     // a message that is only in full handshakes: this one resumes no session
	seq         uint64   // one more than the highest sequence number used in epoch 1
	sealed      []byte   // the newest record of epoch 1, to the end of its datagram
	last        [][]byte // the newest datagrams from the one with ChangeCipherSpec on: the end of the newest flight
	alert       [2]byte  // the newest unprotected alert; level 0: none
}

// note takes a datagram in.
func (t *trace) note(d []byte) {
	t.heard.listen(d)
	ends := false
	for p := d; len(p) >= headerLen; {
		if contentType(p[0]) == typeCID {
			// The length of the peer's connection ID is not known here. But only Finished carries one, and it is the
			// last record of its flight.
			t.used(binary.BigEndian.Uint64(p[3:]), p)
			break
		}
		r, rest, ok := cut(p, 0)
		if !ok {
			break
		}
		t.noteRecord(&r)
		ends = ends || r.typ == typeCCS
		p = rest
	}
	switch {
	case ends:
		t.last = [][]byte{d}
	case t.last != nil:
		t.last = append(t.last, d)
	}
}

// used notes epoch‖sequence of a record, with which raw begins.
func (t *trace) used(number uint64, raw []byte) {
	if number>>48 == 1 {
		t.seq = max(t.seq, number&maxSeq+1)
		t.sealed = raw
	}
}

func (t *trace) noteRecord(r *record) {
	t.used(uint64(r.epoch)<<48|r.seq, r.raw)
	switch {
	case r.epoch > 0:
	case r.typ == typeAlert && len(r.body) == 2:
		t.alert = [2]byte(r.body)
	case r.typ == typeHandshake && len(r.body) > 0:
		t.serverHello = t.serverHello || r.body[0] == msgServerHello
		t.full = t.full || r.body[0] == msgServerHelloDone || r.body[0] == msgClientKeyExchange
	}
}
