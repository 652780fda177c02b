// Package eap carries TLS in EAP-TLS: the authentication of 802.1X networks, of RADIUS and of what stands on them. EAP
// authenticates nothing of its own: identities, Success and Failure are said in the clear, by whoever is on the path.
// What counts is TLS, and for TLS 1.3 the word that the server says inside it before Success.
//
// A [Machine] is the peer (frame.Client) or the server of one authentication. Here a frame is one EAP packet in a
// datagram; packages radius and eapol put the same Machine on top of their own frames. When TLS is established it
// derives the keys, and when the server has said Success the exchange is over: EAP-TLS carries no data. Who wants the
// keys gives an [Exchange] to [Options].
//
// # Packets
//
//	offset  bytes
//	0       1      code: 1 request, 2 response, 3 success, 4 failure
//	1       1      identifier: the server's; a response has that of its request
//	2       2      length, of all this; what follows it is padding
//	4       1      type: 1 identity, 2 notification, 3 nak, 13 EAP-TLS; not with codes 3 and 4
//	5       1      EAP-TLS: flags, 80 length included, 40 more fragments, 20 start
//	6       4      with flag 80: length of the flight
//	        rest   a part of the flight
//
//	peer                            server
//	      <- request, identity
//	response, identity ->
//	      <- request, start
//	response, ClientHello ->                    each flight in as many packets as it needs: all but the last
//	      <- request, ServerHello ...           with "more", each answered by one without data
//	response, Finished ->
//	      <- request, Finished or the byte 0
//	response, nothing ->
//	      <- success
//
// The ends take turns. A request is repeated until it is answered, a response when its request comes again. Over
// RADIUS that is the work of the RADIUS client.
//
// https://www.rfc-editor.org/rfc/rfc3748.html,
// https://www.rfc-editor.org/rfc/rfc5216.html,
// https://www.rfc-editor.org/rfc/rfc9190.html
//
// # Grammar
//
// A spec is "eap", followed by options after a colon, with commas between them:
//
//	identity=NAME  what the peer calls itself, in the clear: "anonymous" if left out
//	mtu=N          longest packet that is sent, in bytes: 1020 if left out
//	max=N          longest flight that is accepted, in bytes: 65536 if left out
//	timeout=T      how long the other end may be silent: 30s if left out
//	repeat=T       when a server repeats a request first, each time after twice as long: 3s if left out
package eap

import (
	"crypto/tls"
	"fmt"
	"time"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
)

func init() {
	codecs.Register("eap", codecs.Info{
		Summary:  "EAP-TLS (RFC 5216, RFC 9190), one EAP packet per datagram",
		Class:    codecs.LockStep,
		Carriers: codecs.Datagram,
		Syntax:   syntax,
		Example:  "eap:identity=user@example.org",
		Tested: "in radius and eapol: FreeRADIUS 3.2, eapol_test, wpa_supplicant, hostapd 2.10; tshark 4.0, " +
			"own vectors",
	}, Parse)
}

const syntax = `[OPTION[,OPTION]...]
OPTION  identity=NAME  what the peer calls itself (default: anonymous)
        mtu=N          longest packet, 64 to 65535 (default: 1020)
        max=N          longest flight that is accepted (default: 65536)
        timeout=T      how long the other end may be silent (default: 30s)
        repeat=T       when a request is repeated first (default: 3s)`

const (
	// DefaultIdentity is what a peer calls itself unless Options say otherwise: nothing that those on the path should
	// know. Servers that choose by domain want "@example.org".
	// https://www.rfc-editor.org/rfc/rfc9190.html#section-2.1.4
	DefaultIdentity = "anonymous"

	// DefaultMTU is the longest packet, in bytes, unless Options say otherwise: every layer below carries it.
	// https://www.rfc-editor.org/rfc/rfc3748.html#section-3.1
	DefaultMTU = 1020

	// DefaultMaxFlight bounds what is received and not yet given to TLS, in bytes, unless Options say otherwise.
	DefaultMaxFlight = 1 << 16

	// DefaultTimeout is how long the other end may be silent unless Options say otherwise.
	DefaultTimeout = 30 * time.Second

	// DefaultRepeat is when a request is repeated for the first time unless Options say otherwise.
	// https://www.rfc-editor.org/rfc/rfc3748.html#section-4.3
	DefaultRepeat = 3 * time.Second

	minMTU, maxMTU = 64, 1<<16 - 1
	maxMaxFlight   = 1 << 24
	maxIdentity    = 253 // as in RADIUS
)

// Options describe one end. The zero value works.
type Options struct {
	Identity  string        // peer: what it calls itself, 1 to 253 bytes; "": DefaultIdentity
	MTU       int           // longest packet that is sent, in bytes; 0: DefaultMTU
	MaxFlight int           // longest flight that is accepted, in bytes; 0: DefaultMaxFlight
	Timeout   time.Duration // how long the other end may be silent; 0: DefaultTimeout
	Repeat    time.Duration // server: when a request is repeated first; 0: DefaultRepeat

	// Backend says that a server stands behind an authenticator, which asks for the identity and repeats what was
	// lost, as in RADIUS. https://www.rfc-editor.org/rfc/rfc3748.html#section-2.3
	Backend bool

	// Authorize, on a server, is asked whether a peer whose TLS handshake is done may have access. identity is what it
	// called itself, which nothing proves. An error refuses it. It must not use the connection. nil: it may.
	Authorize func(identity string, state *tls.ConnectionState) error

	// Exchange learns what comes of it; nil if nobody wants to know. It is for one connection: options with an Exchange
	// make one that can be started.
	Exchange *Exchange
}

// New returns a Maker of Machines. Its error says which of the options is out of range.
func New(o Options) (frame.Maker, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	return func(role frame.Role) (frame.Machine, error) { return newMachine(o, role), nil }, nil
}

// NewMachine returns the Machine of one connection, for a protocol that carries EAP.
func NewMachine(o Options, role frame.Role) (*Machine, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	return newMachine(o, role), nil
}

// complete fills in what is left out and checks the rest.
func (o Options) complete() (Options, error) {
	setDefault(&o.Identity, DefaultIdentity)
	setDefault(&o.MTU, DefaultMTU)
	setDefault(&o.MaxFlight, DefaultMaxFlight)
	setDefault(&o.Timeout, DefaultTimeout)
	setDefault(&o.Repeat, DefaultRepeat)
	switch {
	case len(o.Identity) > maxIdentity:
		return o, fmt.Errorf("eap: bad identity: %d bytes (allowed: 1 to %d)", len(o.Identity), maxIdentity)
	case o.MTU < minMTU || o.MTU > maxMTU:
		return o, fmt.Errorf("eap: bad mtu %d (allowed: %d to %d)", o.MTU, minMTU, maxMTU)
	case headerLen+len(o.Identity) > o.MTU:
		return o, fmt.Errorf("eap: an identity of %d bytes does not fit a mtu of %d", len(o.Identity), o.MTU)
	case o.MaxFlight < 1 || o.MaxFlight > maxMaxFlight:
		return o, fmt.Errorf("eap: bad max %d (allowed: 1 to %d)", o.MaxFlight, maxMaxFlight)
	case o.Timeout < time.Millisecond:
		return o, fmt.Errorf("eap: bad timeout %v (allowed: 1ms and more)", o.Timeout)
	case o.Repeat < time.Millisecond:
		return o, fmt.Errorf("eap: bad repeat %v (allowed: 1ms and more)", o.Repeat)
	}
	return o, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
