package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Type is the type of a control message.
type Type uint8

// The control messages, and who sends them. Hello and Config are answered or repeated until they are; the others need no
// answer or are one.
const (
	TypeHello  Type = 1 + iota // client: what it is and can; a server answers with Config or Bye
	TypeConfig                 // server: what the client is to be
	TypeAttach                 // client: this connection, too, belongs to a session that exists
	TypePing                   // both: are you there, and what have you received?
	TypePong                   // both: the answer
	TypeProbe                  // both, datagrams: does a packet of this length arrive?
	TypeProbed                 // both: the answer
	TypeBye                    // both: the end of the session, and why
	TypePart                   // both, datagrams: a part of a message that is too long for one, see Part
)

// String returns a word for the type.
func (t Type) String() string {
	names := [...]string{"", "hello", "config", "attach", "ping", "pong", "probe", "probed", "bye", "part",
		"configured"}
	if int(t) < len(names) && t > 0 {
		return names[t]
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// MaxBody is the longest body of a control message, in bytes.
const MaxBody = 16 << 10

// Features of an end, each something that the other may send to it.
const (
	FeatureTCP     = "tcp"     // super-packets of TCP, on a stream
	FeatureECN     = "ecn"     // of TCP with ECN
	FeatureUDP     = "udp"     // super-packets of UDP, on a stream
	FeaturePartial = "partial" // packets whose checksum is still to be computed, on datagrams
)

// Hello begins a session.
type Hello struct {
	Version  int      `json:"version"`
	Features []string `json:"features,omitempty"`
	Name     string   `json:"name,omitempty"`    // of the client's machine, for people
	Program  string   `json:"program,omitempty"` // and its program
	MTU      int      `json:"mtu,omitempty"`     // the most that its interface can have
	// Resume is the token of the session that the client had before, so that it gets the same addresses.
	Resume string `json:"resume,omitempty"`
}

// Config says what the client is to be.
type Config struct {
	Version   int            `json:"version"`
	Features  []string       `json:"features,omitempty"`
	Session   string         `json:"session"` // identifies the session to people
	Token     string         `json:"token"`   // is what Attach and Resume prove the session with
	Addresses []netip.Prefix `json:"addresses"`
	Routes    []netip.Prefix `json:"routes,omitempty"`
	DNS       []netip.Addr   `json:"dns,omitempty"`
	Domains   []string       `json:"domains,omitempty"`
	MTU       int            `json:"mtu"`
	Keepalive Seconds        `json:"keepalive"` // how often an idle end sends Ping
	Dead      Seconds        `json:"dead"`      // after how long without a word the peer is gone
	Rekey     Seconds        `json:"rekey"`     // after how long a connection is replaced
	Datagrams bool           `json:"datagrams,omitempty"`
	// Revision is 0 in the answer to a Hello, if nothing has changed since, and greater in each Config behind it.
	Revision uint32 `json:"revision,omitempty"`
	// Gateways are the addresses of the server's interface: the other end of the tunnel, as routers see it.
	Gateways []netip.Addr `json:"gateways,omitempty"`
}

// Seconds is a duration that JSON shows in seconds.
type Seconds time.Duration

// MarshalJSON implements json.Marshaler.
func (s Seconds) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(s).Seconds()) }

// UnmarshalJSON implements json.Unmarshaler.
func (s *Seconds) UnmarshalJSON(p []byte) error {
	var f float64
	if err := json.Unmarshal(p, &f); err != nil {
		return err
	}
	const most = 366 * 24 * 3600
	if f < 0 || f > most {
		return fmt.Errorf("%v seconds", f)
	}
	*s = Seconds(f * float64(time.Second))
	return nil
}

// Attach gives a connection to a session that exists.
type Attach struct {
	Version int    `json:"version"`
	Token   string `json:"token"`
}

// Ping asks for a Pong with the same ID. Packets are counted so that both ends know whether data arrives, not only
// control: the counts are of packets on this connection, in all, and wrap around.
type Ping struct {
	ID       uint32
	Sent     uint32 // packets that the sender of this message has sent
	Received uint32 // and received
}

// Pong answers a Ping.
type Pong = Ping

const pingLen = 12

// AppendPing appends the body of a Ping or Pong to dst.
func AppendPing(dst []byte, p Ping) []byte {
	dst = binary.BigEndian.AppendUint32(dst, p.ID)
	dst = binary.BigEndian.AppendUint32(dst, p.Sent)
	return binary.BigEndian.AppendUint32(dst, p.Received)
}

// ParsePing parses the body of a Ping or Pong.
func ParsePing(p []byte) (Ping, error) {
	if len(p) != pingLen {
		return Ping{}, malformed("a ping of %d bytes", len(p))
	}
	return Ping{binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:]), binary.BigEndian.Uint32(p[8:])}, nil
}

// A Probe asks whether a datagram of its length arrives. Its body is the ID, Sending, and zeros to fill it up.
type Probe struct {
	ID      uint32
	Sending uint16 // longest packet, in bytes, that its sender sends at the moment; 0: it does not say
	Length  int    // of the message with its type: what a packet may have if this arrives
}

// LeastProbe is the length of the shortest Probe with its type, in bytes.
const LeastProbe = 1 + probeLen

const probeLen = 6

// AppendProbe appends the body of a Probe to dst.
func AppendProbe(dst []byte, p Probe) []byte {
	dst = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(dst, p.ID), p.Sending)
	return append(dst, make([]byte, max(0, p.Length-LeastProbe))...)
}

// ParseProbe parses the body of a Probe.
func ParseProbe(p []byte) (Probe, error) {
	if len(p) < probeLen {
		return Probe{}, malformed("a probe of %d bytes", len(p))
	}
	return Probe{binary.BigEndian.Uint32(p), binary.BigEndian.Uint16(p[4:]), 1 + len(p)}, nil
}

// A Probed is the answer to a Probe.
type Probed struct {
	ID     uint32
	Length int // of the Probe, as it has arrived
}

const probedLen = 6

// AppendProbed appends the body of the answer to a Probe to dst.
func AppendProbed(dst []byte, p Probed) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(dst, p.ID), uint16(p.Length))
}

// ParseProbed parses the body of the answer to a Probe.
func ParseProbed(p []byte) (Probed, error) {
	if len(p) != probedLen {
		return Probed{}, malformed("an answer to a probe of %d bytes", len(p))
	}
	return Probed{binary.BigEndian.Uint32(p), int(binary.BigEndian.Uint16(p[4:]))}, nil
}

// A Reason is why a session ends.
type Reason uint8

// The reasons.
const (
	ReasonNone     Reason = iota
	ReasonStop            // the program ends; the peer may try again later
	ReasonReplaced        // another connection of the same client has taken over
	ReasonRefused         // the server does not want this client, now or ever
	ReasonFull            // it has no place for it
	ReasonRevoked         // its certificate is not valid any more
	ReasonVersion         // no version of the protocol in common
	ReasonProtocol        // the peer breaks the protocol
	ReasonIdle            // nothing was heard for too long
	ReasonKicked          // an operator has ended it
)

// String returns what the reason means, for people.
func (r Reason) String() string {
	names := [...]string{"no reason given", "the peer stops", "another connection has taken over", "the peer refuses this end",
		"the server is full", "the certificate has been revoked or has expired", "no version of the tunnel protocol in common",
		"the tunnel protocol was broken", "nothing was heard for too long", "an operator has ended it"}
	if int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// Final reports whether there is no sense in trying again soon.
func (r Reason) Final() bool { return r == ReasonRefused || r == ReasonRevoked || r == ReasonVersion }

// A Bye ends a session. As an error it says why.
type Bye struct {
	Reason Reason
	Text   string // for people, at most 200 bytes
}

const maxText = 200

// Error implements error.
func (b *Bye) Error() string {
	if b.Text == "" {
		return "tunnel: " + b.Reason.String()
	}
	return "tunnel: " + b.Reason.String() + ": " + b.Text
}

// AppendBye appends the body of a Bye to dst.
func AppendBye(dst []byte, b Bye) []byte {
	return append(append(dst, byte(b.Reason)), b.Text[:min(len(b.Text), maxText)]...)
}

// ParseBye parses the body of a Bye. What is not fit to be shown is replaced in its text.
func ParseBye(p []byte) (Bye, error) {
	if len(p) == 0 || len(p) > 1+maxText {
		return Bye{}, malformed("a bye of %d bytes", len(p))
	}
	text := []rune{}
	for _, c := range string(p[1:]) {
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			c = '?'
		}
		text = append(text, c)
	}
	return Bye{Reason(p[0]), string(text)}, nil
}
