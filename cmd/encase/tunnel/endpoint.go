package tunnel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/tun"
	"github.com/encase-tls/encase/tun/carrier"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/admission"
	"github.com/encase-tls/encase/wrap/datagram"
	"github.com/encase-tls/encase/wrap/udp"
)

// An endpoint is where a server listens, or where a client finds it.
type endpoint struct {
	path       string // in the configuration
	carrier    string // tcp, udp or tun253
	address    string
	host, port string // of address; no port for tun253
	spec       string // of the codec
	codec      frame.Maker
	preambles  []frame.Preamble
	mtu        int
	handshake  int // longest datagram of a handshake, without the codec
	serverName string
}

const (
	writeBuffer  = 128 << 10 // frames behind this wait where others can overtake them
	messageQueue = 4 << 20   // messages of one peer that wait to be read
	socketBuffer = 4 << 20   // the kernel's, for bursts
	replayWindow = 1024      // datagrams may overtake that many others on several queues of a network
)

func (c *config) endpoint(path string) endpoint {
	d := c.doc
	e := endpoint{path: path, carrier: get[string](d, path+".carrier"), address: get[string](d, path+".address"),
		spec: get[string](d, path+".codec"), mtu: get[int](d, path+".mtu")}
	c.readAddress(&e)
	e.serverName = e.host
	c.readCodec(&e)
	for _, spec := range get[[]string](d, path+".preamble") {
		p, err := preamble.Parse(spec)
		if err != nil {
			d.wrong(path+".preamble", "%v; see: encase preamble list", err)
			continue
		}
		e.preambles = append(e.preambles, p)
	}
	switch {
	case e.datagrams() && d.has(path+".preamble"):
		d.wrong(path+".preamble", "is for carrier = \"tcp\"; take it out")
	case e.carrier == "tcp" && d.has(path+".mtu"):
		d.wrong(path+".mtu", "is for carrier = \"udp\" and \"tun253\"; take it out, interface.mtu is the one of the tunnel")
	}
	return e
}

// datagrams reports whether the endpoint is for DTLS.
func (e *endpoint) datagrams() bool { return e.carrier != "tcp" }

// readAddress reads where the endpoint is.
func (c *config) readAddress(e *endpoint) {
	d, at := c.doc, e.path+".address"
	switch {
	case !d.has(at):
		d.wrong(at, `is missing; write: address = "vpn.example.net:443"`)
	case e.address == "": // which has been reported
	case e.carrier == overFrames:
		c.readFrames(e)
	case c.side == server && strings.HasPrefix(e.address, inheritedPrefix):
		if e.address == inheritedPrefix {
			d.wrong(at, `%q has no name; write "fd:NAME"`, e.address)
		}
	default:
		if _, err := address.parse(e.address); err != nil {
			d.wrong(at, "%v", err)
			return
		}
		e.host, e.port, _ = net.SplitHostPort(e.address)
	}
}

// readCodec makes the codec and reports what cannot travel over the carrier.
func (c *config) readCodec(e *endpoint) {
	at := e.path + ".codec"
	var err error
	if e.codec, err = codecs.Parse(e.spec); err != nil {
		c.doc.wrong(at, "%v; see: encase codec list", err)
		return
	}
	role := frame.Server
	if c.side == client {
		role = frame.Client
	}
	m, err := e.codec(role)
	if err != nil {
		c.doc.wrong(at, "%v", err)
		return
	}
	_, delimits := m.(frame.Delimiter)
	_, timed := m.(frame.Timed)
	_, holds := m.(frame.Backlogger)
	name, _, _ := strings.Cut(e.spec, ":")
	kinds := codecs.Stream | codecs.Datagram
	if i := slices.IndexFunc(codecs.List(), func(i codecs.Info) bool { return i.Name == name }); i >= 0 {
		kinds = codecs.List()[i].Carriers
	}
	switch over := e.datagrams(); {
	case frame.IsRaw(m):
	case over && (timed || holds || kinds&codecs.Datagram == 0):
		c.doc.wrong(at, "%q does not frame each datagram by itself; choose another, or carrier = \"tcp\"; see: encase "+
			"codec list",
			e.spec)
	case !over && !delimits && !timed && !holds:
		c.doc.wrong(at, "%q does not tell frames apart in a stream; choose another, or carrier = \"udp\"; see: encase "+
			"codec list",
			e.spec)
	}
	e.handshake = max(tun.SafeDatagram-m.Limits().Head-m.Limits().Tail, leastHandshake)
	if l := m.Limits(); e.datagrams() && e.mtu-l.Head-l.Tail < leastDatagram {
		c.doc.wrong(e.path+".mtu", "leaves %d bytes in a datagram behind the codec, DTLS needs %d; raise it",
			e.mtu-l.Head-l.Tail, leastDatagram)
	}
}

// leastDatagram is what datagrams must have room for. Handshakes are cut shorter: nothing is known yet of the path, and so
// they are as short as every path carries, but not shorter than leastHandshake, which DTLS needs.
const leastDatagram, leastHandshake = 512, 256

// String returns the endpoint for people.
func (e *endpoint) String() string { return e.carrier + "://" + e.address }

func (e *endpoint) streamConfig(t *tls.Config) *wrap.Config {
	return &wrap.Config{TLS: t, Codec: e.codec, Preambles: e.preambles, WriteBuffer: writeBuffer}
}

// datagramConfig returns a configuration; mark is that of a client's socket.
func (e *endpoint) datagramConfig(t *tls.Config, mark uint32) *datagram.Config {
	codec := e.codec
	if e.spec == "raw" {
		codec = nil
	}
	return &datagram.Config{
		TLS: t, Codec: codec, MTU: e.mtu, Queue: messageQueue,
		Stack:  dtls.Stack(dtls.Options{SendCID: true, ReplayWindow: replayWindow, MTU: e.handshake}),
		Socket: udp.Options{ReadBuffer: socketBuffer, WriteBuffer: socketBuffer, Mark: mark},
	}
}

// entrance listens; frames is nil if there are none as IP packets.
func (e *endpoint) entrance(t *tls.Config, limits admission.Limits, frames *carrier.Device) (tun.Entrance, error) {
	out := tun.Entrance{Codec: e.spec}
	var err error
	switch options := (datagram.ListenOptions{Limits: limits}); e.carrier {
	case overFrames:
		out.Datagrams, err = e.listenFrames(frames, e.datagramConfig(t, 0), options)
	case "udp":
		out.Datagrams, err = e.listenPacket(e.datagramConfig(t, 0), options)
	default:
		out.TLS = e.streamConfig(t)
		out.Stream, err = e.listenStream()
	}
	if err != nil {
		return tun.Entrance{}, fmt.Errorf("listening on %s: %w; is another program there, or the address not of this "+
			"machine?", e, err)
	}
	return out, nil
}

// listenPacket returns an interface, which is nil if there is an error.
func (e *endpoint) listenPacket(cfg *datagram.Config, o datagram.ListenOptions) (net.Listener, error) {
	name, handed := strings.CutPrefix(e.address, inheritedPrefix)
	if !handed {
		return listener(datagram.Listen("udp", e.address, cfg, o))
	}
	f, err := inherited(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // what is made of it has its own
	pc, err := net.FilePacketConn(f)
	if err != nil {
		return nil, fmt.Errorf("the socket %q takes no datagrams (ListenDatagram=): %w", name, err)
	}
	return listener(datagram.NewListener(pc, cfg, o))
}

func listener(l *datagram.Listener, err error) (net.Listener, error) {
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (e *endpoint) listenStream() (net.Listener, error) {
	name, handed := strings.CutPrefix(e.address, inheritedPrefix)
	if !handed {
		return net.Listen("tcp", e.address)
	}
	f, err := inherited(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("the socket %q takes no connections (ListenStream=): %w", name, err)
	}
	return l, nil
}

// A dialer connects to endpoints of one server.
type dialer struct {
	tls    *tls.Config // without ServerName
	mark   uint32
	find   *resolver
	frames *carrier.Device // nil: there are none as IP packets
}

// endpoint returns e for a client.
func (d *dialer) endpoint(e endpoint) tun.Endpoint {
	out := tun.Endpoint{Name: e.String(), Carrier: tun.Stream, Codec: e.spec}
	t := d.tls.Clone()
	t.ServerName = e.serverName
	connect := d.stream
	switch e.carrier {
	case "udp":
		out.Carrier, connect = tun.Datagrams, d.datagrams
	case overFrames:
		out.Carrier, connect = tun.Datagrams, d.viaFrames
	}
	out.Dial = func(ctx context.Context) (net.Conn, error) {
		list, err := d.find.lookup(ctx, e.host)
		if err != nil {
			return nil, err
		}
		return each(ctx, list, func(ctx context.Context, a netip.Addr) (net.Conn, error) {
			return connect(ctx, &e, t, a)
		})
	}
	return out
}

// each tries addresses one after the other, each with its part of the time that is left.
func each(ctx context.Context, list []netip.Addr, try func(context.Context, netip.Addr) (net.Conn, error)) (net.Conn,
	error) {
	const patience = 10 * time.Second
	var all error
	for i, a := range list {
		wait := patience
		if until, ok := ctx.Deadline(); ok {
			wait = min(wait, time.Until(until)/time.Duration(len(list)-i))
		}
		one, cancel := context.WithTimeout(ctx, wait)
		conn, err := try(one, a)
		cancel()
		if err == nil {
			return conn, nil
		}
		all = errors.Join(all, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, all
}

func (d *dialer) stream(ctx context.Context, e *endpoint, t *tls.Config, to netip.Addr) (net.Conn, error) {
	raw, err := (&net.Dialer{Control: marked(d.mark)}).DialContext(ctx, "tcp", net.JoinHostPort(to.String(), e.port))
	if err != nil {
		return nil, err
	}
	tun.Tune(raw)
	conn := wrap.Client(wrap.Stream(raw), e.streamConfig(t))
	if err := conn.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (d *dialer) datagrams(ctx context.Context, e *endpoint, t *tls.Config, to netip.Addr) (net.Conn, error) {
	return datagram.Dial(ctx, "udp", net.JoinHostPort(to.String(), e.port), e.datagramConfig(t, d.mark))
}
