package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/encase-tls/encase/frame"
)

// A relay passes bytes on, and neither knows nor needs a key: TLS begins and ends elsewhere. One side of it speaks
// plain TCP, the other frames.
type relay struct {
	target string // where accepted connections go
	frames bool   // frames leave for the target and plain bytes come in; otherwise the other way round
}

// serve is the connection's handler; see listen.
func (r relay) serve(ctx context.Context, accepted *net.TCPConn) error {
	dialled, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", r.target)
	if err != nil {
		return err
	}
	defer dialled.Close()
	defer context.AfterFunc(ctx, func() { dialled.Close() })()
	plain, framed := accepted, dialled.(*net.TCPConn)
	if !r.frames {
		plain, framed = framed, plain
	}
	result := make(chan error, 2)
	go func() { result <- put(framed, plain) }()
	go func() { result <- take(plain, framed) }()
	if err := <-result; err != nil {
		return err // the deferred Close ends the other direction
	}
	return <-result // half-closed: it may go on for as long as it likes
}

// put reads bytes from plain as they come and sends them in frames. Where a TLS record begins is of no concern.
func put(framed, plain *net.TCPConn) error {
	out := frame.NewWriter(framed)
	for {
		b := frame.Get(headerLen, maxPayload)
		n, err := plain.Read(b.Append(maxPayload)) // behind the room for the header: nothing will be copied
		b.TrimBack(maxPayload - n)
		if n > 0 {
			if err := send(out, b); err != nil {
				return err
			}
		} else {
			b.Release()
		}
		if err == io.EOF {
			return framed.CloseWrite() // TCP's own end says it: this protocol has no frame for that
		}
		if err != nil {
			return err
		}
	}
}

func send(out *frame.Writer, b *frame.Buf) error {
	err := header{}.Encode(b)
	if err == nil {
		_, err = out.Write([]*frame.Buf{b}) // all of it, or an error; releases b
	}
	if err != nil {
		b.Release()
	}
	return err
}

// take reads frames and sends what is in them. A frame that breaks off is an error, which resets the connection; TLS
// would notice a clean end, too, for want of a close_notify.
func take(plain, framed *net.TCPConn) error {
	in := frame.NewReader(framed, header{}, header{}.Limits().MaxFrame())
	for {
		b, err := in.Next()
		if err == io.EOF {
			return plain.CloseWrite()
		}
		if err == nil {
			err = header{}.Decode(b)
		}
		if err == nil {
			_, err = plain.Write(b.Bytes())
		}
		if err != nil {
			return errors.Join(err, plain.SetLinger(0))
		}
	}
}

// listen serves connections at address until ctx ends, each on a goroutine of its own, and tells the address that it
// got.
func listen(ctx context.Context, address string, log io.Writer, serve func(context.Context, *net.TCPConn) error) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	fmt.Fprintln(log, "listening on", l.Addr())
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			fmt.Fprintln(log, err) // such as "too many open files": it passes
			time.Sleep(100 * time.Millisecond)
			continue
		}
		go func() {
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			if err := serve(ctx, conn.(*net.TCPConn)); err != nil && ctx.Err() == nil {
				fmt.Fprintf(log, "%v: %v\n", conn.RemoteAddr(), err)
			}
		}()
	}
}
