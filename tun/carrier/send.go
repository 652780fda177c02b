package carrier

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/encase-tls/encase/tun/device"
	"github.com/encase-tls/encase/tun/packet"
)

// shape4 and shape6 are what is to be known of the packets that are sent.
var (
	shape4 = packet.Header{Version: 4, Protocol: Protocol, Plain: true, Transport: header4}
	shape6 = packet.Header{Version: 6, Protocol: Protocol, Plain: true, Transport: header6}
)

// send sends a frame of c.
func (d *Device) send(c *Conn, p []byte, to netip.Addr) error {
	head := headerLen(to)
	if most := d.paths.mtu(to, d.mtu); head+len(p) > most {
		d.stats.tooBig.Add(1)
		return &TooBigError{Peer: to, Size: len(p), MTU: most}
	}
	h := &shape4
	if to.Is6() {
		h = &shape6
	}
	d.writing.Lock()
	putHeader(d.room[device.Headroom:], c.local, to, len(p))
	n := copy(d.room[device.Headroom+head:], p)
	err := d.queue.Write(d.room[:device.Headroom+head+n], device.Headroom, h, packet.GSO{})
	d.writing.Unlock()
	if err != nil {
		d.stats.unsent.Add(1)
		return d.sendError(err)
	}
	d.stats.sent.Add(1)
	d.stats.sentBytes.Add(uint64(n))
	return nil
}

func (d *Device) sendError(err error) error {
	switch {
	case d.Err() != nil:
		return d.Err()
	case errors.Is(err, os.ErrClosed):
		return net.ErrClosed
	case errors.Is(err, device.ErrDown):
		return fmt.Errorf("carrier: %w: %w", err, syscall.ENETDOWN)
	}
	return fmt.Errorf("carrier: %w: %w", err, syscall.ENOBUFS)
}
