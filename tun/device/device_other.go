//go:build !linux

package device

import (
	"errors"
	"runtime"

	"github.com/encase-tls/encase/tun/packet"
)

// A Device is a TUN interface. There is none for this operating system yet.
type Device struct{}

// A Queue is one of the queues of a Device.
type Queue struct{}

var errSystem = errors.New("device: TUN devices are for Linux; there is none for " + runtime.GOOS + " yet")

// Open returns an error that names the operating system.
func Open(Config) (*Device, error) { return nil, errSystem }

// Name returns the name of the interface.
func (*Device) Name() string { return "" }

// Index returns the number of the interface.
func (*Device) Index() int { return 0 }

// Queues returns the queues.
func (*Device) Queues() []*Queue { return nil }

// Offloads returns what the kernel has agreed to.
func (*Device) Offloads() Offloads { return Offloads{} }

// Withheld returns the offloads that are not used.
func (*Device) Withheld() []Withheld { return nil }

// Stats returns a snapshot.
func (*Device) Stats() Stats { return Stats{} }

// Close closes all queues.
func (*Device) Close() error { return nil }

// Stats returns a snapshot.
func (*Queue) Stats() Stats { return Stats{} }

// Read waits for a packet.
func (*Queue) Read([]byte, int) (Packet, error) { return Packet{}, errSystem }

// TryRead is Read that does not wait.
func (*Queue) TryRead([]byte, int) (Packet, error) { return Packet{}, errSystem }

// Write writes a packet.
func (*Queue) Write([]byte, int, *packet.Header, packet.GSO) error { return errSystem }

// WriteSuper writes what a packet.Coalescer has joined.
func (*Queue) WriteSuper(*packet.Super) error { return errSystem }
