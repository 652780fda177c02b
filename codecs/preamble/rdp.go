package preamble

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

// RDP is the connection request of Remote Desktop and its confirmation, in which TLS is agreed. Behind it the client
// speaks: MCS if TLS alone was agreed, CredSSP otherwise.
//
// https://learn.microsoft.com/openspecs/windows_protocols/ms-rdpbcgr/18a27ef9-6f9a-4501-b000-94b1fe3c2c10
type RDP struct {
	// Cookie is the name of the user, or whatever a load balancer goes by, that a client sends; empty: none.
	Cookie string
	// Hybrid says that CredSSP shall follow in TLS.
	Hybrid bool
}

func init() {
	Register("rdp", Info{
		Summary: "connection request and confirmation of Remote Desktop (MS-RDPBCGR)",
		Syntax: "[OPTION[,OPTION]...]\n" +
			"OPTION  cookie=NAME  what the client sends for a load balancer (default: none)\n" +
			"        hybrid       CredSSP follows in TLS (default: nothing)",
		Example: "rdp",
		Tested:  "xrdp 0.9 as server, FreeRDP 2.11 as client",
	}, func(arg string) (frame.Preamble, error) {
		var r RDP
		err := parseOptions("rdp", arg, option{"cookie", "NAME", into(&r.Cookie)},
			option{"hybrid", "", func(string) error { r.Hybrid = true; return nil }})
		if err != nil {
			return nil, err
		}
		return r, r.check()
	})
}

const (
	tpktVersion = 3
	tpktLen     = 4
	x224Len     = 7       // of a request or confirmation, its length byte included
	rdpMaxLen   = 1 << 10 // of a message; a request with a routing token has a few hundred bytes

	x224Request      = 0xe0
	x224Confirmation = 0xd0
	x224Source       = 0x1234 // the server's reference, of which nobody makes use

	// https://learn.microsoft.com/openspecs/windows_protocols/ms-rdpbcgr/902b090b-9cb3-4efc-92bf-ee13373371e3
	rdpNegotiationLen = 8
	rdpRequest        = 1
	rdpResponse       = 2
	rdpFailure        = 3
	rdpOwn            = 0
	rdpTLS            = 1
	rdpHybrid         = 2
	rdpTLSRequired    = 1
	rdpHybridRequired = 5
)

var rdpFailures = map[uint32]string{
	1: "TLS required", 2: "TLS not allowed", 3: "no certificate", 4: "inconsistent flags", 5: "CredSSP required",
	6: "TLS with a client certificate required",
}

func (r RDP) check() error {
	if r.Cookie != "" && !isWord(r.Cookie) {
		return fmt.Errorf("rdp: bad cookie %q (allowed: printable ASCII without spaces)", r.Cookie)
	}
	return nil
}

// protocol returns what is asked for, and accepted.
func (r RDP) protocol() uint32 {
	if r.Hybrid {
		return rdpHybrid
	}
	return rdpTLS
}

// Exchange implements [frame.Preamble].
func (r RDP) Exchange(_ context.Context, p frame.Peeker, role frame.Role) error {
	if err := r.check(); err != nil {
		return err
	}
	return hold("rdp", p, role, r.client, r.server)
}

// rdpMessage returns a message: TPKT, X.224, and what follows.
func rdpMessage(kind byte, destination, source uint16, rest ...[]byte) []byte {
	more := bytes.Join(rest, nil)
	b := []byte{tpktVersion, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(tpktLen+x224Len+len(more)))
	b = append(b, byte(x224Len-1+len(more)), kind)
	b = binary.BigEndian.AppendUint16(b, destination)
	b = binary.BigEndian.AppendUint16(b, source)
	b = append(b, 0) // class
	return append(b, more...)
}

// rdpNegotiation returns the part of a message that is about TLS.
func rdpNegotiation(kind byte, value uint32) []byte {
	return binary.LittleEndian.AppendUint32([]byte{kind, 0, rdpNegotiationLen, 0}, value)
}

// An x224 is a message of the peer's.
type x224 struct {
	raw    []byte // from the X.224 length on
	source uint16
	rest   []byte // behind the X.224 header
}

// readX224 reads a message of some kind.
func readX224(t *talk, want string, kind byte) (m x224, err error) {
	if err := t.expect(string([]byte{tpktVersion}), want); err != nil {
		return m, err
	}
	head, err := t.take(tpktLen-1, want)
	if err != nil {
		return m, err
	}
	n := int(binary.BigEndian.Uint16(head[1:])) - tpktLen
	if n < x224Len || n > rdpMaxLen {
		return m, t.wrong(want, append([]byte{tpktVersion}, head...), "")
	}
	if m.raw, err = t.take(n, want); err != nil {
		return m, err
	}
	if int(m.raw[0]) != n-1 || m.raw[1] != kind {
		return m, t.wrong(want, m.raw, "")
	}
	m.source = binary.BigEndian.Uint16(m.raw[4:])
	m.rest = m.raw[x224Len:]
	return m, nil
}

func (r RDP) client(t *talk) error {
	cookie := ""
	if r.Cookie != "" {
		cookie = "Cookie: mstshash=" + r.Cookie + "\r\n"
	}
	if len(cookie) > 0xff-x224Len-rdpNegotiationLen {
		return fmt.Errorf("rdp: the cookie of %d bytes does not fit a connection request", len(r.Cookie))
	}
	request := rdpMessage(x224Request, 0, 0, []byte(cookie), rdpNegotiation(rdpRequest, r.protocol()))
	if err := t.send("the connection request", request); err != nil {
		return err
	}
	const want = "a confirmation of TLS"
	m, err := readX224(t, want, x224Confirmation)
	if err != nil {
		return err
	}
	return r.checkConfirmation(t, want, m)
}

func (r RDP) checkConfirmation(t *talk, want string, m x224) error {
	kind, value, ok := negotiation(m.rest)
	switch {
	case len(m.rest) == 0, ok && kind == rdpResponse && value == rdpOwn:
		return t.refused(want, "one of RDP's own encryption", "it is too old for TLS, or has TLS switched off")
	case !ok || len(m.rest) != rdpNegotiationLen:
		return t.wrong(want, m.raw, "")
	case kind == rdpFailure:
		return t.refused(want, fmt.Sprintf("the failure %d (%s)", value, rdpFailures[value]),
			"it wants another kind of security; see the option hybrid")
	case kind != rdpResponse || value != r.protocol():
		return t.wrong(want, m.raw, "that is not what was asked for")
	}
	return nil
}

// negotiation reads the part of a message that is about TLS.
func negotiation(p []byte) (kind byte, value uint32, ok bool) {
	if len(p) < rdpNegotiationLen || p[2] != rdpNegotiationLen || p[3] != 0 {
		return 0, 0, false
	}
	return p[0], binary.LittleEndian.Uint32(p[4:]), true
}

func (r RDP) server(t *talk) error {
	const want = "a connection request"
	m, err := readX224(t, want, x224Request)
	if err != nil {
		return err
	}
	rest := m.rest
	// A cookie, or a routing token, is a line of text.
	if end := bytes.Index(rest, []byte("\r\n")); end >= 0 && rest[0] != rdpRequest {
		rest = rest[end+2:]
	}
	kind, offered, ok := negotiation(rest)
	if len(rest) > 0 && (!ok || kind != rdpRequest) {
		return t.wrong(want, m.raw, "")
	}
	if offered&r.protocol() == 0 {
		return r.turnAway(t, m.source, offered)
	}
	answer := rdpMessage(x224Confirmation, m.source, x224Source, rdpNegotiation(rdpResponse, r.protocol()))
	return t.send("the confirmation", answer)
}

// turnAway tells a client what it should have offered.
func (r RDP) turnAway(t *talk, source uint16, offered uint32) error {
	code, need := uint32(rdpTLSRequired), "TLS"
	if r.Hybrid {
		code, need = rdpHybridRequired, "CredSSP over TLS"
	}
	answer := rdpMessage(x224Confirmation, source, x224Source, rdpNegotiation(rdpFailure, code))
	if err := t.send("the failure", answer); err != nil {
		return err
	}
	return t.refused("a request for "+need, fmt.Sprintf("one for the protocols %#x", offered),
		"allow "+need+" as security there")
}
