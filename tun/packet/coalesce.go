package packet

import (
	"bytes"
	"encoding/binary"
)

// A Coalescer puts packets of one flow that follow each other together again, as a network card with receive offload
// does: one write to a device then does the work of many. Packets of a flow keep their order, and what cannot be put
// together stays as it is. The rules are those of Linux: what it could not cut into the same packets again is not
// joined. The zero value is ready.
//
// A Coalescer keeps what it is given until Flush: nothing is copied.
type Coalescer struct {
	// NoTCP and NoUDP leave TCP or UDP alone: the device cannot take it.
	NoTCP, NoUDP bool

	groups []group // those of index used and above keep their arrays for later
	used   int
	super  Super // for Flush
}

// maxFlows bounds how far Add looks back for the flow of a packet. What is further back is only not joined: order is that
// of the groups.
const maxFlows = 64

// A Super is a packet in pieces: First holds all its headers and a piece of its payload, Rest what follows.
type Super struct {
	First  []byte
	Rest   [][]byte
	Header Header // of the whole
	GSO    GSO
}

// A group is a packet, or several that have been joined.
type group struct {
	first   []byte
	h       Header
	rest    [][]byte
	partial bool // of first
	open    bool // another may follow
	size    int  // payload of first
	total   int  // length of all
	flags   byte // of TCP, of all
	next    uint32
}

// Empty reports whether Flush has nothing to write.
func (c *Coalescer) Empty() bool { return c.used == 0 }

// Add takes one packet, which Parse has accepted. partial says that its transport's checksum is still to be computed.
// The packet must not change until Flush.
func (c *Coalescer) Add(p []byte, h Header, partial bool) {
	joins := c.joins(p, &h, partial)
	for i := c.used - 1; i >= max(0, c.used-maxFlows); i-- {
		g := &c.groups[i]
		if !sameFlow(g, p, &h) {
			continue
		}
		if g.open && joins && g.accepts(p, &h) {
			g.append(p, &h)
			return
		}
		g.open = false
		break
	}
	c.start(p, h, partial, joins)
}

func (c *Coalescer) start(p []byte, h Header, partial, joins bool) {
	if c.used == len(c.groups) {
		c.groups = append(c.groups, group{})
	}
	g := &c.groups[c.used]
	c.used++
	*g = group{first: p, h: h, rest: g.rest[:0], partial: partial, open: joins, total: len(p)}
	if !joins {
		return
	}
	g.size = len(p) - h.Payload
	if h.Protocol == TCP {
		tcp := p[h.Transport:]
		g.flags = tcp[13]
		g.next = binary.BigEndian.Uint32(tcp[4:]) + uint32(g.size)
		g.open = g.flags&tcpPSH == 0
	}
}

// joins reports whether p is of a kind that can be joined with others: it has a payload, nothing out of the ordinary,
// and a checksum that is right, since nobody will look at it again.
func (c *Coalescer) joins(p []byte, h *Header, partial bool) bool {
	if !h.Plain || h.Payload == 0 || h.Payload == len(p) {
		return false
	}
	if h.Version == 4 && p[6]&0x80 != 0 {
		return false
	}
	switch {
	case h.Protocol == TCP && c.NoTCP, h.Protocol == UDP && c.NoUDP:
		return false
	case h.Protocol == TCP && p[h.Transport+13]&^(tcpPSH|tcpECE) != tcpACK:
		return false
	}
	return partial || checksumHolds(p, h)
}

// sameFlow reports whether p belongs to the flow of g, as far as order matters.
func sameFlow(g *group, p []byte, h *Header) bool {
	if g.h.Version != h.Version || g.h.Protocol != h.Protocol {
		return false
	}
	if h.Version == 4 {
		if !bytes.Equal(g.first[12:20], p[12:20]) {
			return false
		}
	} else if !bytes.Equal(g.first[8:40], p[8:40]) {
		return false
	}
	if h.Payload == 0 || g.h.Payload == 0 {
		return true // what it carries nobody knows: nothing may overtake it
	}
	return bytes.Equal(g.first[g.h.Transport:g.h.Transport+4], p[h.Transport:h.Transport+4])
}

// accepts reports whether p, of the same flow, can follow what is in g.
func (g *group) accepts(p []byte, h *Header) bool {
	size := len(p) - h.Payload
	if size > g.size || g.total+size > MaxLen || g.h.Payload != h.Payload || !g.sameIP(p, h) {
		return false
	}
	if h.Protocol == UDP {
		return 1+len(g.rest) < MaxUDPSegments
	}
	was, is := g.first[g.h.Transport:g.h.Payload], p[h.Transport:h.Payload]
	return binary.BigEndian.Uint32(is[4:]) == g.next &&
		bytes.Equal(was[8:13], is[8:13]) && // acknowledgement, length of the header
		(was[13]^is[13])&^tcpPSH == 0 &&
		bytes.Equal(was[14:16], is[14:16]) && bytes.Equal(was[18:], is[18:]) // window; urgent pointer and options
}

// sameIP reports whether the IP header of p is what cutting would make of that of g.
func (g *group) sameIP(p []byte, h *Header) bool {
	q := g.first
	if h.Version == 6 {
		return bytes.Equal(q[:4], p[:4]) && q[7] == p[7] // traffic class, flow label; hop limit
	}
	const dontFragment = 0x40
	if p[6]&dontFragment == 0 {
		id := binary.BigEndian.Uint16(q[4:]) + uint16(1+len(g.rest))
		if binary.BigEndian.Uint16(p[4:]) != id {
			return false
		}
	}
	return bytes.Equal(q[:2], p[:2]) && bytes.Equal(q[6:9], p[6:9]) // type of service; fragmentation, TTL
}

func (g *group) append(p []byte, h *Header) {
	payload := p[h.Payload:]
	g.rest = append(g.rest, payload)
	g.total += len(payload)
	if len(payload) < g.size {
		g.open = false
	}
	if h.Protocol == TCP {
		flags := p[h.Transport+13]
		g.flags |= flags
		g.next += uint32(len(payload))
		g.open = g.open && flags&tcpPSH == 0
	}
}

// Flush hands what was added to write, in an order that keeps that of every flow, and forgets it. It returns the first
// error, and goes on behind it: one packet that a device refuses is no reason to lose others.
func (c *Coalescer) Flush(write func(*Super) error) (err error) {
	for i := range c.groups[:c.used] {
		g := &c.groups[i]
		g.finish(&c.super)
		if e := write(&c.super); e != nil && err == nil {
			err = e
		}
		clear(g.rest)
		g.first = nil
	}
	c.used, c.super = 0, Super{}
	return err
}

// finish makes one packet of a group.
func (g *group) finish(s *Super) {
	*s = Super{First: g.first, Rest: g.rest, Header: g.h, GSO: GSO{Partial: g.partial}}
	if len(g.rest) == 0 {
		return
	}
	p := g.first
	s.GSO = GSO{Kind: kindOf(&g.h), Partial: true, Size: uint16(g.size)}
	if g.h.Version == 4 {
		binary.BigEndian.PutUint16(p[2:], uint16(g.total))
		putHeaderChecksum(p[:g.h.Transport])
	} else {
		binary.BigEndian.PutUint16(p[4:], uint16(g.total-ipv6Header))
	}
	length := g.total - g.h.Transport
	transport := p[g.h.Transport:]
	if g.h.Protocol == TCP {
		transport[13] = g.flags
	} else {
		binary.BigEndian.PutUint16(transport[4:], uint16(length))
	}
	at := checksumAt(g.h.Protocol)
	binary.NativeEndian.PutUint16(transport[at:], fold(pseudo(p, g.h.Version, g.h.Protocol, length)))
}

func kindOf(h *Header) Kind {
	switch {
	case h.Protocol == TCP && h.Version == 4:
		return TCP4
	case h.Protocol == TCP:
		return TCP6
	case h.Version == 4:
		return UDP4
	}
	return UDP6
}
