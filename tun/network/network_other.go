//go:build !linux

package network

import (
	"errors"
	"runtime"
)

// A Network sets up interfaces. There is none for this operating system yet.
type Network struct{}

var errSystem = errors.New("network: interfaces are set up on Linux only; not yet on " + runtime.GOOS)

// Open returns an error that names the operating system.
func Open(string) (*Network, error) { return nil, errSystem }

// Apply gives the interface with a number what s says.
func (*Network) Apply(int, Settings) error { return errSystem }

// Clear takes away what Apply gave.
func (*Network) Clear() error { return nil }

// Sweep removes what an earlier program has left behind.
func (*Network) Sweep() (int, error) { return 0, nil }

// Close gives up the connection to the kernel.
func (*Network) Close() {}
