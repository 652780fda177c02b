package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/turn/v4"

	"github.com/encase-tls/encase/codecs/channeldata"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap/admission"
)

// Credentials are what a TURN server knows a user by. The zero value is for a server that lets in everybody.
type Credentials struct{ Username, Password string }

// A Relay is an allocation on a TURN server: an address there, the relayed one, from which the server sends datagrams
// to peers, and at which it takes theirs. It lasts until Close; pion/turn keeps it alive.
//
// There is one connection to the server, over UDP or a stream, and two that speak on it. Each message that comes is
// told by its first byte: STUN is for pion/turn, and the data of a channel for its [Channel].
// https://www.rfc-editor.org/rfc/rfc7983.html#section-7
//
// A Relay is safe for concurrent use.
type Relay struct {
	conn    net.Conn // to the server
	stream  bool     // it is one of bytes
	control *control
	client  *turn.Client
	relayed net.PacketConn // of pion/turn: nothing is sent or received through it

	binding sync.Mutex // one Bind at a time

	mu       sync.Mutex
	channels map[uint16]*Channel
	err      error // why it has ended

	ignored atomic.Uint64
}

// Dial connects to a TURN server and gets an address there. network is udp or tcp. The server's address must be one of
// IPv4: that is what pion/turn looks for.
func Dial(ctx context.Context, network, server string, user Credentials) (*Relay, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, server)
	if err != nil {
		return nil, err
	}
	return New(ctx, conn, user)
}

// New gets an address from the server that conn is connected to, and takes conn over. If conn is a net.PacketConn, one
// datagram is one message; otherwise it is a stream, such as a *net.TCPConn, or a *tls.Conn for "turns".
func New(ctx context.Context, conn net.Conn, user Credentials) (*Relay, error) {
	_, datagrams := conn.(net.PacketConn)
	r := &Relay{conn: conn, stream: !datagrams, channels: map[uint16]*Channel{}}
	r.control = newControl(r.send, conn, user == Credentials{})
	next, err := r.messages()
	if err == nil {
		r.client, err = turn.NewClient(&turn.ClientConfig{TURNServerAddr: conn.RemoteAddr().String(),
			Username: user.Username, Password: user.Password, Conn: r.control})
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	go r.control.serve(r.client)
	go r.receive(next)
	stop := context.AfterFunc(ctx, func() { r.end(context.Cause(ctx)) })
	defer stop()
	if r.relayed, err = r.client.Allocate(); err != nil {
		r.end(err)
		return nil, fmt.Errorf("turn: no address from %v: %w", conn.RemoteAddr(), r.why())
	}
	return r, nil
}

// messages returns what receives a message from the server. It is valid until the next.
func (r *Relay) messages() (next func() (*frame.Buf, error), err error) {
	if !r.stream {
		p, view := make([]byte, 1<<16), new(frame.Buf)
		return func() (*frame.Buf, error) {
			n, err := r.conn.Read(p)
			view.Borrow(p, 0, n)
			return view, err
		}, nil
	}
	codec, err := channeldata.New(channeldata.Options{Stream: true})
	if err != nil {
		return nil, err
	}
	m, err := codec(frame.Client)
	if err != nil {
		return nil, err
	}
	return frame.NewReader(r.conn, m.(frame.Delimiter), 0).Next, nil
}

// receive hands on what comes, until the connection ends. What the network says about a datagram, such as "connection
// refused", ends nothing: anybody may have sent that.
func (r *Relay) receive(next func() (*frame.Buf, error)) {
	const pause = 10 * time.Millisecond
	for {
		b, err := next()
		switch {
		case err == nil:
			r.sort(b.Bytes())
		case r.stream || errors.Is(err, net.ErrClosed):
			r.end(err)
			return
		default:
			time.Sleep(pause)
		}
	}
}

// sort gives a message to whom it is for.
func (r *Relay) sort(p []byte) {
	const header = 4
	taken := false
	switch kind := admission.Classify(p); {
	case kind == admission.STUN:
		taken = r.control.take(p)
	case kind == admission.TURNChannel && len(p) >= header:
		r.mu.Lock()
		c := r.channels[binary.BigEndian.Uint16(p)]
		r.mu.Unlock()
		taken = c != nil && c.take(p)
	}
	if !taken {
		r.ignored.Add(1)
	}
}

// send sends a message. Over UDP it may get lost, also on the way out.
func (r *Relay) send(p []byte) error {
	_, err := r.conn.Write(p)
	if !r.stream && err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// Addr returns the relayed address, where peers reach this end.
func (r *Relay) Addr() net.Addr { return r.relayed.LocalAddr() }

// Ignored returns how many messages were for nobody, or came when there was no room for them.
func (r *Relay) Ignored() uint64 { return r.ignored.Load() }

// errBound says that Bind was called a second time, and what to do.
var errBound = errors.New("turn: the peer has a channel already: close that before")

// Bind binds a channel to a peer: from now on the server takes its datagrams, and no other's from that address. The
// server is not told when the Channel is closed: TURN has no way to. pion/turn keeps the binding alive until Close.
//
// pion/turn has no call for that: it binds a channel when something is written to a peer, and until that is done it
// sends Send indications. So Bind writes nothing, again and again, until its control would send that on a channel.
func (r *Relay) Bind(ctx context.Context, peer *net.UDPAddr) (*Channel, error) {
	const patience, pause = 10 * time.Second, 10 * time.Millisecond
	r.binding.Lock()
	defer r.binding.Unlock()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r.control.channel.Store(0)
	for {
		if _, err := r.relayed.WriteTo(nil, peer); err != nil {
			return nil, fmt.Errorf("turn: the server allows no %v: %w", peer, errors.Join(err, r.why()))
		}
		if number := r.control.channel.Load(); number != 0 {
			return r.open(uint16(number), peer)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("turn: the server has bound no channel to %v: %w", peer, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// open makes the Channel of a number.
func (r *Relay) open(number uint16, peer *net.UDPAddr) (*Channel, error) {
	codec, err := channeldata.New(channeldata.Options{Stream: r.stream, Channel: number})
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return nil, r.err
	}
	if r.channels[number] != nil {
		return nil, errBound
	}
	c := newChannel(r, number, peer, codec)
	r.channels[number] = c
	return c, nil
}

// Close gives the address back, and ends the Channels.
func (r *Relay) Close() error {
	r.conn.SetWriteDeadline(time.Now().Add(time.Second))
	err := r.relayed.Close()
	r.end(net.ErrClosed)
	return err
}

// end ends everything, once.
func (r *Relay) end(why error) {
	r.mu.Lock()
	first, channels := r.err == nil, r.channels
	if first {
		r.err, r.channels = why, nil
	}
	r.mu.Unlock()
	if !first {
		return
	}
	r.conn.Close()
	r.control.close()
	r.client.Close()
	for _, c := range channels {
		c.end(why)
	}
}

// why returns the reason for the end; nil before it.
func (r *Relay) why() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == io.EOF {
		return errors.New("the server has ended the connection")
	}
	return r.err
}
