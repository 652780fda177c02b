package preamble_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/codecs/websocket"
	"github.com/encase-tls/encase/frame"
)

// pair returns two ends of a TCP connection.
func pair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	accepted := make(chan net.Conn)
	done := make(chan struct{})
	addr := listen(t, func(c net.Conn) {
		accepted <- c
		<-done
	})
	client, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(done); client.Close() })
	return client, <-accepted
}

// A program with TLS of its own, behind two dialogues.
func TestOverBeforeForeignTLS(t *testing.T) {
	client, server := pair(t)
	list := []frame.Preamble{preamble.Proxy{Checksum: true}, preamble.IMAP{}}
	served := make(chan error, 1)
	go func() {
		conn, err := preamble.Over(t.Context(), server, frame.Server, list...)
		if err == nil {
			tlsConn := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{issued(t).server}})
			_, err = io.CopyN(tlsConn, tlsConn, 6)
		}
		served <- err
	}()
	conn, err := preamble.Over(t.Context(), client, frame.Client, list...)
	if err != nil {
		t.Fatal(err)
	}
	if conn != client {
		t.Errorf("it is another connection, a %T, although all that was read was taken", conn)
	}
	tlsConn := tls.Client(conn, &tls.Config{RootCAs: issued(t).authority.Pool(), ServerName: hostname})
	roundTrip(t, "imap", tlsConn)
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// Over is done with when its context ends, and says so.
func TestOverEnds(t *testing.T) {
	client, _ := pair(t)
	reason := errors.New("the reason")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(20*time.Millisecond, func() { cancel(reason) })
	_, err := preamble.Over(ctx, client, frame.Client, preamble.POP3{})
	if !errors.Is(err, reason) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if _, err := preamble.Over(ctx, client, frame.Client); !errors.Is(err, reason) {
		t.Errorf("over at once: %v", err)
	}
}

// A peeping looks at more than it takes, as a preamble of others may.
type peeping struct{ n int }

// Exchange implements frame.Preamble.
func (p peeping) Exchange(_ context.Context, peer frame.Peeker, _ frame.Role) error {
	if _, err := peer.Peek(2); err != nil {
		return err
	}
	seen, err := peer.Peek(p.n)
	if err == nil && string(seen) != "hello"[:p.n] {
		return errors.New("it sees " + string(seen))
	}
	if err == nil {
		_, err = peer.Discard(1)
	}
	return err
}

// What a preamble has looked at stays for who comes next, and ends of the stream are the ones that there are.
func TestOverKeepsWhatWasSeen(t *testing.T) {
	client, server := pair(t)
	server.Write([]byte("hello\n"))
	conn, err := preamble.Over(t.Context(), client, frame.Client, peeping{4}, peepingOn{"ello"})
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); line != "ello\n" || err != nil {
		t.Errorf("left: %q, %v", line, err)
	}
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Error(err)
	}
	if n, err := server.Read(make([]byte, 1)); n > 0 || err != io.EOF {
		t.Errorf("after CloseWrite the peer reads %d bytes, %v", n, err)
	}
}

// A peepingOn wants to see some bytes, reads one, and gives no byte back.
type peepingOn struct{ want string }

// Exchange implements frame.Preamble.
func (p peepingOn) Exchange(_ context.Context, peer frame.Peeker, _ frame.Role) error {
	if seen, err := peer.Peek(len(p.want)); err != nil || string(seen) != p.want {
		return errors.New("it sees " + string(seen))
	}
	if _, err := peer.Peek(1 << 20); !errors.Is(err, frame.ErrTooLarge) {
		return errors.New("no limit")
	}
	return nil
}

// The preamble of a codec works over it, too.
func TestOverWithWebSocket(t *testing.T) {
	mk, err := websocket.Parse("")
	if err != nil {
		t.Fatal(err)
	}
	machine := func(role frame.Role) frame.Preamble {
		m, err := mk(role)
		if err != nil {
			t.Fatal(err)
		}
		return m.(frame.Preamble)
	}
	client, server := pair(t)
	served := make(chan error, 1)
	go func() {
		_, err := preamble.Over(t.Context(), server, frame.Server, machine(frame.Server))
		served <- err
	}()
	conn, err := preamble.Over(t.Context(), client, frame.Client, machine(frame.Client))
	if err != nil || conn != client {
		t.Errorf("got a %T, %v", conn, err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
