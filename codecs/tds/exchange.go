package tds

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/encase-tls/encase/frame"
)

// ErrNoEncryption is wrapped when one end has said ENCRYPT_NOT_SUP: there is no TLS to carry. It wraps
// frame.ErrMalformed.
var ErrNoEncryption = malformed("the peer has no encryption (ENCRYPT_NOT_SUP)")

// maxPrelogin bounds a message of the dialogue in bytes: what one packet before the login can hold.
const maxPrelogin = DefaultPacketSize - headerLen

// An Agreement is what has come of the dialogue before TLS. Nothing in it is authenticated.
type Agreement struct {
	Sent, Received Prelogin // by this end; do not change what is in them

	// LoginOnly says that TLS is for the first packet of the login alone. What follows is in clear: see the package
	// documentation.
	LoginOnly bool
}

// Agreed returns what m, a Machine of this package, has agreed on with its peer. ok is false for any other, with
// Options.Exchanged, and before the dialogue is over.
func Agreed(m frame.Machine) (a Agreement, ok bool) {
	n, ok := m.(*negotiator)
	if !ok || !n.over {
		return a, false
	}
	return n.agreement, true
}

// negotiator is a machine that agrees on encryption first.
type negotiator struct {
	machine
	options   Options
	agreement Agreement
	over      bool
}

var _ frame.Preamble = (*negotiator)(nil)

// Exchange implements [frame.Preamble]: a PRELOGIN message each way, and no byte more.
func (n *negotiator) Exchange(_ context.Context, p frame.Peeker, role frame.Role) error {
	n.agreement.Sent = n.options.Prelogin
	hold := n.ask
	if role == frame.Server {
		hold = n.answer
	}
	err := hold(p)
	n.over = err == nil
	return err
}

// ask is the dialogue of a client.
func (n *negotiator) ask(p frame.Peeker) (err error) {
	a := &n.agreement
	a.Sent.Encryption = On
	if n.options.LoginOnly {
		a.Sent.Encryption = Off
	}
	if a.Sent.ThreadID == nil {
		a.Sent.ThreadID = make([]byte, threadIDLen) // clients say it, if only as zero
	}
	if err := send(p, typePrelogin, &a.Sent); err != nil {
		return err
	}
	if a.Received, err = receive(p, typeReply); err != nil {
		return err
	}
	if a.Received.Instance == OtherInstance {
		return fmt.Errorf("%w %.40q", errOtherInstance, a.Sent.Instance)
	}
	switch a.Received.Encryption {
	case On, Required:
		return nil
	case NotSupported:
		return fmt.Errorf("%w: the server needs a certificate to have it", ErrNoEncryption)
	case Off:
		if a.LoginOnly = n.options.LoginOnly; !a.LoginOnly {
			return errDowngrade
		}
		return nil
	}
	return errEncryption
}

// answer is the dialogue of a server. A client that asks for what it cannot get is told so before it is refused.
func (n *negotiator) answer(p frame.Peeker) (err error) {
	a := &n.agreement
	if a.Received, err = receive(p, typePrelogin); err != nil {
		return err
	}
	refusal := n.decide()
	if refusal == errEncryption {
		return refusal
	}
	if a.Received.FedAuth == nil {
		a.Sent.FedAuth = nil
	}
	a.Sent.MARS = a.Sent.MARS && a.Received.MARS
	return errors.Join(refusal, send(p, typeReply, &a.Sent))
}

// decide sets what the answer says of encryption and of the instance, and returns why the client is refused all the
// same.
func (n *negotiator) decide() error {
	a := &n.agreement
	own := a.Sent.Instance
	a.Sent.Instance = ""
	if own != "" && a.Received.Instance != "" && !strings.EqualFold(own, a.Received.Instance) {
		a.Sent.Encryption, a.Sent.Instance = On, OtherInstance
		return fmt.Errorf("%w %.40q", errOtherInstance, a.Received.Instance)
	}
	switch a.Received.Encryption &^ encryptionFlags {
	case On, Required:
		a.Sent.Encryption = On
	case Off:
		a.Sent.Encryption = Required
		if a.LoginOnly = n.options.LoginOnly; a.LoginOnly {
			a.Sent.Encryption = Off
		}
	case NotSupported:
		a.Sent.Encryption = Required
		return fmt.Errorf("%w: the client must be allowed to use it", ErrNoEncryption)
	default:
		return errEncryption
	}
	return nil
}

// send writes a message of one packet.
func send(p frame.Peeker, typ byte, pre *Prelogin) error {
	packet, err := pre.Append(make([]byte, headerLen))
	if err != nil {
		return err
	}
	putHeader(packet, typ, statusEnd, len(packet), firstID)
	if _, err := p.Write(packet); err != nil {
		return fmt.Errorf("tds: sending PRELOGIN: %w", err)
	}
	return nil
}

// receive takes a message, in one packet or several, and nothing behind it.
func receive(p frame.Peeker, typ byte) (Prelogin, error) {
	var message []byte
	for end := false; !end; {
		data, status, err := readPacket(p, typ, maxPrelogin-len(message))
		if err != nil {
			return Prelogin{}, err
		}
		message = append(message, data...)
		if end = status&statusEnd != 0; !end && len(data) == 0 {
			return Prelogin{}, errEmpty
		}
	}
	return ParsePrelogin(message)
}

// readPacket takes a packet with at most limit bytes of data.
func readPacket(p frame.Peeker, typ byte, limit int) (data []byte, status byte, err error) {
	head, err := p.Peek(1)
	if err == nil {
		if err := foreign(head[0], typ); err != nil {
			return nil, 0, err
		}
		head, err = p.Peek(headerLen)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("tds: waiting for PRELOGIN: %w", err)
	}
	n := int(binary.BigEndian.Uint16(head[2:]))
	status = head[1]
	switch {
	case n < headerLen:
		return nil, 0, errUnderrun
	case n-headerLen > limit:
		return nil, 0, errLongPrelogin
	}
	packet, err := p.Peek(n)
	if err != nil {
		return nil, 0, fmt.Errorf("tds: waiting for the rest of PRELOGIN: %w", err)
	}
	data = append(data, packet[headerLen:]...)
	_, err = p.Discard(n)
	return data, status, err
}

// foreign says what it is that begins with another byte than PRELOGIN should. A peer that speaks another protocol may
// not send as much as a header.
func foreign(first, want byte) error {
	switch {
	case first == want:
		return nil
	case first == typeTLS:
		return errStrict
	case first == typeOldLogin || first == typeLogin7:
		return errOldClient
	}
	return errForeign
}

var (
	errStrict = malformed("the peer begins with TLS, as in TDS 8.0 (strict): " +
		`use the codec raw, with "tds/8.0" among the protocols of ALPN`)
	errOldClient     = malformed("the client logs in without PRELOGIN: it is older than TDS 7.1 and has no encryption")
	errForeign       = malformed("the peer does not speak TDS; is the port right?")
	errEmpty         = malformed("a PRELOGIN packet without data that is not the last")
	errLongPrelogin  = malformed("a PRELOGIN message of more than 4088 bytes")
	errOtherInstance = malformed("the server is not the instance")
	errEncryption    = malformed("another encryption than PRELOGIN knows")
	errDowngrade     = malformed("the server, or somebody on the path, wants to encrypt nothing but the login")
)
