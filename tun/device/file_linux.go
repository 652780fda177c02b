package device

import (
	"fmt"
	"os"
)

// FromFile returns a Device of one queue over a file that somebody else has opened: the descriptor of a TUN interface
// that was set up by another program, with headers for offloads in front of packets, or whatever reads and writes such
// packets one at a time, as a pair of sockets does in tests. The Device takes the file over. name is for people, o what
// the interface was told to take; its Index is not known, and 0.
func FromFile(f *os.File, name string, o Offloads) (*Device, error) {
	d := &Device{name: name, offloads: o}
	q, err := newQueue(d, f)
	if err != nil {
		return nil, fmt.Errorf("device: %s: %w", name, err)
	}
	d.queues = []*Queue{q}
	return d, nil
}
