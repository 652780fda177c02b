package carrier

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/encase-tls/encase/tun/device"
)

// burst is how many packets are taken before those are woken who wait for them.
const burst = 32

// run receives until the interface is gone. The kernel hands over one packet at a time: as many as are there are taken
// one after the other, and each Conn is woken once.
func (d *Device) run() {
	buf := make([]byte, device.Headroom+device.Room)
	var touched []*Conn
	for {
		p, err := d.queue.Read(buf, device.Headroom)
		for n := 1; err == nil; n++ {
			touched = d.receive(p.Data, touched)
			if n == burst {
				break
			}
			p, err = d.queue.TryRead(buf, device.Headroom)
		}
		for _, c := range touched {
			c.touched = false
			c.queue.wake()
		}
		clear(touched)
		touched = touched[:0]
		switch {
		case errors.Is(err, os.ErrClosed):
			d.end(net.ErrClosed)
			return
		case err != nil && err != device.ErrNone:
			d.end(fmt.Errorf("%w: %w", ErrGone, err))
			return
		}
	}
}

// receive finds out who a packet is for, and returns touched with those who are to be woken for it.
func (d *Device) receive(p []byte, touched []*Conn) []*Conn {
	r, h, err := parse(p)
	switch {
	case err == errFragment:
		d.stats.fragments.Add(1)
	case err == errSource || err == nil && slices.Contains(d.own, r.from):
		d.stats.badSource.Add(1)
	case err == errOther:
		d.hearICMP(parseICMP(p, &h))
	case err != nil:
		d.stats.malformed.Add(1)
	default:
		return d.deliver(&r, touched)
	}
	return touched
}

// hearICMP takes in what ICMP says.
func (d *Device) hearICMP(r report, ok bool) {
	switch {
	case !ok || !slices.Contains(d.own, r.from) || !d.knows(r):
		d.stats.other.Add(1)
	case r.mtu == 0:
		d.stats.unreachable.Add(1)
	case r.mtu < d.mtu && d.paths.narrow(r.to, r.mtu, time.Now()):
		d.stats.narrowed.Add(1)
	}
}

// knows reports whether a frame as in a report can have been sent.
func (d *Device) knows(r report) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return isHost(r.to) && (d.listening[r.from] != nil || d.dialed[pair{r.from, r.to}] != nil)
}

// deliver gives a frame to those who hear its sender.
func (d *Device) deliver(r *received, touched []*Conn) []*Conn {
	d.mu.RLock()
	list := d.dialed[pair{r.to, r.from}] // never changed, but replaced
	listening := d.listening[r.to]
	d.mu.RUnlock()
	switch {
	case list != nil:
		for _, c := range list {
			touched = d.give(c, r, touched)
		}
	case listening != nil:
		touched = d.give(listening, r, touched)
	default:
		d.stats.unexpected.Add(1)
	}
	return touched
}

func (d *Device) give(c *Conn, r *received, touched []*Conn) []*Conn {
	if !c.queue.push(r.from, r.frame) {
		d.stats.full.Add(1)
		return touched
	}
	d.stats.received.Add(1)
	d.stats.receivedBytes.Add(uint64(len(r.frame)))
	if !c.touched {
		c.touched = true
		touched = append(touched, c)
	}
	return touched
}
