package preamble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/encase-tls/encase/frame"
)

// Over holds preambles over a connection, in order, where no wrap.Config does: before TLS that another program makes,
// and where what a preamble is told must be told apart by connection:
//
//	var from net.Addr
//	conn, err := preamble.Over(ctx, conn, frame.Server, preamble.Proxy{
//		Accept: func(_ context.Context, h preamble.ProxyHeader) error { from = h.Src; return nil },
//	})
//
// The connection that it returns goes on behind the dialogue; it is conn itself if the preambles took what they looked
// at, as those of this package do. conn must not be used besides it. Over is done with when ctx ends, however long
// conn would wait. It sets conn's deadline and then clears it. After an error conn is of no use; Over does not close
// it.
func Over(ctx context.Context, conn net.Conn, role frame.Role, list ...frame.Preamble) (net.Conn, error) {
	late := time.Unix(1, 0)
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(late) })
	p := &exact{conn: conn}
	for _, preamble := range list {
		if err := preamble.Exchange(ctx, p, role); err != nil {
			if !stop() {
				return nil, fmt.Errorf("preamble: %w: %w", context.Cause(ctx), err)
			}
			return nil, err
		}
	}
	if !stop() {
		return nil, fmt.Errorf("preamble: %w", context.Cause(ctx))
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("preamble: %w", err)
	}
	if len(p.peeked) > 0 {
		return &behind{conn, p.peeked}, nil
	}
	return conn, nil
}

// maxPeek bounds what a preamble may look at.
const maxPeek = 64 << 10

// exact is a Peeker that takes from its connection what it is asked for, and no more.
type exact struct {
	conn   net.Conn
	peeked []byte
}

// Read implements io.Reader.
func (e *exact) Read(p []byte) (int, error) {
	if len(e.peeked) == 0 {
		return e.conn.Read(p)
	}
	n := copy(p, e.peeked)
	e.peeked = e.peeked[n:]
	return n, nil
}

// Write implements io.Writer.
func (e *exact) Write(p []byte) (int, error) { return e.conn.Write(p) }

// Peek implements [frame.Peeker].
func (e *exact) Peek(n int) ([]byte, error) {
	if n < 0 || n > maxPeek {
		return nil, fmt.Errorf("preamble: Peek(%d): the limit is %d: %w", n, maxPeek, frame.ErrTooLarge)
	}
	have := len(e.peeked)
	if n <= have {
		return e.peeked[:n:n], nil
	}
	e.peeked = append(e.peeked, make([]byte, n-have)...)
	got, err := io.ReadFull(e.conn, e.peeked[have:])
	e.peeked = e.peeked[:have+got]
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF // what the connection said; whether it is unexpected is for the preamble to tell
	}
	return e.peeked, err
}

// Discard implements [frame.Peeker].
func (e *exact) Discard(n int) (int, error) {
	if n < 0 {
		return 0, errors.New("preamble: Discard: negative count")
	}
	done := min(n, len(e.peeked))
	e.peeked = e.peeked[done:]
	more, err := io.CopyN(io.Discard, e.conn, int64(n-done))
	return done + int(more), err
}

// behind is a connection some of whose bytes have been read already.
type behind struct {
	net.Conn
	peeked []byte
}

// Read implements io.Reader.
func (b *behind) Read(p []byte) (int, error) {
	if len(b.peeked) == 0 {
		return b.Conn.Read(p)
	}
	n := copy(p, b.peeked)
	b.peeked = b.peeked[n:]
	return n, nil
}

// CloseWrite ends the stream to the peer, if the connection can do that.
func (b *behind) CloseWrite() error {
	if c, ok := b.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.New("preamble: this connection cannot close one direction")
}
