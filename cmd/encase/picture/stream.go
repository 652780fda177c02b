package picture

import (
	"encoding/binary"
	"fmt"
)

// A stream finds records in the bytes of one direction, wherever frames cut them.
type stream struct {
	*shared
	along  *shadow
	header int  // length of the codec's last header
	dtls   bool // records of DTLS have been seen
	lost   bool // what came is no TLS: the ends of records are not known any more
	secret bool // change_cipher_spec has been seen

	head     []byte // of the record under way, as far as it is there
	body     []byte // of the record under way, if it can be read
	got      int    // bytes of the body that have come
	messages messages
}

// dissect returns the fields of the records in p. It keeps nothing of p, but its result does.
func (s *stream) dissect(p []byte) []field {
	var fields []field
	for len(p) > 0 {
		if s.lost {
			return append(fields, field{"bytes", p, count(len(p), "byte") + " that are not TLS", trouble})
		}
		var f []field
		if s.headerDone() {
			f, p = s.resume(p)
		} else {
			f, p = s.begin(p)
		}
		if len(fields) > 0 && len(f) > 0 && f[0].name == "type" {
			fields = append(fields, field{kind: between})
		}
		fields = append(fields, f...)
	}
	if s.dtls && len(s.head) > 0 {
		fields = append(fields, field{text: "the datagram ends inside the record", kind: trouble})
		s.endRecord()
	}
	return fields
}

// begin takes the header of a record, or a part of it, and as much of its body as there is.
func (s *stream) begin(p []byte) ([]field, []byte) {
	had := len(s.head)
	for !s.headerDone() && len(p) > 0 {
		s.head, p = append(s.head, p[0]), p[1:]
		if !s.plausible() {
			return s.refuse(p)
		}
	}
	switch {
	case s.dtls && s.head[0] == typeCID && s.headerDone():
		return s.connectionID(p)
	case !s.headerDone():
		part := append([]byte(nil), s.head[had:]...)
		return []field{{"record", part, "its header goes on in the next frame", plain}}, p
	}
	fields := s.headerFields()
	f, rest := s.take(p)
	return append(fields, f...), rest
}

func (s *stream) headerDone() bool { return len(s.head) > 0 && len(s.head) == s.headerLen() }

func (s *stream) headerLen() int {
	if len(s.head) > 1 && s.head[1] == dtlsMajor {
		return dtlsHeaderLen
	}
	return tlsHeaderLen
}

// plausible reports whether what is there can begin a record.
func (s *stream) plausible() bool {
	h := s.head
	switch {
	case h[0] < typeCCS || h[0] > typeCID:
		return false
	case len(h) > 1 && h[1] == dtlsMajor:
		s.dtls = true
	case len(h) > 1 && (h[1] != tlsMajor || h[0] == typeCID || s.dtls):
		return false
	}
	return true
}

func (s *stream) refuse(rest []byte) ([]field, []byte) {
	bytes := append(s.head, rest...)
	s.head = nil
	s.lost = !s.dtls // the next datagram is a new start
	return []field{{"bytes", bytes, count(len(bytes), "byte") + " that are not TLS", trouble}}, nil
}

// connectionID describes a record whose header has a part of unknown length.
// https://www.rfc-editor.org/rfc/rfc9146#section-4
func (s *stream) connectionID(rest []byte) ([]field, []byte) {
	const epochEnd, number = 5, 11
	fields := s.dtlsFields(s.head[:number])
	body := append(append([]byte(nil), s.head[number:]...), rest...)
	s.endRecord()
	return append(fields, field{"body", head(body), "connection ID, length, encrypted data", hidden}), nil
}

// take takes the body, or a part of it, of a record that begins in this frame.
func (s *stream) take(p []byte) ([]field, []byte) {
	n := min(len(p), s.length())
	part, rest := p[:n], p[n:]
	whole := n == s.length()
	f := field{"body", head(part), "", hidden}
	s.collect(part)
	switch {
	case whole:
		return s.finish(head(part)), rest
	case n == 0:
		f.text = "its body comes with the next frame"
	case s.readable():
		f.text, f.kind = fmt.Sprintf("%s: %d of %d bytes", s.begins(part[0]), n, s.length()), plain
	default:
		f.text = fmt.Sprintf("encrypted, begins: %d of %d bytes", n, s.length())
	}
	return []field{f}, rest
}

// begins names what starts in a body whose first byte is b.
func (s *stream) begins(b byte) string {
	if s.head[0] == typeHandshake && len(s.messages.have) == 0 && s.messages.skip == 0 {
		return messageName(b) + " begins"
	}
	return "begins"
}

// resume takes what a frame has of a record that began in an earlier one.
func (s *stream) resume(p []byte) ([]field, []byte) {
	n := min(len(p), s.length()-s.got)
	part, rest := p[:n], p[n:]
	s.collect(part)
	left := s.length() - s.got
	f := field{"record", head(part), fmt.Sprintf("goes on: %s, %d to come", count(n, "byte"), left), hidden}
	if s.readable() {
		f.kind = plain
	}
	if left > 0 {
		return []field{f}, rest
	}
	f.text = fmt.Sprintf("ends: the last %s of %d", count(n, "byte"), s.length())
	return append([]field{f}, s.finish(nil)...), rest
}

// readable reports whether the body of the record under way is not encrypted.
func (s *stream) readable() bool {
	if len(s.head) == dtlsHeaderLen {
		return binary.BigEndian.Uint16(s.head[3:]) == 0
	}
	switch s.head[0] {
	case typeCCS:
		return true
	case typeHandshake, typeAlert:
		return s.tls13 || !s.secret
	}
	return false
}

// collect keeps what can be read of a body, and counts the rest.
func (s *stream) collect(part []byte) {
	s.got += len(part)
	if s.readable() && s.length() <= maxPlain {
		s.body = append(s.body, part...)
	}
}

// finish describes the body of a record that is complete. first is its beginning, if that is in this frame.
func (s *stream) finish(first []byte) []field {
	defer s.endRecord()
	switch {
	case !s.readable():
		return s.encrypted(first)
	case len(s.body) < s.length():
		return []field{{"body", first, "too long to be read", trouble}}
	case s.head[0] == typeHandshake && s.dtls:
		return dtlsMessage(s.body)
	case s.head[0] == typeHandshake:
		return s.messages.read(s.body, s.shared)
	case s.head[0] == typeAlert:
		return alert(s.body)
	case s.head[0] == typeCCS:
		return s.changeCipher()
	}
	return []field{{"body", first, "not encrypted", plain}}
}

func (s *stream) endRecord() { s.head, s.body, s.got = nil, nil, 0 }
