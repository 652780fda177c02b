package udp

import (
	"fmt"
	"net/netip"
)

// MaxDatagram is the longest payload of a datagram, in bytes, that goes to any address.
// https://www.rfc-editor.org/rfc/rfc791#section-3.1 : a packet has 16 bits of length, of which headers take 28 bytes.
const MaxDatagram = 65535 - headers4

// The least that the headers of IP and UDP take.
const (
	headers4 = 20 + 8
	headers6 = 40 + 8
)

// MaxPayload returns how many bytes fit into a datagram to addr that travels in IP packets of mtu bytes, if no options
// or extensions take room.
func MaxPayload(addr netip.Addr, mtu int) int {
	headers := headers6
	if addr.Unmap().Is4() {
		headers = headers4
	}
	return min(max(mtu-headers, 0), MaxDatagram)
}

// A TooBigError says that a datagram is longer than the path to its peer allows. It was not sent.
type TooBigError struct {
	Addr netip.AddrPort // where it was to go
	Size int            // of the datagram, in bytes
	MTU  int            // longest IP packet that the kernel believes to reach Addr; 0: it does not say
	Err  error          // what the kernel said
}

func (e *TooBigError) Error() string {
	known := "the path MTU is not known"
	if e.MTU > 0 {
		known = fmt.Sprintf("the path MTU is %d, which leaves %d", e.MTU, e.MaxPayload())
	}
	return fmt.Sprintf("udp: %d bytes to %v are too many for one datagram: %s", e.Size, e.Addr, known)
}

func (e *TooBigError) Unwrap() error { return e.Err }

// MaxPayload returns the length of a datagram that would not be too big, or 0 if it is not known.
func (e *TooBigError) MaxPayload() int {
	if e.MTU == 0 {
		return 0
	}
	return MaxPayload(e.Addr.Addr(), e.MTU)
}

// A SendError says that the kernel refuses to send to one peer. It says nothing of other peers.
type SendError struct {
	Addr netip.AddrPort
	Err  error
}

func (e *SendError) Error() string { return fmt.Sprintf("udp: sending to %v: %v", e.Addr, e.Err) }

func (e *SendError) Unwrap() error { return e.Err }

// plainError is an error with a constant text, as the errors that one packet can have.
type plainError string

func (e plainError) Error() string { return string(e) }

const (
	errNoAddress plainError = "the packet has no address and the socket no peer: set Addr"
	errOtherPeer plainError = "the socket is connected to another peer"
	errFamily    plainError = "the socket, Addr and Local are not all of one family of addresses"
)
