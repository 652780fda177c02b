// Package openvpn carries TLS in the control channel of OpenVPN, over UDP and TCP, as client and as server. It speaks
// to OpenVPN 2.x itself. What OpenVPN says inside of TLS, key method 2 and what follows it, is for the program that
// uses the connection; examples/openvpn shows it.
//
// Without a key the control channel authenticates nothing: whoever sees the session ids can end the connection. With
// tls-auth each packet has a MAC, with tls-crypt it is encrypted besides, by keys that all clients of a server share;
// with tls-crypt-v2 each client has its own.
//
// A client of tls-crypt-v2 shows its key with its first packet, wrapped with the server's, and with it [Metadata]. A
// server refuses keys that are too old (Options.MaxAge) at that packet, which it does not answer, and asks whether it
// knows the key (Options.Verify), as OpenVPN's tls-crypt-v2-verify does, before it looks at anything of TLS. Neither
// is done again while the connection lasts.
//
// # Packets
//
// A packet is a datagram, or has its length in front, 16 bits, in a stream:
//
//	bytes   field
//	1       opcode in the upper five bits, number of the TLS session (key id) in the lower three
//	8       session id of the sender, chosen at random
//	        what tls-auth or tls-crypt adds
//	1       number n of acknowledgements, 0 to 8
//	4n      ids of the packets that are acknowledged
//	8       session id of the receiver, if n is not 0
//	4       id of this packet, counted from 0; not in P_ACK_V1
//	        TLS bytes, cut anywhere; in P_CONTROL_V1 only
//
// tls-auth adds a MAC, a replay id and the time at which replay ids began, of 4 bytes each. tls-crypt adds replay id
// and time, and a MAC of 32 bytes, and encrypts what is behind it.
//
// https://github.com/OpenVPN/openvpn/blob/master/doc/doxygen/doc_protocol_overview.h
//
// # Delivery
//
// Both ends begin with a reset, packet 0. A packet is sent again when nothing acknowledges it in time, after twice the
// time the next time, and so on up to eight times; and at once when three that were sent after it are acknowledged. At
// most six are under way. The receiver keeps up to twelve that came too early, and acknowledges each packet, and three
// that it had before again in case that got lost. That is so over TCP, too.
//
// A server answers each packet of a client with one short packet, and does nothing by the clock, until the client has
// proved, by its acknowledgement, that it is where its packets say.
//
// # What is not TLS
//
// Packets of the data channel, P_DATA_V1 and P_DATA_V2, are side traffic: [frame.Side] has the packet, without the
// length that TCP puts in front, and [frame.SideSender] takes the same.
//
// A connection is one TLS session. OpenVPN starts another after an hour, unless both ends have reneg-sec 0 in their
// configuration: its soft reset ends the connection with [ErrSoftReset].
//
// # Grammar
//
// A spec is "openvpn", followed by options after a colon, with commas between them. The name of a file has no comma in
// it.
//
//	udp                  packets are datagrams; so if neither is given
//	tcp                  packets are in a stream
//	tls-auth=FILE        the static key of tls-auth
//	auth=DIGEST          its digest: sha1 if left out, sha256, sha384 or sha512
//	direction=WHICH      how it uses the key: normal if left out, where the server has key-direction 0 and the client 1;
//	                     reverse; or none, for a configuration without key-direction
//	tls-crypt=FILE       the static key of tls-crypt
//	tls-crypt-v2=FILE    the key of tls-crypt-v2: the client's own, or the server's
//	max-age=DAYS         with the server's: clients whose keys are older get no answer, nor do those whose keys do not
//	                     say how old they are; any age if left out. OpenVPN 2.7 has it as tls-crypt-v2-max-age
//	mtu=N                longest packet that is sent, in bytes without the headers of IP, UDP and TCP: 1200 if left out,
//	                     which every path carries; 384 to 1500
//	retry=T              how long a packet may stay unacknowledged until it is sent again: 2s if left out; 10ms to 1m
//	timeout=T            and until the connection is given up: 1m if left out; 1s and more
//	session=HEX          the session id, 16 digits, instead of one at random. It is for test vectors: who can guess it
//	                     can end the connection
//
// Nobody but its owner may have access to the file of a key.
package openvpn

import (
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
)

func init() {
	codecs.Register("openvpn", codecs.Info{
		Summary:  "OpenVPN's control channel, with retransmission, tls-auth, tls-crypt and tls-crypt-v2",
		Class:    codecs.Retransmitting,
		Carriers: codecs.Stream | codecs.Datagram,
		Syntax:   syntax,
		Example:  "openvpn:tcp",
		Tested:   "OpenVPN 2.6 (both roles), tshark 4.0, captures, own vectors",
	}, Parse)
}

const syntax = `[OPTION[,OPTION]...]
OPTION  udp | tcp           what carries it (default: udp)
        tls-auth=FILE       static key of tls-auth
        auth=DIGEST         its digest: sha1, sha256, sha384, sha512 (default: sha1)
        direction=WHICH     its key direction: normal, reverse, none (default: normal)
        tls-crypt=FILE      static key of tls-crypt
        tls-crypt-v2=FILE   key of tls-crypt-v2, the client's or the server's
        max-age=DAYS        oldest key of tls-crypt-v2 that a server takes (default: any)
        mtu=N               longest packet that is sent (default: 1200)
        retry=T             time until a packet is sent again (default: 2s)
        timeout=T           time until a silent peer is given up (default: 1m)
        session=HEX         session id of 16 digits, for test vectors (default: random)`

const (
	// DefaultMTU is the longest packet, in bytes, that is sent unless Options say otherwise: every path carries it.
	DefaultMTU = 1200
	// DefaultRetry is how long a packet may stay unacknowledged until it is sent again, as in OpenVPN.
	DefaultRetry = 2 * time.Second
	// DefaultTimeout is how long a packet may stay unacknowledged until the peer is given up, as in OpenVPN.
	DefaultTimeout = time.Minute

	minMTU, maxMTU     = 384, 1500
	minRetry, maxRetry = 10 * time.Millisecond, time.Minute
	minTimeout         = time.Second
)

var (
	// ErrTimeout ends a connection whose peer acknowledges nothing.
	ErrTimeout = errors.New("openvpn: the peer acknowledges nothing; is it there, and has it the same key?")

	// ErrSoftReset ends a connection whose peer wants another TLS session for it.
	ErrSoftReset = errors.New("openvpn: the peer wants a new TLS session, a connection has one: connect again, " +
		"or have reneg-sec 0 in the peer's configuration")

	// ErrUsedUp ends a connection that has sent 2^32-1 packets.
	ErrUsedUp = errors.New("openvpn: no packet id is left; connect again")
)

// Options describe a connection. At most one of Auth, Crypt, ClientKey and ServerKey may be set.
type Options struct {
	TCP       bool          // a stream; otherwise datagrams
	Auth      *StaticKey    // of tls-auth
	Digest    Digest        // of tls-auth
	Direction Direction     // of tls-auth
	Crypt     *StaticKey    // of tls-crypt
	ClientKey *ClientKey    // of tls-crypt-v2, for clients
	ServerKey *ServerKey    // of tls-crypt-v2, for servers
	MTU       int           // longest packet that is sent; 0: DefaultMTU
	Retry     time.Duration // until a packet is sent again; 0: DefaultRetry
	Timeout   time.Duration // until the peer is given up; 0: DefaultTimeout
	SessionID [8]byte       // zero: random, as it should be

	// MaxAge is how old the key of a client may be, by its timestamp, with tls-crypt-v2 at servers: the first packet of a
	// client with an older one, or one without timestamp, is refused. 0: any age.
	MaxAge time.Duration

	// Verify is asked about the key of each client that has proved to have it and to get what is sent to it, with
	// tls-crypt-v2 at servers. An error ends the connection and is wrapped in what Read returns; so does a key that has no
	// metadata. nil: each key that was wrapped for this server is welcome. Verify must not wait: it holds up the
	// connection, and over datagrams others that share its socket. It must not change or retain Data.
	Verify func(Metadata) error

	Counters *Counters // of what happens to packets on all connections; nil: nobody wants to know
}

// Counters count what a network does to packets, and what ends no connection.
type Counters struct {
	Repeated  atomic.Uint64 // packets that this end sent again
	Duplicate atomic.Uint64 // packets that came again
	Replayed  atomic.Uint64 // packets that came again with the same replay id, or very late: an attack, or the network
	Early     atomic.Uint64 // packets beyond what is kept; the peer sends them again
	TooOld    atomic.Uint64 // packets with which a client began, refused for Options.MaxAge
	Refused   atomic.Uint64 // clients refused by Options.Verify
}

// New returns the Maker of Machines that implement [frame.Timed], [frame.Backlogger] and [frame.SideSender], and with TCP
// [frame.Delimiter].
func New(o Options) (frame.Maker, error) {
	if o.MTU == 0 {
		o.MTU = DefaultMTU
	}
	if o.Retry == 0 {
		o.Retry = DefaultRetry
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Counters == nil {
		o.Counters = new(Counters)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	return func(role frame.Role) (frame.Machine, error) { return o.machine(role) }, nil
}

func (o *Options) check() error {
	keys := 0
	for _, given := range []bool{o.Auth != nil, o.Crypt != nil, o.ClientKey != nil, o.ServerKey != nil} {
		if given {
			keys++
		}
	}
	switch {
	case keys > 1:
		return errors.New("openvpn: one of tls-auth, tls-crypt and tls-crypt-v2, not more")
	case o.Digest >= unknownDigest:
		return fmt.Errorf("openvpn: bad digest %d (have SHA1, SHA256, SHA384, SHA512)", o.Digest)
	case o.Direction >= unknownDirection:
		return fmt.Errorf("openvpn: bad direction %d (have Normal, Reverse, None)", o.Direction)
	case o.Auth == nil && (o.Digest != 0 || o.Direction != 0):
		return errors.New("openvpn: auth and direction are for tls-auth")
	case o.MTU < minMTU || o.MTU > maxMTU:
		return fmt.Errorf("openvpn: bad mtu %d (allowed: %d to %d)", o.MTU, minMTU, maxMTU)
	case o.Retry < minRetry || o.Retry > maxRetry:
		return fmt.Errorf("openvpn: bad retry %v (allowed: %v to %v)", o.Retry, minRetry, maxRetry)
	case o.Timeout < minTimeout:
		return fmt.Errorf("openvpn: bad timeout %v (allowed: %v and more)", o.Timeout, minTimeout)
	}
	return o.checkMetadata()
}

func (o *Options) machine(role frame.Role) (frame.Machine, error) {
	g, err := o.guard(role)
	if err != nil {
		return nil, err
	}
	m := &machine{role: role, guard: g, counters: o.Counters, timeout: o.Timeout, own: o.SessionID,
		maxAge: o.MaxAge, verify: o.Verify}
	m.out.retry = o.Retry
	if o.ClientKey != nil {
		m.wrapped = o.ClientKey.wrapped
	}
	m.payload = o.MTU - headerLen - g.overhead() - maxAckLen - idLen
	for m.own == (sessionID{}) {
		rand.Read(m.own[:])
	}
	if o.TCP {
		m.prefix = lengthLen
		return &stream{m}, nil
	}
	return m, nil
}
