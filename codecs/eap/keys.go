package eap

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"

	"github.com/encase-tls/encase/frame"
)

// A Key is an MSK or EMSK: 64 bytes that both ends of an authentication know, and nobody else. It does not show itself
// when it is printed.
type Key [64]byte

// Format implements fmt.Formatter: whatever the verb, it does not show the key.
func (Key) Format(f fmt.State, _ rune) { io.WriteString(f, "(secret)") }

// MarshalText refuses to write the key into a file.
func (Key) MarshalText() ([]byte, error) { return nil, errors.New("eap: a Key is not for files") }

// A Result is what comes of an authentication, the receiver's to keep. SessionID names it; both ends have the same.
// https://www.rfc-editor.org/rfc/rfc5247.html#section-1.2
type Result struct {
	Identity  string // what the peer calls itself; nothing proves it but, perhaps, its certificate
	MSK, EMSK Key
	SessionID []byte
	TLS       tls.ConnectionState
}

// OnHandshake implements wrap.HandshakeObserver: it derives the keys, and asks Options.Authorize.
func (m *Machine) OnHandshake(ev []frame.Event, state *tls.ConnectionState) ([]frame.Event, error) {
	if m.state == over {
		return ev, m.ended
	}
	m.result.TLS = *state
	if err := m.deriveKeys(state); err != nil {
		return m.fail(ev, err), err
	}
	m.established, m.version = true, state.Version
	m.clockAfterHandshake()
	if m.role == frame.Server && m.o.Authorize != nil {
		if err := m.o.Authorize(m.result.Identity, state); err != nil {
			m.refused = fmt.Errorf("eap: not authorized: %w", err)
		}
	}
	switch {
	case !m.turn:
		return ev, nil
	case m.role == frame.Server:
		return m.decide(ev), nil
	case m.out.due():
		return m.sendFragment(ev), nil
	}
	return m.sendTLS(ev, 0, 0, nil), nil
}

// clockAfterHandshake stops the clock of an end that has the turn: it need not speak for the sake of speaking.
func (m *Machine) clockAfterHandshake() {
	if m.turn {
		m.clock.stop()
	}
}

// Keys returns the MSK, once TLS is established. It is the Machine's: do not change it.
func (m *Machine) Keys() (msk *Key, ok bool) { return &m.result.MSK, m.established }

// Identity returns what the peer calls itself, "" on a server that has not heard it.
func (m *Machine) Identity() string { return m.result.Identity }

// deriveKeys exports the keys from TLS.
// https://www.rfc-editor.org/rfc/rfc5216.html#section-2.3,
// https://www.rfc-editor.org/rfc/rfc9190.html#section-2.3
func (m *Machine) deriveKeys(state *tls.ConnectionState) error {
	label, context := "client EAP encryption", []byte(nil)
	if state.Version >= tls.VersionTLS13 {
		label, context = "EXPORTER_EAP_TLS_Key_Material", []byte{typeTLS}
	}
	r := &m.result
	material, err := state.ExportKeyingMaterial(label, context, len(r.MSK)+len(r.EMSK))
	if err != nil {
		return fmt.Errorf("eap: no keys from TLS, does the other end know Extended Master Secret (RFC 7627)? %w", err)
	}
	copy(r.EMSK[:], material[copy(r.MSK[:], material):])
	r.SessionID, err = m.sessionID(state)
	return err
}

func (m *Machine) sessionID(state *tls.ConnectionState) ([]byte, error) {
	id := []byte{typeTLS}
	if state.Version < tls.VersionTLS13 {
		client, server := m.hello.own, m.hello.peer
		if m.role == frame.Server {
			client, server = server, client
		}
		return append(append(id, client.random()...), server.random()...), nil
	}
	method, err := state.ExportKeyingMaterial("EXPORTER_EAP_TLS_Method-Id", id, 64)
	if err != nil {
		return nil, fmt.Errorf("eap: no session id from TLS: %w", err)
	}
	return append(id, method...), nil
}

// Types of TLS records. https://www.rfc-editor.org/rfc/rfc8446#section-5.1
const (
	recordAlert     = 21
	recordHandshake = 22
	recordData      = 23
	recordLen       = 5

	// sealedAlert is how long an encrypted alert of TLS 1.3 is: itself, its type, a tag. No flight of a handshake ends
	// in a record that short.
	sealedAlert = 2 + 1 + 16
)

// endsInAlert reports whether the last record of a flight is an alert.
func endsInAlert(p []byte) bool {
	for len(p) >= recordLen {
		n := int(p[3])<<8 | int(p[4])
		if recordLen+n >= len(p) {
			return p[0] == recordAlert || p[0] == recordData && n == sealedAlert
		}
		p = p[recordLen+n:]
	}
	return false
}

// hellos are the beginnings of what both ends say.
type hellos struct{ own, peer hello }

func (h *hellos) sent(p []byte)     { h.own.add(p) }
func (h *hellos) received(p []byte) { h.peer.add(p) }

// seen reports whether a TLS handshake has begun.
func (h *hellos) seen() bool { return h.own.begun() || h.peer.begun() }

// A hello has the beginning of a ClientHello or ServerHello: headers of record and message, version, random.
type hello struct {
	p [recordLen + 4 + 2 + 32]byte
	n int
}

func (h *hello) add(p []byte)   { h.n += copy(h.p[h.n:], p) }
func (h *hello) begun() bool    { return h.n > 0 && h.p[0] == recordHandshake }
func (h *hello) random() []byte { return h.p[len(h.p)-32:] }
