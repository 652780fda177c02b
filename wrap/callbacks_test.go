package wrap_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/wrap"
)

// A mailbox is what the callbacks of one end work on, the context value of wolfSSL: a queue for each direction, and how
// many bytes one call moves at most.
type mailbox struct {
	in, out *bio.Memory
	most    int
	sends   int
}

func mailboxRecv(context any, p []byte) (int, error) {
	m := context.(*mailbox)
	return m.in.Read(p[:min(len(p), m.most)])
}

// mailboxSend is short whenever it can be, and refuses every other call.
func mailboxSend(context any, p []byte) (int, error) {
	m := context.(*mailbox)
	if m.sends++; m.sends%2 == 0 {
		return 0, bio.ErrWantWrite
	}
	return m.out.Write(p[:min(len(p), m.most)])
}

// byHand makes both ends of a connection over callbacks. Each direction holds so many bytes, and moves so many at once.
func byHand(t *testing.T, client, server *wrap.Config, holds, most int) (c, s *wrap.Conn) {
	up, down := bio.NewMemory(holds), bio.NewMemory(holds)
	c = wrap.Client(wrap.Callbacks(mailboxRecv, mailboxSend, &mailbox{in: down, out: up, most: most}), client)
	s = wrap.Server(wrap.Callbacks(mailboxRecv, mailboxSend, &mailbox{in: up, out: down, most: most}), server)
	t.Cleanup(func() { c.Close(); s.Close() })
	return c, s
}

// wants reports whether err says that a call is to be made again.
func wants(err error) bool { return err == bio.ErrWantRead || err == bio.ErrWantWrite }

// inTurns calls both functions until neither wants more.
func inTurns(t *testing.T, calls ...func() error) {
	t.Helper()
	for round := 0; len(calls) > 0; round++ {
		if round > 100_000 {
			t.Fatal("the ends wait for each other")
		}
		rest := calls[:0]
		for _, call := range calls {
			err := call()
			if wants(err) {
				rest = append(rest, call)
			} else if err != nil {
				t.Fatal(err)
			}
		}
		calls = rest
	}
}

// TestCallbacks drives both roles by hand, from one goroutine.
func TestCallbacks(t *testing.T) {
	for _, codec := range []string{"", "length:16be"} {
		for _, size := range []struct{ holds, most int }{{1 << 20, 1 << 20}, {100, 60}, {1, 1}} {
			t.Run(fmt.Sprintf("codec=%s/holds=%d/most=%d", codec, size.holds, size.most), func(t *testing.T) {
				client, server := wrapConfigs(t, codec)
				c, s := byHand(t, client, server, size.holds, size.most)
				inTurns(t, c.Handshake, s.Handshake)
				if stacks := leftOver(time.Second); stacks != "" {
					t.Errorf("after the handshake there are goroutines:\n%s", stacks)
				}
				want := noise(min(20<<10, 1000*size.holds), 4)
				transfer(t, c, s, want)
				transfer(t, s, c, want)
				sayGoodbye(t, c, s)
			})
		}
	}
}

// transfer sends want from one end to the other.
func transfer(t *testing.T, from, to *wrap.Conn, want []byte) {
	t.Helper()
	if _, err := to.Read(make([]byte, 1)); err != bio.ErrWantRead {
		t.Fatalf("Read of nothing: %v", err)
	}
	var got []byte
	rest := want
	inTurns(t, func() error {
		n, err := from.Write(rest)
		rest = rest[n:]
		return err
	}, func() error {
		if err := from.Flush(); err != nil || len(rest) == 0 {
			return err
		}
		return bio.ErrWantWrite // Write has more
	}, func() error {
		p := make([]byte, 1000)
		n, err := to.Read(p)
		if got = append(got, p[:n]...); err == nil && len(got) < len(want) {
			return bio.ErrWantRead
		}
		return err
	})
	if !bytes.Equal(got, want) {
		t.Errorf("%d of %d bytes arrived, or others", len(got), len(want))
	}
}

func sayGoodbye(t *testing.T, c, s *wrap.Conn) {
	t.Helper()
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	inTurns(t, c.Flush, func() error {
		_, err := s.Read(make([]byte, 1))
		if err == io.EOF {
			return nil
		}
		return err
	})
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// TestCallbacksWantWrite has a peer that takes nothing: what waits is bounded, and each call says what it waits for.
func TestCallbacksWantWrite(t *testing.T) {
	client, server := wrapConfigs(t, "")
	client.WriteBuffer = 50 << 10
	up, down := bio.NewMemory(1<<20), bio.NewMemory(1<<20)
	blocked := false
	send := func(context any, p []byte) (int, error) {
		if blocked {
			return 0, nil // as good as bio.ErrWantWrite
		}
		return context.(*mailbox).out.Write(p)
	}
	c := wrap.Client(wrap.Callbacks(mailboxRecv, send, &mailbox{in: down, out: up, most: 1 << 20}), client)
	s := wrap.Server(wrap.Callbacks(mailboxRecv, send, &mailbox{in: up, out: down, most: 1 << 20}), server)
	defer s.Close()

	blocked = true
	if err := c.Handshake(); err != bio.ErrWantWrite {
		t.Errorf("Handshake, with a ClientHello to send: %v", err)
	}
	blocked = false
	if err := c.Handshake(); err != bio.ErrWantRead {
		t.Errorf("Handshake, with the ClientHello sent: %v", err)
	}
	inTurns(t, c.Handshake, s.Handshake)

	blocked = true
	n, err := c.Write(make([]byte, 1<<20))
	if err != bio.ErrWantWrite || n == 0 || n > 200<<10 {
		t.Errorf("Write: %d, %v", n, err)
	}
	if _, err := c.Read(make([]byte, 1)); err != bio.ErrWantRead {
		t.Errorf("Read: %v", err)
	}
	if err := c.Flush(); err != bio.ErrWantWrite {
		t.Errorf("Flush: %v", err)
	}
	if err := c.Close(); !errors.Is(err, bio.ErrWantWrite) {
		t.Errorf("Close, with data unsent: %v", err)
	}
}

// TestCallbacksErrors has callbacks that fail.
func TestCallbacksErrors(t *testing.T) {
	broken := errors.New("no carrier")
	for name, test := range map[string]struct {
		recv, send wrap.IOFunc
		want       error
	}{
		"recv": {recv: func(any, []byte) (int, error) { return 0, broken }, want: broken},
		"send": {send: func(any, []byte) (int, error) { return 0, broken }, want: broken},
		"end":  {recv: func(any, []byte) (int, error) { return 0, io.EOF }, want: bio.ErrTruncated},
		"long": {send: func(_ any, p []byte) (int, error) { return len(p) + 1, nil }},
		"less": {send: func(_ any, p []byte) (int, error) { return -1, nil }},
		"much": {recv: func(_ any, p []byte) (int, error) { return len(p) + 1, nil }},
	} {
		t.Run(name, func(t *testing.T) {
			m := &mailbox{in: bio.NewMemory(0), out: bio.NewMemory(0), most: 1 << 20}
			recv, send := mailboxRecv, mailboxSend
			if test.recv != nil {
				recv = test.recv
			}
			if test.send != nil {
				send = test.send
			}
			client, _ := wrapConfigs(t, "length:16be")
			c := wrap.Client(wrap.Callbacks(recv, send, m), client)
			defer c.Close()
			err := c.Handshake()
			for range 3 {
				if !wants(err) {
					break
				}
				err = c.Handshake()
			}
			if err == nil || wants(err) || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("Handshake: %v, want %v", err, test.want)
			}
		})
	}
}

// TestCallbacksCannotWait has a codec that must wait for its peer: that is refused.
func TestCallbacksCannotWait(t *testing.T) {
	client, server := wrapConfigs(t, "websocket")
	c, _ := byHand(t, client, server, 1000, 1000)
	if err := c.Handshake(); err == nil || wants(err) {
		t.Errorf("Handshake: %v", err)
	}
}
