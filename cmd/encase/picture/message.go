package picture

import "fmt"

const (
	messageHeaderLen = 4  // type, length
	dtlsMessageLen   = 12 // and number, offset, length of the fragment

	// maxMessage bounds what is kept of a handshake message that comes in several records. A hello is far smaller;
	// certificates that are larger are named and not read.
	maxMessage = 32 << 10
)

// messages puts together the handshake messages of one direction of TLS. A record may hold several, and one may take
// several records.
type messages struct {
	have []byte // of a message that is not complete
	skip int    // bytes of one that was too long
}

// read takes the body of a handshake record. It keeps body.
func (m *messages) read(body []byte, known *shared) []field {
	var fields []field
	if n := min(m.skip, len(body)); n > 0 {
		m.skip -= n
		fields = append(fields, field{"message", head(body), fmt.Sprintf("goes on, %d bytes to come", m.skip), plain})
		body = body[n:]
	}
	begun := len(m.have)
	m.have = append(m.have, body...)
	for len(m.have) >= messageHeaderLen {
		n := messageHeaderLen + uint24(m.have[1:])
		first := m.have[:messageHeaderLen:messageHeaderLen]
		text := fmt.Sprintf("%s, %s", messageName(first[0]), count(n-messageHeaderLen, "byte"))
		if n <= len(m.have) {
			fields = append(fields, describe(first, text, m.have[messageHeaderLen:n], known)...)
			m.have, begun = m.have[n:], 0
			continue
		}
		if begun == 0 {
			fields = append(fields, field{"message", first, text + "; the next record has more", message})
		} else {
			text = fmt.Sprintf("goes on, %d bytes to come", n-len(m.have))
			fields = append(fields, field{"message", nil, text, plain})
		}
		if n > maxMessage {
			m.skip, m.have = n-len(m.have), nil
		}
		return fields
	}
	if len(m.have) > 0 {
		fields = append(fields, field{"message", m.have, "begins; the next record has more", message})
	}
	return fields
}

// describe returns the fields of a complete message.
func describe(first []byte, text string, body []byte, known *shared) []field {
	var said []string
	ok := true
	switch first[0] {
	case clientHello:
		said, ok = readClientHello(body)
	case serverHello:
		var h serverChoice
		h, ok = readServerHello(body)
		if ok {
			known.tls13 = h.tls13()
			said = h.said()
		}
	}
	if !ok {
		text += ", malformed"
	}
	fields := []field{{"message", first, text, message}}
	for _, s := range said {
		fields = append(fields, field{"", nil, s, message})
	}
	return fields
}

// dtlsMessage describes the body of a handshake record of DTLS. What is cut into fragments is named and not read.
// https://www.rfc-editor.org/rfc/rfc6347#section-4.2.2
func dtlsMessage(body []byte) []field {
	var fields []field
	for len(body) > 0 {
		if len(body) < dtlsMessageLen || uint24(body[9:]) > len(body)-dtlsMessageLen {
			return append(fields, field{"message", head(body), "malformed", trouble})
		}
		h := body[:dtlsMessageLen]
		length, at, part := uint24(h[1:]), uint24(h[6:]), uint24(h[9:])
		text := fmt.Sprintf("%s, %s, number %d", messageName(h[0]), count(length, "byte"), uint16(h[4])<<8|uint16(h[5]))
		if part != length {
			text += fmt.Sprintf("; bytes %d to %d of it", at, at+part)
			fields = append(fields, field{"message", head(h), text, message})
		} else {
			fields = append(fields, describeDTLS(head(h), text, body[dtlsMessageLen:][:part])...)
		}
		body = body[dtlsMessageLen+part:]
	}
	return fields
}

func describeDTLS(first []byte, text string, body []byte) []field {
	return describe(first, text, body, new(shared)) // DTLS 1.2 means what change_cipher_spec says
}

func uint24(p []byte) int { return int(p[0])<<16 | int(p[1])<<8 | int(p[2]) }
