package main

import (
	"encoding/binary"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/pion/turn/v4"

	"github.com/encase-tls/encase/wrap/admission"
)

// STUN, as far as it matters here. https://www.rfc-editor.org/rfc/rfc8489.html#section-5
const (
	stunHeader     = 20
	stunCookie     = 0x2112a442
	allocate       = 0x0003 // request
	allocateError  = 0x0113
	sendIndication = 0x0016

	attributeErrorCode = 0x0009
	attributeRealm     = 0x0014
	attributeNonce     = 0x0015
)

// A control is what pion/turn takes for its socket: a net.PacketConn for STUN, beside which channels have their data on
// the connection of a Relay. What pion/turn has to say of itself goes there: allocations, permissions, bindings and
// their refreshing. Data that it would send, which is our codec's, does not.
type control struct {
	net.Conn // for addresses, and deadlines, which pion/turn does not set
	send     func(p []byte) error
	in       chan []byte
	ended    chan struct{}
	end      sync.Once
	channel  atomic.Uint32 // on which pion/turn would have sent data; 0: none

	// pion/turn has to be asked for credentials, and a server that lets in everybody does not ask. So its first request
	// is answered here; the server does not look at what it then shows.
	ask atomic.Bool
}

var _ net.PacketConn = (*control)(nil)

func newControl(send func([]byte) error, conn net.Conn, anonymous bool) *control {
	const waiting = 64 // messages: more than pion/turn has questions
	c := &control{Conn: conn, send: send, in: make(chan []byte, waiting), ended: make(chan struct{})}
	c.ask.Store(anonymous)
	return c
}

// take takes a message for pion/turn, and returns whether there was room.
func (c *control) take(p []byte) bool {
	select {
	case c.in <- slices.Clone(p):
		return true
	default:
		return false
	}
}

// serve gives pion/turn what comes. Its own loop, turn.Client.Listen, ends with the first message that is malformed,
// which over UDP anybody may have sent: here it is dropped, and a request for which no answer comes is repeated.
func (c *control) serve(client *turn.Client) {
	p := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFrom(p)
		if err != nil {
			return
		}
		client.HandleInbound(p[:n], from)
	}
}

// ReadFrom implements net.PacketConn.
func (c *control) ReadFrom(p []byte) (int, net.Addr, error) {
	select {
	case m := <-c.in:
		return copy(p, m), c.RemoteAddr(), nil
	case <-c.ended:
		return 0, nil, net.ErrClosed
	}
}

// WriteTo implements net.PacketConn. There is one server.
func (c *control) WriteTo(p []byte, _ net.Addr) (int, error) {
	switch kind := admission.Classify(p); {
	case kind == admission.TURNChannel:
		c.channel.Store(uint32(binary.BigEndian.Uint16(p)))
		return len(p), nil
	case kind != admission.STUN || len(p) < stunHeader || method(p) == sendIndication:
		return len(p), nil
	case method(p) == allocate && c.ask.CompareAndSwap(true, false):
		c.take(challenge(p))
		return len(p), nil
	}
	return len(p), c.send(p)
}

func (c *control) close() { c.end.Do(func() { close(c.ended) }) }

func method(p []byte) uint16 { return binary.BigEndian.Uint16(p) }

// challenge returns the answer of a server that wants credentials.
// https://www.rfc-editor.org/rfc/rfc8489.html#section-9.2.4
func challenge(request []byte) []byte {
	var attributes []byte
	for _, a := range []struct {
		kind  uint16
		value string
	}{
		{attributeErrorCode, "\x00\x00\x04\x01"}, // 401
		{attributeRealm, "anyone"},
		{attributeNonce, "once"},
	} {
		attributes = binary.BigEndian.AppendUint16(attributes, a.kind)
		attributes = binary.BigEndian.AppendUint16(attributes, uint16(len(a.value)))
		attributes = append(attributes, a.value...)
		attributes = append(attributes, make([]byte, -len(a.value)&3)...)
	}
	m := binary.BigEndian.AppendUint16(nil, allocateError)
	m = binary.BigEndian.AppendUint16(m, uint16(len(attributes)))
	m = append(m, request[4:stunHeader]...) // the cookie and the transaction
	return append(m, attributes...)
}
