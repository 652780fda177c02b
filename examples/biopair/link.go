package main

import (
	"io"
	"net"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// A link is a TLS connection over a BIO pair, the other half of which this program moves over TCP, in frames:
//
//	Read, Write ── session ── internal ═ pair ═ network ── header ── TCP
//
// It is not safe for concurrent use.
type link struct {
	session *bio.Session // SSL *, with SSL_set_bio(ssl, internal, internal)
	network *bio.PairEnd // network_bio: what the session has sent is read here, what the peer has sent written
	frames  *frame.Reader
	wire    *frame.Writer
	tcp     net.Conn
}

func pair(engine bio.Engine, tcp net.Conn) *link {
	internal, network := bio.Pair(0) // BIO_new_bio_pair(&internal, 0, &network, 0)
	internal.SetNonblock(true)
	network.SetNonblock(true)
	return &link{
		session: bio.NewSession(engine, internal, internal),
		network: network,
		frames:  frame.NewReader(tcp, header{}, headerLen+maxPayload),
		wire:    frame.NewWriter(tcp),
		tcp:     tcp,
	}
}

// Read is SSL_read. It returns io.EOF after the peer's close_notify, and bio.ErrTruncated if TCP ends without one.
func (l *link) Read(p []byte) (n int, err error) {
	err = l.do(func() error {
		n, err = l.session.Read(p)
		return err
	})
	return n, err
}

// Write is SSL_write. What it returns counts bytes of p: neither headers nor TLS's own bytes are the caller's business.
func (l *link) Write(p []byte) (n int, err error) {
	err = l.do(func() error {
		m, err := l.session.Write(p[n:]) // ErrWantWrite may come with m > 0: that much is not to be written again
		n += m
		return err
	})
	return n, err
}

// CloseWrite is the first SSL_shutdown: close_notify is sent, reading goes on. Even who has nothing to say shakes
// hands.
func (l *link) CloseWrite() error {
	if err := l.do(l.session.Handshake); err != nil {
		return err
	}
	return l.do(l.session.Shutdown)
}

// Close closes the TCP connection. Whoever wants the peer to know that this is the end calls CloseWrite before.
func (l *link) Close() error { return l.tcp.Close() }

// do calls op until it need not wait any more. After every call it sends what that left in the pair, whatever the
// result: there is output after "want read" (the handshake), after success (session tickets) and after an error (the
// alert).
func (l *link) do(op func() error) error {
	for {
		err := op()
		sendErr := l.send()
		switch {
		case err == bio.ErrWantRead && sendErr == nil:
			if err := l.receive(); err != nil {
				return err
			}
		case err == bio.ErrWantWrite && sendErr == nil: // the pair was full, and now is empty
		case err == nil, err == bio.ErrWantRead, err == bio.ErrWantWrite:
			return sendErr
		default:
			return err
		}
	}
}

// send moves all that the session has to say to TCP. The pair holds only part of it at a time.
func (l *link) send() error {
	for {
		err := l.session.Flush()
		if err != nil && err != bio.ErrWantWrite {
			return err
		}
		for l.network.Pending() > 0 { // BIO_ctrl_pending: 0, never negative, is "nothing"
			if err := l.sendFrame(); err != nil {
				return err
			}
		}
		if err == nil {
			return nil
		}
	}
}

// sendFrame sends one frame: the bytes of the pair go behind room for the header, and the header in front of them.
func (l *link) sendFrame() error {
	n := min(l.network.Pending(), maxPayload)
	b := frame.Get(headerLen, n)
	_, err := l.network.Read(b.Append(n)) // BIO_read(network, buf + headerLen, n)
	if err == nil {
		err = header{}.Encode(b)
	}
	if err == nil {
		_, err = l.wire.Write([]*frame.Buf{b}) // all of it, or an error; releases b
	}
	if err != nil {
		b.Release()
	}
	return err
}

// receive waits for one frame and gives what is in it to the session. That has room for it: the session wants input
// only when it has emptied the pair.
func (l *link) receive() error {
	b, err := l.frames.Next()
	if err == io.EOF {
		return l.network.CloseWrite() // BIO_shutdown_wr: the session decides whether this was the end or a cut
	}
	if err != nil {
		return err
	}
	if err := (header{}).Decode(b); err != nil {
		return err
	}
	_, err = l.network.Write(b.Bytes()) // BIO_write
	return err
}
