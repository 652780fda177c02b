package eap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/encase-tls/encase/frame"
)

// An Exchange is one authentication as its user sees it. Give it to [Options], make a connection with the Maker that
// they describe, and call Run:
//
//	x := eap.NewExchange()
//	codec, err := radius.New(radius.Options{Secret: secret, EAP: eap.Options{Exchange: x}})
//	conn := wrap.Client(wrap.Datagram(udp, nil, 4096), &wrap.Config{TLS: tlsConfig, Codec: codec})
//	result, err := x.Run(ctx, conn)
//
// It is safe for concurrent use.
type Exchange struct {
	mu        sync.Mutex
	started   bool
	role      frame.Role
	over      chan struct{} // closed at the end
	result    Result
	err       error
	confirm   bool // server: what is written confirms success
	confirmed bool // peer: success is confirmed
}

// NewExchange returns an Exchange that has not begun.
func NewExchange() *Exchange { return &Exchange{over: make(chan struct{})} }

// A Conn is a TLS connection; those of package wrap are.
type Conn interface {
	io.ReadWriter
	HandshakeContext(ctx context.Context) error
	ConnectionState() tls.ConnectionState
	SetReadDeadline(t time.Time) error
}

// confirmation is what a server says inside TLS 1.3 before success: no more of the handshake will come.
// https://www.rfc-editor.org/rfc/rfc9190.html#section-2.5
var confirmation = []byte{0}

// Run takes the authentication to its end over conn, whose Machine this Exchange was given to: the handshake, with TLS
// 1.3 the confirmation, and the server's verdict. It returns the keys only if all of that is right. The caller closes
// conn: that lets a peer that was refused, or that has refused this end, hear what EAP still has to say, and waits for it
// at most for wrap.Config.Linger.
func (x *Exchange) Run(ctx context.Context, conn Conn) (*Result, error) {
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()
	err := conn.HandshakeContext(ctx)
	if err == nil {
		if confirms := conn.ConnectionState().Version >= tls.VersionTLS13; x.isServer() {
			err = x.runServer(conn, confirms)
		} else {
			err = x.runPeer(conn, confirms)
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return x.verdict(err)
}

func (x *Exchange) runServer(conn Conn, confirms bool) error {
	if confirms {
		x.Confirm()
		if _, err := conn.Write(confirmation); err != nil {
			return err
		}
	}
	return x.drain(conn)
}

func (x *Exchange) runPeer(conn Conn, confirms bool) error {
	if confirms {
		var p [1]byte
		_, err := conn.Read(p[:])
		switch {
		case errors.Is(err, io.EOF): // close_notify instead
			return ErrUnconfirmed
		case err != nil:
			return err
		case p[0] != confirmation[0]:
			return errConfirmation
		}
		x.mu.Lock()
		x.confirmed = true
		x.mu.Unlock()
	}
	return x.drain(conn)
}

// drain waits for the end. Nothing is left to be said inside TLS but close_notify.
func (x *Exchange) drain(conn Conn) error {
	var p [1]byte
	n, err := conn.Read(p[:])
	if n > 0 {
		return errData
	}
	if errors.Is(err, io.EOF) { // the verdict is still to come, and a Read no longer waits for it
		return x.await(conn)
	}
	return err
}

// await waits for the verdict when the other end has closed TLS.
func (x *Exchange) await(conn Conn) error {
	const patience = 5 * time.Second
	select {
	case <-x.over:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("eap: the other end has closed TLS: %w", ErrSilent)
	}
}

var (
	errConfirmation = malformed("the server says something else than its confirmation inside TLS")
	errData         = malformed("application data, which EAP-TLS has none of")
)

// verdict returns the result, or why there is none; err is what the connection says.
func (x *Exchange) verdict(err error) (*Result, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	over := isClosed(x.over)
	switch {
	case errors.Is(err, ErrUnconfirmed), err == errConfirmation, err == errData:
		return nil, err
	case over && x.err != nil && (err == nil || errors.Is(x.err, ErrFailure) && saysLess(err)):
		return nil, x.err
	case over && x.err == nil && x.role == frame.Client && x.result.TLS.Version >= tls.VersionTLS13 && !x.confirmed:
		return nil, ErrUnconfirmed
	case over && x.err == nil:
		return &x.result, nil
	case err == nil:
		err = io.ErrUnexpectedEOF
	}
	return nil, err
}

// saysLess reports whether err, of a connection, tells less than that the server has said failure. An alert of TLS,
// which comes before that, tells more: why.
func saysLess(err error) bool {
	for _, end := range []error{ErrFailure, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, os.ErrDeadlineExceeded} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// Over returns a channel that is closed when the other end has had its last word, or this end has given up.
func (x *Exchange) Over() <-chan struct{} { return x.over }

// Outcome returns the result of an exchange that is Over, or why there is none. On a peer with TLS 1.3 that is for Run
// to say, which looks at the confirmation: there Outcome tells what the server has said in the clear.
func (x *Exchange) Outcome() (*Result, error) {
	if !isClosed(x.over) {
		return nil, errors.New("eap: the exchange is not over")
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil {
		return nil, x.err
	}
	return &x.result, nil
}

// Confirm says that the next data which a server writes is the confirmation. Run does so; it is for programs that
// drive TLS themselves. They write one byte 0.
func (x *Exchange) Confirm() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.confirm = true
}

func (x *Exchange) isServer() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.role == frame.Server
}

// What follows is for the Machine, which may have no Exchange.

var errTwice = errors.New("eap: an Exchange is for one connection; make another one, and options with it")

func (x *Exchange) start(role frame.Role) error {
	if x == nil {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.started {
		return errTwice
	}
	x.started, x.role = true, role
	return nil
}

// confirms reports whether what a server writes after the handshake is the confirmation. Who has no Exchange writes
// nothing else.
func (x *Exchange) confirms() bool {
	if x == nil {
		return true
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.confirm
}

func (x *Exchange) isConfirmed() bool {
	if x == nil {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.confirmed
}

func (x *Exchange) finish(r *Result, err error) {
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if isClosed(x.over) {
		return
	}
	if x.err = err; err == nil {
		x.result = *r
	}
	close(x.over)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
