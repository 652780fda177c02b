//go:build !linux

package network

import "net/netip"

// A Watcher hears when the network of this machine changes. There is none for this operating system yet.
type Watcher struct{}

// Watch returns an error that names the operating system.
func Watch(string) (*Watcher, error) { return nil, errSystem }

// Changes returns nil: nothing is heard.
func (*Watcher) Changes() <-chan struct{} { return nil }

// Path returns the zero Path.
func (*Watcher) Path(netip.Addr, uint32) Path { return Path{} }

// Close does nothing.
func (*Watcher) Close() {}
