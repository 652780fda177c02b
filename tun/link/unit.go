package link

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"time"

	"github.com/encase-tls/encase/tun/device"
	"github.com/encase-tls/encase/tun/packet"
	"github.com/encase-tls/encase/tun/wire"
)

// A Unit is a packet, or a super-packet, on its way from a device to a connection, in memory of its own. Its owner is
// whoever was given it last.
type Unit struct {
	device.Packet
	buf  []byte    // Data lies in it, from unitHead on
	at   time.Time // when it was queued
	next *Unit
}

// unitHead is the room in front of a packet: for the header of a frame, and for the device's own.
const unitHead = max(wire.HeaderLen, device.Headroom)

// smallUnit is how long a packet may be to be copied into memory of its size. Others keep what they were read into.
const smallUnit = 2048

var (
	largeUnits = sync.Pool{New: func() any { return &Unit{buf: make([]byte, unitHead+device.Room)} }}
	smallUnits = sync.Pool{New: func() any { return &Unit{buf: make([]byte, unitHead+smallUnit)} }}
)

// newUnit returns a Unit with a copy of p.
func newUnit(p []byte, h packet.Header, g packet.GSO) *Unit {
	units := &smallUnits
	if len(p) > smallUnit {
		units = &largeUnits
	}
	u := units.Get().(*Unit)
	u.Packet = device.Packet{Data: u.buf[unitHead : unitHead+copy(u.buf[unitHead:], p)], Header: h, GSO: g}
	return u
}

// Release gives the Unit back.
func (u *Unit) Release() {
	u.Data, u.next = nil, nil
	if cap(u.buf) > unitHead+smallUnit {
		largeUnits.Put(u)
	} else {
		smallUnits.Put(u)
	}
}

// Destination returns the address that the packet is for.
func (u *Unit) Destination() netip.Addr { return packet.Destination(u.Data) }

// long reports whether the Unit stands for many packets, or is longer than one of most networks.
func (u *Unit) long() bool { return u.GSO.Kind != packet.Single || len(u.Data) > smallUnit }

// cost is the memory that the Unit takes, in bytes.
func (u *Unit) cost() int { return len(u.buf) }

// A Reader reads Units from a queue of a device. One goroutine at a time may use it.
type Reader struct {
	q     *device.Queue
	next  *Unit   // what the next packet is read into
	burst []*Unit // what Read has returned
}

// What Read returns at once is bounded: the first of it waits for the rest.
const (
	burstUnits = 64
	burstBytes = 64 << 10
)

// NewReader returns a Reader of q.
func NewReader(q *device.Queue) *Reader { return &Reader{q: q} }

// Read waits for a packet, and returns it with others that have come by then: to pass on many at once, and to wake who
// sends them once, costs little more than one. The Units are the caller's, the slice is valid until the next call.
func (r *Reader) Read() ([]*Unit, error) {
	clear(r.burst) // while it waits, it keeps none of them
	r.burst = r.burst[:0]
	u, err := r.read(true)
	for size := 0; err == nil; u, err = r.read(false) {
		r.burst = append(r.burst, u)
		if size += len(u.Data); size >= burstBytes || len(r.burst) == burstUnits {
			break
		}
	}
	if len(r.burst) > 0 {
		return r.burst, nil // an error that is none of these packets' comes again
	}
	return nil, err
}

func (r *Reader) read(wait bool) (*Unit, error) {
	if r.next == nil {
		r.next = largeUnits.Get().(*Unit)
	}
	u, read := r.next, (*device.Queue).TryRead
	if wait {
		read = (*device.Queue).Read
	}
	p, err := read(r.q, u.buf, unitHead)
	if err != nil {
		return nil, err
	}
	if len(p.Data) > smallUnit {
		r.next = nil
		u.Packet = p
		return u, nil
	}
	s := smallUnits.Get().(*Unit)
	s.Packet = p
	s.Data = s.buf[unitHead : unitHead+copy(s.buf[unitHead:], p.Data)]
	return s, nil
}

// Close releases what the Reader holds.
func (r *Reader) Close() {
	if r.next != nil {
		r.next.Release()
		r.next = nil
	}
}

// flowOf returns a number that is the same for all packets of a flow, and hard to guess for others.
func flowOf(p *device.Packet, seed uint64) uint32 {
	h := seed
	mix := func(word uint64) {
		h ^= word
		h *= 0x9e3779b97f4a7c15
		h ^= h >> 32
	}
	d := p.Data
	if p.Header.Version == 4 {
		mix(binary.NativeEndian.Uint64(d[12:]))
	} else {
		for at := 8; at < 40; at += 8 {
			mix(binary.NativeEndian.Uint64(d[at:]))
		}
	}
	if p.Header.Payload > 0 {
		mix(uint64(binary.NativeEndian.Uint32(d[p.Header.Transport:])))
	}
	mix(uint64(p.Header.Protocol))
	return uint32(h >> 32)
}
