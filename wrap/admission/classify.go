package admission

// A Protocol is one of those that share a port with DTLS.
type Protocol uint8

// The protocols that the first byte of a datagram tells apart.
const (
	Unknown Protocol = iota // none of them, or an empty datagram
	STUN                    // with it TURN's requests and indications
	ZRTP                    // keys for RTP
	DTLS
	TURNChannel // or QUIC, where no TURN server is known to send from that address
	QUIC        // with a long or short header
	RTP         // or RTCP
)

// String returns the name in lower case.
func (p Protocol) String() string {
	names := [...]string{"unknown", "stun", "zrtp", "dtls", "turn-channel", "quic", "rtp"}
	if int(p) < len(names) {
		return names[p]
	}
	return "unknown"
}

// Classify returns the protocol of a datagram, for a port on which several are spoken. It looks at the first byte and at
// nothing else: whether a datagram is what it seems to be is for that protocol to find out. The datagram is only read.
//
// https://www.rfc-editor.org/rfc/rfc7983.html#section-7 and its update,
// https://www.rfc-editor.org/rfc/rfc9443.html#section-2
func Classify(datagram []byte) Protocol {
	if len(datagram) == 0 {
		return Unknown
	}
	switch v := datagram[0]; {
	case v <= 3:
		return STUN
	case v >= 16 && v <= 19:
		return ZRTP
	case v >= 20 && v <= 63:
		return DTLS
	case v >= 64 && v <= 79:
		return TURNChannel
	case v >= 80 && v <= 127 || v >= 192:
		return QUIC
	case v >= 128:
		return RTP
	}
	return Unknown
}
