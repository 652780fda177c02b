//go:build !linux

package carrier

import (
	"errors"
	"net/netip"
)

// A host is what the machine has been told of a device. There is none for this operating system yet: device.Open fails.
type host struct{}

var errSystem = errors.New("carrier: frames as IP packets are for Linux")

func openHost(string, int, int, []netip.Addr) (*host, error) { return nil, errSystem }

func (*host) avoid(int) error        { return errSystem }
func (*host) reach(netip.Addr) error { return errSystem }
func (*host) close() error           { return nil }

// CheckForwarding reports that there are no such devices here.
func CheckForwarding(string, []netip.Addr) error { return errSystem }

// Sweep removes nothing.
func Sweep() (int, error) { return 0, nil }
