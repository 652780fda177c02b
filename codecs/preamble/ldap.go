package preamble

import (
	"context"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

// LDAP is the extended operation StartTLS of a directory. Behind it the client speaks.
//
// https://www.rfc-editor.org/rfc/rfc4511.html#section-4.14
type LDAP struct{}

func init() {
	Register("ldap", Info{
		Summary: "StartTLS of an LDAP directory (RFC 4511)",
		Example: "ldap",
		Tested:  "OpenLDAP 2.5 slapd and ldapsearch -ZZ, openssl s_client 3.0 and stunnel 5.68 as clients",
	}, without("ldap", LDAP{}))
}

const (
	ldapStartTLS = "1.3.6.1.4.1.1466.20037"

	// https://www.rfc-editor.org/rfc/rfc4511.html#appendix-B
	berInteger       = 0x02
	berOctets        = 0x04
	berEnumerated    = 0x0a
	berSequence      = 0x30
	ldapUnbind       = 0x42
	ldapAbandon      = 0x50
	ldapSearch       = 0x63
	ldapExtended     = 0x77
	ldapExtendedDone = 0x78
	ldapRequestName  = 0x80 // of an extended request
	ldapResponseName = 0x8a

	// https://www.rfc-editor.org/rfc/rfc4511.html#appendix-A
	ldapSuccess          = 0
	ldapConfidentiality  = 13
	ldapMaxMessage       = 8 << 10 // bytes of a message
	ldapStartTLSSequence = 1       // the number of the client's request
)

var ldapResults = map[byte]string{
	1: "operationsError", 2: "protocolError", 8: "strongerAuthRequired", 10: "referral",
	12: "unavailableCriticalExtension", 13: "confidentialityRequired", 50: "insufficientAccessRights", 51: "busy",
	52: "unavailable", 53: "unwillingToPerform", 80: "other",
}

// Exchange implements [frame.Preamble].
func (l LDAP) Exchange(_ context.Context, p frame.Peeker, role frame.Role) error {
	return hold("ldap", p, role, l.client, l.server)
}

func (LDAP) client(t *talk) error {
	operation := appendBER(nil, ldapExtended, appendBER(nil, ldapRequestName, []byte(ldapStartTLS)))
	if err := t.send("StartTLS", ldapMessage([]byte{ldapStartTLSSequence}, operation)); err != nil {
		return err
	}
	const want = "success to StartTLS"
	m, err := readLDAP(t, want)
	if err != nil {
		return err
	}
	code, text, ok := ldapResult(m.contents)
	result := fmt.Sprintf("the result %d %s with the text %s", code, ldapResults[code], show(text))
	switch {
	case m.tag != ldapExtendedDone || !ok:
		return t.wrong(want, m.raw, "")
	case m.number == 0:
		return t.refused(want, "a notice that it disconnects: "+result, notServing)
	case m.number != ldapStartTLSSequence:
		return t.wrong(want, m.raw, "that answers another request than ours")
	case code != ldapSuccess:
		return t.refused(want, result, notNow)
	}
	return nil
}

// An ldapOperation is a message of the peer's.
type ldapOperation struct {
	number   int
	id       []byte // its number as it was written
	tag      byte
	contents []byte
	raw      []byte // all of it
}

// ldapMessage returns a message around an operation.
func ldapMessage(id, operation []byte) []byte {
	return appendBER(nil, berSequence, appendBER(nil, berInteger, id), operation)
}

// readLDAP reads a message.
func readLDAP(t *talk, want string) (m ldapOperation, err error) {
	length, err := ldapLength(t, want)
	if err != nil {
		return m, err
	}
	if m.raw, err = t.take(length, want); err != nil {
		return m, err
	}
	tag, id, rest, ok := cutBER(m.raw)
	if ok = ok && tag == berInteger && len(id) >= 1 && len(id) <= 4 && id[0] < 0x80; ok {
		m.id = id
		for _, c := range id {
			m.number = m.number<<8 | int(c)
		}
		m.tag, m.contents, _, ok = cutBER(rest) // what follows are controls
	}
	if !ok {
		const harmless = 8 // bytes: a password cannot be among them
		return m, t.wrong(want, m.raw[:min(len(m.raw), harmless)], "that is no message of LDAP")
	}
	return m, nil
}

// ldapLength reads the head of a message and returns the length of its contents.
func ldapLength(t *talk, want string) (int, error) {
	head, err := t.take(2, want)
	if err != nil {
		return 0, err
	}
	if head[0] != berSequence {
		return 0, t.wrong(want, head, "")
	}
	if more := head[1]; more > 0x80 && more <= 0x84 {
		rest, err := t.take(int(more-0x80), want)
		if err != nil {
			return 0, err
		}
		head = append(head, rest...)
	}
	_, n, ok := berLength(head[1:])
	if !ok || n > ldapMaxMessage {
		return 0, t.wrong(want, head, fmt.Sprintf("not a length of at most %d bytes", ldapMaxMessage))
	}
	return n, nil
}

// ldapResult returns the code and the diagnostic text of a result.
func ldapResult(p []byte) (code byte, text []byte, ok bool) {
	tag, value, p, ok := cutBER(p)
	if !ok || tag != berEnumerated || len(value) != 1 {
		return 0, nil, false
	}
	if tag, _, p, ok = cutBER(p); !ok || tag != berOctets { // the matched name
		return 0, nil, false
	}
	tag, text, _, ok = cutBER(p)
	return value[0], text, ok && tag == berOctets
}

func (LDAP) server(t *talk) error {
	const want = "StartTLS"
	odd := "" // the first operation that needs TLS
	for range maxCommands {
		m, err := readLDAP(t, want)
		if err != nil {
			return err
		}
		name := ""
		if tag, value, _, ok := cutBER(m.contents); m.tag == ldapExtended && ok && tag == ldapRequestName {
			name = string(value)
		}
		switch {
		case name == ldapStartTLS:
			return t.send("the answer", ldapAnswer(m, ldapSuccess, "", appendBER(nil, ldapResponseName, []byte(name))))
		case m.tag == ldapUnbind && odd != "":
			return t.refused(want, odd, "the client goes on without TLS; make StartTLS compulsory there")
		case m.tag == ldapUnbind:
			return t.refused(want, "an unbind request", "the client goes away; does it want no TLS?")
		case m.tag == ldapAbandon:
			continue
		}
		if err := t.send("the answer", ldapAnswer(m, ldapConfidentiality, "StartTLS first", nil)); err != nil {
			return err
		}
		if odd == "" {
			odd = fmt.Sprintf("a request of type %d", m.tag&0x1f)
		}
	}
	return t.wrong(want, nil, fmt.Sprintf("%d other requests; make StartTLS compulsory there", maxCommands))
}

// ldapAnswer returns the answer to a request. It has the tag that follows the request's, but for a search, which ends
// with the one after that. The answer to a request that does not exist is never looked at.
func ldapAnswer(m ldapOperation, code byte, text string, more []byte) []byte {
	tag := m.tag&0x1f | 0x60
	switch m.tag {
	case ldapSearch:
		tag += 2
	default:
		tag++
	}
	return ldapMessage(m.id, appendBER(nil, tag,
		[]byte{berEnumerated, 1, code}, appendBER(nil, berOctets), appendBER(nil, berOctets, []byte(text)), more))
}
