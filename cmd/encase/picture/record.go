package picture

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"strings"
)

// The layout of a record of TLS, and of DTLS, which puts epoch and sequence number before the length.
// https://www.rfc-editor.org/rfc/rfc8446#section-5.1
// https://www.rfc-editor.org/rfc/rfc6347#section-4.1
const (
	tlsHeaderLen  = 5
	dtlsHeaderLen = 13

	tlsMajor  = 0x03
	dtlsMajor = 0xfe

	maxPlain     = 1 << 14         // bytes in an unencrypted record
	maxEncrypted = maxPlain + 2048 // in an encrypted one, before TLS 1.3
)

const (
	typeCCS       = 20
	typeAlert     = 21
	typeHandshake = 22
	typeData      = 23
	typeHeartbeat = 24
	typeCID       = 25
)

// shared is what both directions of a connection know.
type shared struct {
	tls13 bool // the server has chosen TLS 1.3: change_cipher_spec means nothing, handshake records are plain
}

// length returns the length of the body of the record under way.
func (s *stream) length() int { return int(binary.BigEndian.Uint16(s.head[len(s.head)-2:])) }

func (s *stream) headerFields() []field {
	h := append([]byte(nil), s.head...)
	var fields []field
	if len(h) == dtlsHeaderLen {
		fields = s.dtlsFields(h[:11])
	} else {
		fields = []field{
			{"type", h[:1], typeName(h[0]), plain},
			{"version", h[1:3], s.versionText(binary.BigEndian.Uint16(h[1:])), plain},
		}
	}
	length := field{"length", h[len(h)-2:], count(s.length(), "byte"), plain}
	if s.length() > maxEncrypted {
		length.text, length.kind = length.text+": more than TLS allows", trouble
	}
	return append(fields, length)
}

func (s *stream) dtlsFields(h []byte) []field {
	epoch := binary.BigEndian.Uint16(h[3:])
	number := binary.BigEndian.Uint64(h[3:]) & (1<<48 - 1)
	return []field{
		{"type", h[:1], typeName(h[0]), plain},
		{"version", h[1:3], versionName(binary.BigEndian.Uint16(h[1:])), plain},
		{"epoch", h[3:5], fmt.Sprint(epoch), plain},
		{"number", h[5:11], fmt.Sprint(number), plain},
	}
}

// versionText explains the version in a record: TLS 1.3 hides behind older ones.
// https://www.rfc-editor.org/rfc/rfc8446#appendix-D
func (s *stream) versionText(v uint16) string {
	switch {
	case v == tls.VersionTLS12 && s.tls13:
		return "TLS 1.2 in name, as TLS 1.3 demands"
	case v == tls.VersionTLS10 && s.head[0] == typeHandshake:
		return "TLS 1.0 in name, as a first flight may say"
	}
	return versionName(v)
}

func (s *stream) encrypted(first []byte) []field {
	text := "encrypted"
	if s.tls13 && s.head[0] == typeData {
		const tag = 17 // and the true type
		text = fmt.Sprintf("encrypted; holds up to %s", count(max(0, s.length()-tag), "byte"))
	}
	if len(first) == 0 {
		return []field{{"", nil, text, hidden}}
	}
	return []field{{"body", first, text, hidden}}
}

// changeCipher takes in that the direction is encrypted from here on.
// https://www.rfc-editor.org/rfc/rfc8446#section-5
func (s *stream) changeCipher() []field {
	text := "from here on encrypted"
	if s.tls13 {
		text = "no meaning in TLS 1.3, for middleboxes"
	} else {
		s.secret = true
	}
	return []field{{"body", head(s.body), text, message}}
}

// https://www.rfc-editor.org/rfc/rfc8446#section-6
func alert(body []byte) []field {
	if len(body) != 2 {
		return []field{{"alert", head(body), "malformed", trouble}}
	}
	level := map[byte]string{1: "warning", 2: "fatal"}[body[0]]
	if level == "" {
		level = "unknown level"
	}
	name := strings.TrimPrefix(tls.AlertError(body[1]).Error(), "tls: ")
	return []field{{"alert", head(body), level + ": " + name, trouble}}
}

// head returns a copy of the beginning of p.
func head(p []byte) []byte { return append([]byte(nil), p[:min(len(p), hexBytes)]...) }
