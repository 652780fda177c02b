package inspect

import (
	"encoding/binary"
	"errors"
	"strings"
)

// An observer reads one direction of a protocol whose ends repeat what the other has chosen, so that a Machine, which
// has chosen something else, would refuse it. It believes what it reads: the ends have found out whether it is right.
type observer interface {
	observe(p []byte) reading
}

// observers make the observer of a spec, by the name of its codec; nil: the Machine does it.
var observers = map[string]func(arg string) observer{
	"eap":     func(string) observer { return &eapObserver{} },
	"openvpn": newOpenVPNObserver,
	"radius":  func(string) observer { return &radiusObserver{} },
}

// newObserver returns nil if a Machine has to do.
func newObserver(spec string) observer {
	name, arg, _ := strings.Cut(spec, ":")
	if mk := observers[name]; mk != nil {
		return mk(arg)
	}
	return nil
}

var errCut = errors.New("inspect: shorter than its header says")

// The layout of packets of OpenVPN.
//
// https://github.com/OpenVPN/openvpn/blob/master/doc/doxygen/doc_protocol_overview.h
const (
	opcodeShift   = 3
	opcodeControl = 4
	opcodeAck     = 5
	sessionLen    = 8
	packetIDLen   = 4
	replayLen     = 8 // id and time
	tcpLengthLen  = 2

	maxEarly    = 32   // packets that came too early and are kept
	maxEarlyLen = 2048 // TLS bytes in each: OpenVPN's buffer for them is as long
)

// resets are the opcodes that begin a session, those of keys that are renewed included.
var resets = map[byte]bool{1: true, 2: true, 3: true, 7: true, 8: true, 10: true}

// openvpnObserver reads control packets, and puts what they carry in order.
type openvpnObserver struct {
	stream bool // each packet has its length in front
	mac    int  // bytes that tls-auth adds in front of the acknowledgements
	sealed bool // by tls-crypt

	next  uint32
	early map[uint32][]byte
}

func newOpenVPNObserver(arg string) observer {
	o := &openvpnObserver{}
	digests := map[string]int{"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}
	digest, signed := "sha1", false
	for option := range strings.SplitSeq(arg, ",") {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "tcp":
			o.stream = true
		case "auth":
			digest = value
		case "tls-auth":
			signed = true
		case "tls-crypt", "tls-crypt-v2":
			o.sealed = true
		}
	}
	if signed {
		o.mac = digests[digest] + replayLen
	}
	return o
}

func (o *openvpnObserver) observe(p []byte) reading {
	head := 0
	if o.stream {
		head = tcpLengthLen
	}
	if len(p) < head+1+sessionLen+o.mac+1 {
		return reading{err: errCut}
	}
	opcode := p[head] >> opcodeShift
	if opcode != opcodeControl && opcode != opcodeAck && !resets[opcode] {
		return reading{side: true} // of the data channel
	}
	if o.sealed {
		return reading{side: true, note: "encrypted with a key of tls-crypt"}
	}
	at := head + 1 + sessionLen + o.mac
	if acks := int(p[at]); acks > 0 {
		at += packetIDLen*acks + sessionLen
	}
	at++
	if opcode == opcodeAck {
		return reading{side: true}
	}
	if len(p) < at+packetIDLen {
		return reading{err: errCut}
	}
	id := binary.BigEndian.Uint32(p[at:])
	if resets[opcode] {
		again := id < o.next
		o.next, o.early = id+1, nil
		return reading{side: true, again: again}
	}
	return o.control(id, p[at+packetIDLen:])
}

// control returns what is in order with a packet.
func (o *openvpnObserver) control(id uint32, data []byte) reading {
	if id != o.next {
		again := id < o.next
		if !again && len(o.early) < maxEarly && len(data) <= maxEarlyLen {
			if o.early == nil {
				o.early = map[uint32][]byte{}
			}
			o.early[id] = append([]byte(nil), data...)
		}
		return reading{again: again}
	}
	payload := append([]byte(nil), data...)
	for o.next++; o.early[o.next] != nil; o.next++ {
		payload = append(payload, o.early[o.next]...)
		delete(o.early, o.next)
	}
	return reading{payload: payload}
}

// The layout of packets of RADIUS.
//
// https://www.rfc-editor.org/rfc/rfc2865.html#section-3
const (
	radiusHeaderLen = 20
	attributeEAP    = 79 // https://www.rfc-editor.org/rfc/rfc3579.html#section-3.1
)

// radiusObserver reads the EAP in packets of RADIUS.
type radiusObserver struct{ eap eapObserver }

func (o *radiusObserver) observe(p []byte) reading {
	if len(p) < radiusHeaderLen {
		return reading{err: errCut}
	}
	length := int(binary.BigEndian.Uint16(p[2:]))
	if length < radiusHeaderLen || length > len(p) {
		return reading{err: errCut}
	}
	var eap []byte
	for rest := p[radiusHeaderLen:length]; len(rest) > 0; {
		if len(rest) < 2 || rest[1] < 2 || int(rest[1]) > len(rest) {
			return reading{err: errCut}
		}
		n := int(rest[1])
		if rest[0] == attributeEAP {
			eap = append(eap, rest[2:n]...)
		}
		rest = rest[n:]
	}
	if len(eap) == 0 {
		return reading{side: true}
	}
	return o.eap.observe(eap)
}

// The layout of packets of EAP and EAP-TLS.
//
// https://www.rfc-editor.org/rfc/rfc5216.html#section-3.1
const (
	eapHeaderLen  = 4
	eapRequest    = 1
	eapResponse   = 2
	eapTypeTLS    = 13
	flagLength    = 0x80
	flagStart     = 0x20
	eapTLSHeader  = eapHeaderLen + 2
	flightSizeLen = 4
)

// eapObserver reads EAP-TLS. A flight is a stream: where it is cut does not matter.
type eapObserver struct {
	seen bool
	last byte // identifier
}

func (o *eapObserver) observe(p []byte) reading {
	if len(p) < eapHeaderLen {
		return reading{err: errCut}
	}
	length := int(binary.BigEndian.Uint16(p[2:]))
	if length < eapHeaderLen || length > len(p) {
		return reading{err: errCut}
	}
	p = p[:length]
	code, id := p[0], p[1]
	if code != eapRequest && code != eapResponse || length < eapTLSHeader || p[eapHeaderLen] != eapTypeTLS {
		return reading{side: true}
	}
	again := o.seen && id == o.last
	o.seen, o.last = true, id
	at, flags := eapTLSHeader, p[eapHeaderLen+1]
	if flags&flagLength != 0 {
		at += flightSizeLen
	}
	switch {
	case at > len(p):
		return reading{err: errCut}
	case again:
		return reading{again: true}
	case at == len(p) || flags&flagStart != 0:
		return reading{side: true} // an acknowledgement, or the start
	}
	return reading{payload: append([]byte(nil), p[at:]...)}
}
