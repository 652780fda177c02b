package datagram

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap/udp"
)

// A socketOutput sends by a UDP socket, which may be shared.
type socketOutput struct{ sock *udp.Socket }

func (o *socketOutput) limits() frame.Limits { return frame.Limits{Max: maxPayload} }
func (o *socketOutput) start(*Conn)          {}
func (o *socketOutput) full() bool           { return false }
func (o *socketOutput) taken()               {}
func (o *socketOutput) end(*Conn) error      { return nil }

func (o *socketOutput) send(c *Conn, frames []*frame.Buf) error {
	s := scratches.Get().(*scratch)
	defer s.release()
	for _, b := range frames {
		s.packets = append(s.packets, udp.Packet{Data: b.Bytes()})
	}
	err := o.sendPackets(c, s.packets)
	releaseAll(frames)
	return err
}

func (o *socketOutput) sendPackets(c *Conn, packets []udp.Packet) error {
	if to := c.to.Load(); to != nil {
		for i := range packets {
			packets[i].Addr, packets[i].Local = to.addr, to.local
		}
	}
	_, err := o.sock.WriteBatch(packets)
	return err
}

func (o *socketOutput) socket() *udp.Socket { return o.sock }

// Offloads reports whether the kernel cuts what c sends (GSO) and joins what it receives (GRO), and why not. A Conn
// without a socket of UDP, as one over a stream, has none of this.
func (c *Conn) Offloads() (gso, gro bool, withheld []*udp.OffloadError) {
	o, ok := c.out.(interface{ socket() *udp.Socket })
	if !ok || o.socket() == nil {
		return false, false, nil
	}
	gso, gro = o.socket().Offloads()
	return gso, gro, o.socket().Withheld()
}

// Dial connects to a server over UDP and shakes hands; network is udp, udp4 or udp6. If Config.TLS has no ServerName,
// the host in the address is taken for it.
func Dial(ctx context.Context, network, address string, cfg *Config) (*Conn, error) {
	cfg, err := cfg.withServerName(address)
	if err != nil {
		return nil, err
	}
	sock, err := udp.Dial(network, address, cfg.Socket)
	if err != nil {
		return nil, err
	}
	c, err := newConn(cfg, frame.Client, &dialed{socketOutput{sock}}, sock, nil, nil)
	if err != nil {
		sock.Close()
		return nil, err
	}
	if err := c.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// withServerName returns c with the host of an address as the ServerName, if it has a TLS and that has none.
func (c *Config) withServerName(address string) (*Config, error) {
	if c == nil {
		return nil, errNoConfig
	}
	if c.TLS == nil || c.TLS.ServerName != "" {
		return c, nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return nil, fmt.Errorf("datagram: no server name: set Config.TLS.ServerName, %q has none", address)
	}
	named := c.Clone()
	named.TLS = c.TLS.Clone()
	named.TLS.ServerName = host
	return named, nil
}

// A dialed is the output by a socket that belongs to one Conn.
type dialed struct{ socketOutput }

func (o *dialed) start(c *Conn)   { go o.receive(c) }
func (o *dialed) end(*Conn) error { return o.sock.Close() }

// receive gives c what comes, until the socket is closed. Other errors are what ICMP says, which anybody may have sent.
func (o *dialed) receive(c *Conn) {
	const pause = 10 * time.Millisecond // or an error that stays would take all the time there is
	packets, r := make([]udp.Packet, 1), new(room)
	for {
		n, err := o.sock.ReadBatchLent(packets, r)
		if n > 0 {
			c.deliver(packets[0].Data, packets[0].Segment, endpoint{})
			r.Return(packets)
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(pause)
		}
	}
}

// A room is where a dialed receives, while there is something to receive.
type room struct{ buf *frame.Buf }

func (r *room) Lend(packets []udp.Packet) {
	r.buf = frame.Get(0, udp.MaxRead)
	packets[0].Data = r.buf.Tail()
}

func (r *room) Return(packets []udp.Packet) {
	r.buf.Release()
	r.buf, packets[0].Data = nil, nil
}

var _ gatherer = (*socketOutput)(nil)
