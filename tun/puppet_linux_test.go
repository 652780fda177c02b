package tun

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/tun/packet"
	"github.com/encase-tls/encase/tun/wire"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/datagram"
)

// A puppet is an end of a connection that says what a test wants it to say, right or wrong. It has no device.
type puppet struct {
	conn    net.Conn
	carrier Carrier
	config  wire.Config
	buf     []byte
}

// dialPuppet connects, from the namespace that the caller is in.
func dialPuppet(ctx context.Context, carrier Carrier, cert tls.Certificate, roots *x509.CertPool) (*puppet, error) {
	t := &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots, ServerName: "server.test"}
	p := &puppet{carrier: carrier, buf: make([]byte, 1<<16)}
	if carrier == Datagrams {
		conn, err := datagram.Dial(ctx, "udp", datagramPort, &datagram.Config{TLS: t, MTU: 1472,
			Stack: dtls.Stack(dtls.Options{SendCID: true})})
		p.conn = conn
		return p, err
	}
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", streamPort)
	if err != nil {
		return nil, err
	}
	conn := wrap.Client(wrap.Stream(raw), &wrap.Config{TLS: t, Codec: lengthCodec()})
	p.conn = conn
	if err := conn.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return p, nil
}

func lengthCodec() frame.Maker {
	mk, err := codecs.Parse("length:16be")
	if err != nil {
		panic(err)
	}
	return mk
}

// puppet connects from the namespace of the server.
func (r *rig) puppet(carrier Carrier, cert tls.Certificate) (p *puppet, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	err = r.ns.Try(func() error { p, err = dialPuppet(ctx, carrier, cert, r.ca.Pool()); return err })
	return p, err
}

// joined returns a puppet that has a session.
func (r *rig) joined(t testing.TB, carrier Carrier, cert tls.Certificate) *puppet {
	t.Helper()
	p, err := r.puppet(carrier, cert)
	if err == nil {
		err = p.join("")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.conn.Close() })
	return p
}

// write sends bytes as they are: some of a stream, or one datagram.
func (p *puppet) write(b []byte) error {
	p.conn.SetWriteDeadline(time.Now().Add(openTime))
	_, err := p.conn.Write(b)
	return err
}

func (p *puppet) say(t wire.Type, body []byte) error { return tell(p.conn, t, body) }

// packet sends a packet in a frame of its own.
func (p *puppet) packet(b []byte, g packet.GSO) error {
	if p.carrier == Datagrams {
		return p.write(b)
	}
	h := make([]byte, wire.HeaderLen, wire.HeaderLen+len(b))
	wire.PutPacket(h, len(b), g)
	return p.write(append(h, b...))
}

// hear returns the next frame of the server, and its body, which is valid until the next call.
func (p *puppet) hear(patience time.Duration) (f wire.Frame, body []byte, err error) {
	p.conn.SetReadDeadline(time.Now().Add(patience))
	if p.carrier == Datagrams {
		n, err := p.conn.Read(p.buf)
		if err != nil {
			return f, nil, err
		}
		return wire.ParseDatagram(p.buf[:n])
	}
	if _, err := io.ReadFull(p.conn, p.buf[:wire.HeaderLen]); err != nil {
		return f, nil, err
	}
	if f, err = wire.ParseHeader(p.buf); err == nil {
		_, err = io.ReadFull(p.conn, p.buf[:f.Length])
	}
	return f, p.buf[:f.Length], err
}

// hearControl returns the next control message but questions, which it answers.
func (p *puppet) hearControl(patience time.Duration) (wire.Type, []byte, error) {
	for {
		f, body, err := p.hear(patience)
		switch {
		case err != nil:
			return 0, nil, err
		case !f.Control:
		case f.Type == wire.TypePing:
			if ping, err := wire.ParsePing(body); err == nil {
				p.say(wire.TypePong, wire.AppendPing(nil, wire.Ping{ID: ping.ID}))
			}
		case f.Type != wire.TypeProbe:
			return f.Type, body, nil
		}
	}
}

// join says Hello and waits for the answer. A Bye is the error.
func (p *puppet) join(resume string) error {
	hello := wire.AppendJSON(nil, wire.Hello{Version: wire.Version, Features: []string{wire.FeatureTCP}, Resume: resume})
	if err := p.say(wire.TypeHello, hello); err != nil {
		return err
	}
	t, body, err := p.hearControl(openTime)
	switch {
	case err != nil:
		return err
	case t == wire.TypeConfig:
		p.config, err = wire.ParseConfig(body)
		return err
	case t == wire.TypeBye:
		bye, err := wire.ParseBye(body)
		if err == nil {
			err = &bye
		}
		return err
	}
	return fmt.Errorf("the answer is a %v", t)
}

// answer answers questions until the connection ends.
func (p *puppet) answer() {
	for {
		if _, _, err := p.hearControl(time.Hour); err != nil {
			return
		}
	}
}

// address returns that of IPv4.
func (p *puppet) address() [4]byte { return p.config.Addresses[0].Addr().As4() }

// echoRequest makes an ICMP echo request.
func echoRequest(from, to [4]byte, payload int) []byte {
	p := make([]byte, 28+payload)
	p[0], p[8], p[9], p[20] = 0x45, 64, 1, 8
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	copy(p[12:], from[:])
	copy(p[16:], to[:])
	binary.BigEndian.PutUint16(p[10:], ^onesSum(p[:20]))
	binary.BigEndian.PutUint16(p[22:], ^onesSum(p[20:]))
	return p
}

// onesSum is the sum of RFC 1071.
func onesSum(p []byte) uint16 {
	var s uint32
	for i := 0; i+1 < len(p); i += 2 {
		s += uint32(binary.BigEndian.Uint16(p[i:]))
	}
	if len(p)%2 == 1 {
		s += uint32(p[len(p)-1]) << 8
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// pour sends datagrams to an address as fast as it can until the function that it returns is called, which tells how
// many they were.
func (r *rig) pour(t *testing.T, to netip.Addr) (stop func() int) {
	t.Helper()
	var conn net.Conn
	r.ns.Do(func() (err error) { conn, err = net.Dial("udp", net.JoinHostPort(to.String(), "9")); return err })
	over, sent := make(chan struct{}), make(chan int)
	go func() {
		block, n := make([]byte, 1300), 0
		for {
			select {
			case <-over:
				conn.Close()
				sent <- n
				return
			default:
			}
			if _, err := conn.Write(block); err == nil {
				n++
			}
			if n%64 == 63 {
				time.Sleep(time.Millisecond)
			}
		}
	}()
	return func() int { close(over); return <-sent }
}
