package wrap_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// TestDetach goes on in clear in the middle of a stream: no byte is lost or taken for TLS, in either direction, however
// much of what follows has arrived together with the last record.
func TestDetach(t *testing.T) {
	for _, codec := range []string{"framed handshake", ""} {
		for _, tr := range transports {
			t.Run(codec+"/"+tr.name, func(t *testing.T) {
				client, server := wrapConfigs(t, "")
				if codec != "" {
					client.Codec, server.Codec = tdsMaker(4096), tdsMaker(4096)
				}
				a, b := tr.pair(t)
				wire := &recorder{Conn: a}
				c, s := connect(t, wire, b, client, server)
				clear := noise(100<<10, 1)
				sent := make(chan error, 1)
				go func() { sent <- sendThenDetach(c, "the password", clear) }()
				expect(t, s, "the password")
				bare, err := s.Detach()
				if err != nil {
					t.Fatal(err)
				}
				got := make([]byte, len(clear))
				bare.SetReadDeadline(time.Now().Add(patience))
				if _, err := io.ReadFull(bare, got); err != nil || !bytes.Equal(got, clear) {
					t.Errorf("what follows in clear arrives otherwise: %v", err)
				}
				if _, err := bare.Write([]byte("welcome")); err != nil {
					t.Error(err)
				}
				if err := <-sent; err != nil {
					t.Error(err)
				}
				if raw := wire.bytes(); !bytes.HasSuffix(raw, clear) || bytes.Contains(raw, []byte("password")) {
					t.Error("on the wire the clear part is not in clear, or the password is")
				}
				wantDetached(t, s)
				bare.Close()
			})
		}
	}
}

// sendThenDetach sends a message under TLS and then, with no pause, another in clear, and waits for an answer in clear.
func sendThenDetach(c *wrap.Conn, secret string, clear []byte) error {
	if _, err := io.WriteString(c, secret); err != nil {
		return err
	}
	bare, err := c.Detach()
	if err != nil {
		return err
	}
	defer bare.Close()
	bare.SetDeadline(time.Now().Add(patience))
	if _, err := bare.Write(clear); err != nil {
		return err
	}
	answer := make([]byte, len("welcome"))
	if _, err := io.ReadFull(bare, answer); err != nil || string(answer) != "welcome" {
		return fmt.Errorf("read %q, %w", answer, err)
	}
	return nil
}

// wantDetached checks that a Conn whose stream is somebody else's does as after Close, and tells what it was.
func wantDetached(t *testing.T, c *wrap.Conn) {
	t.Helper()
	_, err := c.Read(make([]byte, 1))
	wantErr(t, "Read", err, net.ErrClosed)
	_, err = c.Write([]byte("x"))
	wantErr(t, "Write", err, net.ErrClosed)
	_, err = c.Detach()
	wantErr(t, "Detach", err, net.ErrClosed)
	wantErr(t, "Close", c.Close(), net.ErrClosed)
	wantErr(t, "Abort", c.Abort(), net.ErrClosed)
	if !c.ConnectionState().HandshakeComplete || c.Machine() == nil {
		t.Error("nothing is known of the connection any more")
	}
}

// TestDetachRefuses tries it where something would be lost or misunderstood. Each time the connection goes on.
func TestDetachRefuses(t *testing.T) {
	goOn := func(t *testing.T, c, s *wrap.Conn) { exchange(t, c, s) }
	for _, test := range []struct {
		name, want  string
		codec       frame.Maker
		maxFrame    int
		before, now func(t *testing.T, c, s *wrap.Conn)
	}{
		{name: "framed", want: "still frames", codec: codecOf(t, "length:16be"), before: goOn, now: goOn},
		{name: "small frames", want: "MaxFrame", codec: tdsMaker(4096), maxFrame: 4096, before: goOn, now: goOn},
		{
			name: "unread", want: "3 bytes",
			before: func(t *testing.T, c, s *wrap.Conn) {
				if _, err := io.WriteString(s, "hear"); err != nil {
					t.Fatal(err)
				}
				expect(t, c, "h")
			},
			now: func(t *testing.T, c, _ *wrap.Conn) { expect(t, c, "ear") },
		},
		{
			name: "reading", want: "under way",
			before: func(_ *testing.T, c, _ *wrap.Conn) {
				go c.Read(make([]byte, 1))
				end := time.Now().Add(patience)
				for !slices.ContainsFunc(ourGoroutines(), isReading) && time.Now().Before(end) {
					time.Sleep(time.Millisecond)
				}
			},
			now: func(t *testing.T, c, s *wrap.Conn) { send(t, c, s, "still here") },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, server := wrapConfigs(t, "")
			client.Codec, server.Codec = test.codec, test.codec
			client.MaxFrame = test.maxFrame
			a, b := tcpPair(t)
			c, s := connect(t, b, a, client, server)
			if _, err := c.Detach(); err == nil || !strings.Contains(err.Error(), "not done") {
				t.Errorf("before the handshake: %v", err)
			}
			shake(t, c, s)
			test.before(t, c, s)
			if _, err := c.Detach(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Detach: %v, want an error with %q", err, test.want)
			}
			test.now(t, c, s)
		})
	}
}

// isReading reports whether a goroutine waits for the network in Read.
func isReading(stack string) bool {
	return strings.Contains(stack, "wrap.(*Conn).Read(") && strings.Contains(stack, "[IO wait")
}

// TestDetachUnsent has a peer that takes nothing: what was written under TLS must not be followed by clear text as if
// it had left.
func TestDetachUnsent(t *testing.T) {
	client, server := wrapConfigs(t, "")
	client.Linger = 50 * time.Millisecond
	a, b := net.Pipe()
	c, s := connect(t, a, b, client, server)
	shake(t, c, s)
	if _, err := io.WriteString(c, "unheard"); err != nil {
		t.Fatal(err)
	}
	_, err := c.Detach()
	wantErr(t, "Detach", err, os.ErrDeadlineExceeded)
	expect(t, s, "unheard")
	exchange(t, c, s)
}

// TestDetachKeepsDeadlines: a stranger who was given until a certain time has no longer than that in clear.
func TestDetachKeepsDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := wrapConfigs(t, "")
		a, b := net.Pipe()
		c, s := connect(t, a, b, client, server)
		shake(t, c, s)
		s.SetDeadline(time.Now().Add(50 * time.Millisecond))
		bare, err := s.Detach()
		if err != nil {
			t.Fatal(err)
		}
		defer bare.Close()
		_, err = bare.Read(make([]byte, 1))
		wantErr(t, "Read", err, os.ErrDeadlineExceeded)
		_, err = bare.Write(make([]byte, 1))
		wantErr(t, "Write", err, os.ErrDeadlineExceeded)
	})
}

// TestDetachAfterClosing goes on in clear behind the close_notify of both ends, as FTP does after CCC.
func TestDetachAfterClosing(t *testing.T) {
	client, server := wrapConfigs(t, "")
	a, b := tcpPair(t)
	c, s := connect(t, b, a, client, server)
	shake(t, c, s)
	var bare [2]net.Conn
	for i, conn := range []*wrap.Conn{c, s} {
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if peer := []*wrap.Conn{s, c}[i]; readErr(t, peer) != io.EOF {
			t.Fatal("no end")
		}
	}
	for i, conn := range []*wrap.Conn{c, s} {
		var err error
		if bare[i], err = conn.Detach(); err != nil {
			t.Fatal(err)
		}
		defer bare[i].Close()
	}
	exchange(t, bare[0], bare[1])
}

// TestDetachCallbacks does it over functions that do not wait.
func TestDetachCallbacks(t *testing.T) {
	client, server := wrapConfigs(t, "")
	c, s := byHand(t, client, server, 1<<20, 7)
	inTurns(t, c.Handshake, s.Handshake)
	if _, err := c.Write([]byte("secret")); err != nil {
		t.Fatal(err)
	}
	var bare net.Conn
	inTurns(t, func() (err error) {
		bare, err = c.Detach()
		return err
	})
	rest := []byte("clear")
	inTurns(t, func() error {
		n, err := bare.Write(rest)
		rest = rest[n:]
		return err
	})
	p := make([]byte, 6)
	inTurns(t, func() error { _, err := io.ReadFull(s, p); return err })
	if bare, err := s.Detach(); err != nil || string(p) != "secret" {
		t.Errorf("%q, %v", p, err)
	} else if _, err := io.ReadFull(bare, p[:5]); err != nil || string(p[:5]) != "clear" {
		t.Errorf("in clear: %q, %v", p[:5], err)
	}
}
