// Package radius carries EAP-TLS in RADIUS, between a client, which is the peer of EAP and its authenticator in one,
// and a server. RADIUS proves that a packet is from somebody who knows the secret, with HMAC-MD5: nothing else about it
// is hidden or proven. TLS inside proves who the peer is.
//
// A frame is one RADIUS packet in a datagram. The exchange in it is that of package eap.
//
//	offset  bytes
//	0       1      code: 1 Access-Request, 2 Access-Accept, 3 Access-Reject, 11 Access-Challenge
//	1       1      identifier of the request
//	2       2      length, of all this; what follows it is padding
//	4       16     request: random; reply: MD5 of the reply, the request's and the secret
//	20      rest   attributes: type, length of all of it, value
//
//	peer and authenticator        server
//	Access-Request ->                             each has a part of the EAP exchange in attributes EAP-Message,
//	      <- Access-Challenge                     253 bytes each, and a Message-Authenticator
//	...
//	      <- Access-Accept                        with the MSK in MS-MPPE-Recv-Key and MS-MPPE-Send-Key
//
// A request is repeated until it is answered. A reply that is not signed is refused, and so is a request; both leave
// the exchange as it was.
//
// https://www.rfc-editor.org/rfc/rfc2865.html,
// https://www.rfc-editor.org/rfc/rfc3579.html,
// https://www.rfc-editor.org/rfc/rfc2548.html#section-2.4
//
// A server has many sessions on one socket: what they have in common is the attribute State, see [State].
//
// # Grammar
//
// A spec is "radius", followed by options after a colon, with commas between them:
//
//	secret-file=PATH  a file with the secret in one line, which nobody but its owner may read; needed
//	nas=NAME          what the client calls itself: "encase" if left out
//	user=NAME         what the client calls the user: the identity if left out
//	resend=T          when the client repeats a request first, each time after twice as long: 2s if left out
//
// and those of package eap.
package radius

import (
	"fmt"
	"strings"
	"time"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/codecs/eap"
	"github.com/encase-tls/encase/frame"
)

func init() {
	codecs.Register("radius", codecs.Info{
		Summary:  "EAP-TLS in RADIUS (RFC 2865, RFC 3579)",
		Class:    codecs.LockStep,
		Carriers: codecs.Datagram,
		Syntax:   syntax,
		Example:  "radius:secret-file=/etc/encase/radius.secret",
		Tested:   "FreeRADIUS 3.2 (as server), eapol_test 2.10 (as client), tshark 4.0, own vectors",
	}, Parse)
}

const syntax = `OPTION[,OPTION]...
OPTION  secret-file=PATH  a file with the secret, of mode 0600 (needed)
        nas=NAME          what the client calls itself (default: encase)
        user=NAME         what the client calls the user (default: the identity)
        resend=T          when a request is repeated first (default: 2s)
        identity=NAME, mtu=N, max=N, timeout=T: see eap; mtu is at most 3000`

const (
	// DefaultNAS is what a client calls itself unless Options say otherwise.
	DefaultNAS = "encase"

	// DefaultResend is when a request is repeated for the first time unless Options say otherwise.
	// https://www.rfc-editor.org/rfc/rfc5080.html#section-2.2.1
	DefaultResend = 2 * time.Second

	maxResend = 16 * time.Second
	maxMTU    = 3000 // leaves room for all other attributes
	maxName   = 253
)

// Options describe one end. Secret is needed.
type Options struct {
	Secret *Secret
	NAS    string        // client: what it calls itself, up to 253 bytes; "": DefaultNAS
	User   string        // client: what it calls the user, up to 253 bytes; "": the identity of EAP
	Resend time.Duration // client: when a request is repeated first; 0: DefaultResend
	EAP    eap.Options   // Backend and Repeat do not matter: RADIUS decides them
}

// New returns a Maker of Machines that implement [frame.Timed], [frame.Backlogger] and [frame.Awaiter], and what package
// wrap looks for.
func New(o Options) (frame.Maker, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	return func(role frame.Role) (frame.Machine, error) {
		if role == frame.Server {
			return newServer(&o)
		}
		return newClient(&o)
	}, nil
}

func (o *Options) complete() error {
	if o.NAS == "" {
		o.NAS = DefaultNAS
	}
	if o.Resend == 0 {
		o.Resend = DefaultResend
	}
	if o.User == "" {
		o.User = o.EAP.Identity
	}
	if o.User == "" {
		o.User = eap.DefaultIdentity
	}
	o.EAP.Backend = true
	switch {
	case o.Secret == nil:
		return fmt.Errorf("radius: there is no secret: set Options.Secret, or secret-file in a spec")
	case len(o.NAS) > maxName || len(o.User) > maxName:
		return fmt.Errorf("radius: a name of more than %d bytes", maxName)
	case o.EAP.MTU > maxMTU:
		return fmt.Errorf("radius: bad mtu %d (allowed: up to %d)", o.EAP.MTU, maxMTU)
	case o.Resend < time.Millisecond:
		return fmt.Errorf("radius: bad resend %v (allowed: 1ms and more)", o.Resend)
	}
	_, err := eap.New(o.EAP)
	return err
}

// Parse returns the Maker that the argument of a spec describes. The grammar is in the package documentation. The Maker
// reads the file with the secret for each connection: a new secret needs no new Maker.
func Parse(arg string) (frame.Maker, error) {
	o := Options{Secret: new(Secret)} // until the file is read
	file := ""
	err := codecs.EachOption("radius", arg, func(_, name, value string) error {
		if name == "secret-file" {
			file = value
			return nil
		}
		return o.set(name, value)
	})
	if err != nil {
		return nil, err
	}
	if file == "" {
		return nil, fmt.Errorf("radius: no secret: the spec needs secret-file=PATH")
	}
	if err := o.complete(); err != nil {
		return nil, err
	}
	return func(role frame.Role) (frame.Machine, error) {
		secret, err := ReadSecret(file)
		if err != nil {
			return nil, fmt.Errorf("radius: %w", err)
		}
		own := o
		own.Secret = secret
		mk, err := New(own)
		if err != nil {
			return nil, err
		}
		return mk(role)
	}, nil
}

func (o *Options) set(name, value string) (err error) {
	known := true
	switch {
	case name == "nas":
		o.NAS = value
	case name == "user":
		o.User = value
	case name == "resend":
		o.Resend, err = time.ParseDuration(value)
		o.Resend = max(o.Resend, 1)
	case name == "repeat":
		known = false
	default:
		known, err = o.EAP.Set(name, value)
	}
	switch {
	case err != nil:
		return fmt.Errorf("radius: %w", err)
	case !known:
		have := strings.TrimSuffix(eap.OptionNames, ", repeat")
		return fmt.Errorf("radius: unknown option %q (have secret-file, nas, user, resend, %s)", name, have)
	}
	return nil
}
