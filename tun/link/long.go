package link

import (
	"cmp"
	"errors"
	"net/netip"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/tun/packet"
	"github.com/encase-tls/encase/tun/wire"
)

// What is too long for one datagram. The tunnel is a link between two routers, and does what those do:
//
//   - IPv4 packets that allow it are cut into fragments;
//   - IPv6 packets of up to 1280 bytes, which every link must carry, travel in parts, and so do control messages;
//   - all others are dropped, and their senders told how long a packet may be.

// leastIPv6 is what a link must carry in one piece, as far as its users can tell.
// https://www.rfc-editor.org/rfc/rfc8200#section-5
const leastIPv6 = 1280

// long is what sending such things takes.
type long struct {
	fragments packet.Fragmenter
	count     uint16 // of packets in parts
}

// putControl puts a control message into the batch.
func (d *Datagrams) putControl(s *sheet, m Message) error {
	datagram := wire.AppendDatagram(nil, m.Type, m.Body)
	if m.Type == wire.TypeProbe {
		return d.probe(datagram)
	}
	if most := min(cmp.Or(d.cfg.Safe, longest), d.conn.MTU()); len(datagram) > most {
		return d.putParts(s, datagram, wire.SplitID(datagram), most)
	}
	return d.put(s, datagram, false)
}

// putParts puts a message into the batch, in datagrams of at most so many bytes. There is none that is too long for that
// but on a path that carries nothing else either.
func (d *Datagrams) putParts(s *sheet, message []byte, id uint16, most int) error {
	ok, err := wire.Split(message, id, most, func(part []byte) error { return d.put(s, part, false) })
	if !ok {
		d.stats.tooBig.Add(1)
	}
	return err
}

// probe sends a Probe, which may be longer than the path is known to allow, by itself.
func (d *Datagrams) probe(datagram []byte) error {
	err := d.conn.Probe(datagram)
	var tooLong *bio.TooLongError
	if errors.As(err, &tooLong) {
		d.refused(len(datagram))
		return nil
	}
	return err
}

func (d *Datagrams) refused(probe int) {
	if d.cfg.Refused != nil {
		d.cfg.Refused(probe)
	}
}

// sendLong does what is to be done with a Unit whose packets are longer than mtu.
func (d *Datagrams) sendLong(s *sheet, u *Unit, cut *packet.Segmenter, mtu int) error {
	fragments := packet.MayFragment(u.Data)
	if !fragments && (u.Header.Version != 6 || d.longestPiece(u) > leastIPv6) {
		d.tooBig(u, mtu)
		return nil
	}
	d.stats.sent.Add(1)
	d.stats.sentBytes.Add(uint64(len(u.Data)))
	cut.Reset(u.Data, u.Header, u.GSO, d.cfg.Partial && !fragments)
	for p, partial := cut.Next(); p != nil; p, partial = cut.Next() {
		var err error
		switch {
		case len(p) <= mtu:
			err = d.put(s, p, partial)
		case fragments:
			err = d.putFragments(s, p, mtu)
		default:
			err = d.putPacketParts(s, p, partial, mtu)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *Datagrams) putFragments(s *sheet, p []byte, mtu int) error {
	f := &d.long.fragments
	if !f.Reset(p, mtu) {
		d.stats.tooBig.Add(1)
		return nil
	}
	for q := f.Next(); q != nil; q = f.Next() {
		if err := d.put(s, q, false); err != nil {
			return err
		}
	}
	return nil
}

func (d *Datagrams) putPacketParts(s *sheet, p []byte, partial bool, mtu int) error {
	if partial {
		wire.MarkPartial(p)
	}
	d.long.count++
	return d.putParts(s, p, wire.PacketID(d.long.count), mtu)
}

// tooBigInterval bounds how often senders are told that a packet is too big.
const tooBigInterval = time.Millisecond

// tooBig drops a Unit whose packets do not fit, and tells its sender.
func (d *Datagrams) tooBig(u *Unit, mtu int) {
	d.stats.tooBig.Add(1)
	if now := time.Now(); now.Sub(d.told) >= tooBigInterval {
		d.told = now
		if u.Header.Version == 6 {
			mtu = max(mtu, leastIPv6)
		}
		answer := packet.AppendTooBig(make([]byte, unitHead, 1500), u.Data, &u.Header, d.gateway(u), mtu)
		if h, err := packet.Parse(answer[unitHead:]); err == nil {
			d.answer(answer, &h)
		}
	}
}

// answer sends a packet that is for the sender of another, which may be a peer or somebody behind the device.
func (d *Datagrams) answer(p []byte, h *packet.Header) {
	if to, _ := d.route(packet.Destination(p[unitHead:])); to != nil {
		to.Push(newUnit(p[unitHead:], *h, packet.GSO{}))
		return
	}
	d.delivered(d.to.write(p, unitHead, h, packet.GSO{}))
}

// gateway returns the address that the sender of a Unit hears from.
func (d *Datagrams) gateway(u *Unit) netip.Addr {
	to := u.Destination()
	for _, a := range d.far {
		if a.Is4() == to.Is4() {
			return a
		}
	}
	return to
}
