package udp

import (
	"context"
	"fmt"
	"syscall"
)

// Options of a socket. The zero value does well for most.
type Options struct {
	// ReadBuffer and WriteBuffer are the sizes of the kernel's buffers in bytes; 0 leaves them as the system has them.
	// What the kernel grants may be less: Warn is told.
	ReadBuffer, WriteBuffer int

	// Offload says whether to use GSO and GRO.
	Offload Offload

	// Discover says what happens to datagrams that are longer than the path allows.
	Discover Discovery

	// Mark, if not 0, is what routing rules of Linux tell the packets of this socket by (SO_MARK). It needs CAP_NET_ADMIN;
	// other systems refuse it.
	Mark uint32

	// Warn, if set, is told of what works less well than it might, each thing once per socket: a *BufferError, and an
	// *OffloadError. It must not use the Socket.
	Warn func(error)
}

// An Offload says whether the kernel may cut and join datagrams.
type Offload uint8

const (
	OffloadAuto Offload = iota // where the kernel can, and is not known to do it wrong
	OffloadOff                 // no
	OffloadOn                  // where the kernel can, also one that is known to do it wrong
)

// A Discovery is a way to find the path MTU. Linux knows all three. Elsewhere [DiscoverProbe] is like [DiscoverKernel],
// and systems other than Windows, macOS and FreeBSD make fragments in any case.
type Discovery uint8

const (
	// DiscoverKernel forbids fragments and lets the kernel learn the path MTU from ICMP, see RFC 1191 and RFC 8201.
	// A datagram that is too long for it is refused with a *TooBigError.
	DiscoverKernel Discovery = iota

	// DiscoverProbe forbids fragments and ignores what ICMP says: only the first link's MTU counts. It is for those
	// who find the path MTU by probes of their own, https://www.rfc-editor.org/rfc/rfc8899.
	DiscoverProbe

	// DiscoverNone lets this host and routers cut datagrams into fragments, which many networks lose.
	DiscoverNone
)

// A BufferError says that the kernel grants a smaller buffer than was asked for.
type BufferError struct {
	Option         string // "ReadBuffer" or "WriteBuffer"
	Limit          string // the setting of the system that forbids more, if known
	Asked, Granted int    // bytes
}

func (e *BufferError) Error() string {
	advice := ""
	if e.Limit != "" {
		advice = fmt.Sprintf(": raise %s, or run with CAP_NET_ADMIN", e.Limit)
	}
	return fmt.Sprintf("udp: %s: asked for %d bytes, the kernel grants %d%s", e.Option, e.Asked, e.Granted, advice)
}

// An OffloadError says that an offload is not used from now on, and why. Nothing is lost but speed.
type OffloadError struct {
	Offload string // "GSO" or "GRO"
	Err     error
}

func (e *OffloadError) Error() string {
	return fmt.Sprintf("udp: %s is off, which costs speed but no data: %v", e.Offload, e.Err)
}

func (e *OffloadError) Unwrap() error { return e.Err }

func (o *Options) warn(err error) {
	if o.Warn != nil {
		o.Warn(err)
	}
}

// A control sets the options of a socket before it is bound.
type control = func(network, address string, c syscall.RawConn) error

// background is the context of what does not wait for the network but for a resolver.
var background = context.Background()

// control returns what sets o on a socket. shared: several sockets are to have the same address.
func (o *Options) control(shared bool) control {
	return func(_, _ string, c syscall.RawConn) (err error) {
		if cerr := c.Control(func(fd uintptr) { err = setOptions(fd, o, shared) }); cerr != nil {
			return cerr
		}
		return err
	}
}
