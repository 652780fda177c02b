package openvpn

import (
	"encoding/binary"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

// An opcode says what a packet is. There are no others: those of key method 1 are long gone.
type opcode uint8

const (
	softReset     opcode = 3  // P_CONTROL_SOFT_RESET_V1
	control       opcode = 4  // P_CONTROL_V1
	ack           opcode = 5  // P_ACK_V1
	dataV1        opcode = 6  // P_DATA_V1
	resetClient   opcode = 7  // P_CONTROL_HARD_RESET_CLIENT_V2
	resetServer   opcode = 8  // P_CONTROL_HARD_RESET_SERVER_V2
	dataV2        opcode = 9  // P_DATA_V2
	resetClientV3 opcode = 10 // P_CONTROL_HARD_RESET_CLIENT_V3: with a wrapped client key behind it
	controlWKC    opcode = 11 // P_CONTROL_WKC_V1: P_CONTROL_V1 with a wrapped client key behind it

	opcodeShift = 3
	keyMask     = 1<<opcodeShift - 1
)

// isReset reports whether op begins a session.
func (op opcode) isReset() bool { return op == resetClient || op == resetServer || op == resetClientV3 }

const (
	lengthLen  = 2 // of what TCP puts in front
	sessionLen = 8
	headerLen  = 1 + sessionLen
	idLen      = 4

	maxAcks  = 8 // that are accepted
	sentAcks = 4 // that are sent: SoftEther's server takes no more

	maxAckLen = 1 + sentAcks*idLen + sessionLen

	// maxFrame is the longest packet of a stream, with its length.
	maxFrame = lengthLen + 1<<16 - 1

	// maxPayload is how many TLS bytes a packet has at most; OpenVPN's buffer for them is as long.
	maxPayload = 2048
)

type sessionID [sessionLen]byte

// A packet is one of the control channel, taken apart. Its slices are parts of what it was parsed from.
type packet struct {
	op      opcode
	key     uint8 // number of the TLS session
	session sessionID
	acks    []byte    // ids of four bytes each
	peer    sessionID // session id of the receiver; zero without acknowledgements
	id      uint32    // not in an ack
	payload []byte
}

// parseHeader returns opcode, key id and session id of a control packet.
func parseHeader(p []byte) (c packet, err error) {
	if len(p) < headerLen {
		return c, errShort
	}
	c.op, c.key, c.session = opcode(p[0]>>opcodeShift), p[0]&keyMask, sessionID(p[1:headerLen])
	if c.session == (sessionID{}) {
		return c, errZero
	}
	return c, nil
}

// parseBody takes apart what is behind header and guard.
func (c *packet) parseBody(p []byte) error {
	if len(p) == 0 {
		return errShort
	}
	n := int(p[0])
	if p = p[1:]; n > maxAcks {
		return errAcks
	}
	if n > 0 {
		if len(p) < n*idLen+sessionLen {
			return errShort
		}
		c.acks, p = p[:n*idLen], p[n*idLen:]
		c.peer, p = sessionID(p[:sessionLen]), p[sessionLen:]
	}
	if c.op == ack {
		return nil
	}
	if len(p) < idLen {
		return errShort
	}
	c.id, c.payload = binary.BigEndian.Uint32(p), p[idLen:]
	if len(c.payload) > maxPayload {
		return errLong
	}
	return nil
}

// ackLen returns how many bytes n acknowledgements take.
func ackLen(n int) int {
	if n == 0 {
		return 1
	}
	return 1 + n*idLen + sessionLen
}

// Errors of bytes that a peer sent are made once, so that a flood of them allocates nothing.
var (
	errLength  = malformed("the length in front is not that of the packet")
	errShort   = malformed("a packet is shorter than its fields")
	errLong    = malformed("a control packet is longer than any that OpenVPN takes")
	errOpcode  = malformed("a packet of an unknown kind")
	errZero    = malformed("a session id of zeros")
	errSession = malformed("a packet of another session")
	errNone    = malformed("a packet, and no session yet")
	errRole    = malformed("both ends are clients, or both are servers")
	errKey     = malformed("a packet of another TLS session")
	errReset   = malformed("a reset that is not the first packet")
	errAcks    = malformed("more acknowledgements than a packet may have")
	errUnsent  = malformed("an acknowledgement of what was never sent")
	errMAC     = malformed("a packet fails authentication; have both ends the same key, digest and direction?")
	errReplay  = malformed("a replay id of zero")
	errWKC     = malformed("the key of a client was not wrapped for this server")
	errNewWKC  = malformed("the client shows another key than that with which it began")
	errNoWKC   = malformed("the client does not show its key; does it use tls-crypt-v2?")
	errNotData = fmt.Errorf("openvpn: SendSide takes packets of the data channel only")
	errTooLong = fmt.Errorf("openvpn: %w", frame.ErrTooLarge)
)

func malformed(what string) error { return fmt.Errorf("openvpn: %w: %s", frame.ErrMalformed, what) }
