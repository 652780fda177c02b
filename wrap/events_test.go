package wrap_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// A chatty is a Machine over length:16be with frames beside those of TLS. An empty one is answered with another, one
// that begins with S is side traffic, and one that begins with E is the end. Nothing in it bears calls that overlap.
type chatty struct {
	frame.Machine
	frame.Delimiter
	calls int
}

var errEnd = errors.New("chatty: the peer has had enough")

func chattyMaker(t *testing.T) frame.Maker {
	inner := codecOf(t, "length:16be")
	return func(role frame.Role) (frame.Machine, error) {
		m, err := inner(role)
		return &chatty{Machine: m, Delimiter: m.(frame.Delimiter)}, err
	}
}

func (m *chatty) FrameLen(p []byte) (int, error) {
	m.calls++
	return m.Delimiter.FrameLen(p)
}

func (m *chatty) Send(ev []frame.Event, b *frame.Buf, flush bool) ([]frame.Event, error) {
	m.calls++
	return m.Machine.Send(ev, b, flush)
}

func (m *chatty) Recv(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	m.calls++
	ev, err := m.Machine.Recv(ev, b)
	switch {
	case err != nil:
		return ev, err
	case len(ev) == 0:
		return m.Send(ev, frame.Get(m.Limits().Head, 0), true)
	}
	switch e := &ev[len(ev)-1]; e.Buf.Bytes()[0] {
	case 'S':
		e.Kind = frame.Side
	case 'E':
		done := frame.Event{Kind: frame.Done, Err: errEnd}
		if string(e.Buf.Bytes()) == "EOF" {
			done.Err = io.EOF
		}
		*e = done
	}
	return ev, nil
}

func (m *chatty) End(ev []frame.Event) ([]frame.Event, error) {
	m.calls++
	return ev, nil
}

// SendSide takes what Recv tells as side traffic, and nothing else.
func (m *chatty) SendSide(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	if b.Len() == 0 || b.Bytes()[0] != 'S' {
		b.Release()
		return ev, errNoS
	}
	return m.Send(ev, b, true)
}

var errNoS = errors.New("chatty: side traffic begins with S")

// chattyPeers returns a server with a chatty Machine and its peer, which have shaken hands.
func chattyPeers(t *testing.T, edit func(*wrap.Config)) (*wrap.Conn, *handPeer) {
	client, server := over(t, chattyMaker(t))
	if edit != nil {
		edit(server)
	}
	a, b := bio.Pair(1000)
	s := wrap.Server(wrap.Stream(b), server)
	peer := newHandPeer(t, a, client.TLS)
	peer.shake(s)
	return s, peer
}

// TestSide hands over what is not TLS. The callback may write and close.
func TestSide(t *testing.T) {
	var heard []string
	s, peer := chattyPeers(t, func(cfg *wrap.Config) {
		cfg.Side = func(c *wrap.Conn, b []byte) {
			heard = append(heard, string(b))
			c.Write(bytes.ToLower(b))
			if string(b) == "STOP" {
				c.Close()
			}
		}
	})
	peer.send([]byte("SAY"))
	peer.send([]byte("STOP"))
	_, err := s.Read(make([]byte, 1))
	wantErr(t, "Read", err, net.ErrClosed)
	if strings.Join(heard, " ") != "SAY STOP" {
		t.Errorf("Side was given %q", heard)
	}
	var got []byte
	for !peer.eng.State().PeerClosed {
		plain, err := peer.receive()
		if got = append(got, plain...); err != nil {
			t.Fatal(err)
		}
	}
	if string(got) != "saystop" {
		t.Errorf("the peer got %q", got)
	}
}

// TestWriteSide sends side traffic both ways, beside data that is under way, from outside and from Config.Side.
func TestWriteSide(t *testing.T) {
	client, server := over(t, chattyMaker(t))
	const count = 200
	server.WriteBuffer = 8 << 20 // room for all data and all answers: none is refused
	server.Side = func(s *wrap.Conn, b []byte) {
		if err := s.WriteSide(b); err != nil {
			t.Errorf("the server's WriteSide: %v", err)
		}
	}
	answers := make(chan string, count)
	client.Side = func(_ *wrap.Conn, b []byte) { answers <- string(b) }
	a, b := net.Pipe()
	c, s := connect(t, a, b, client, server)
	if err := c.WriteSide([]byte("S")); err == nil {
		t.Error("WriteSide succeeds before the handshake")
	}
	shake(t, c, s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range count {
			for err := bio.ErrWantWrite; err != nil; time.Sleep(time.Millisecond) {
				if err = c.WriteSide(fmt.Appendf(nil, "S %d", i)); err != nil && err != bio.ErrWantWrite {
					t.Errorf("WriteSide: %v", err)
				}
			}
		}
		wantErr(t, "WriteSide of something else", c.WriteSide([]byte("TLS")), errNoS)
	}()
	transferBoth(t, c, s, 1<<20)
	<-done
	go io.Copy(io.Discard, c) // who does not read hears nothing
	go io.Copy(io.Discard, s)
	for i := range count {
		if got, want := <-answers, fmt.Sprintf("S %d", i); got != want {
			t.Fatalf("the answer is %q, want %q", got, want)
		}
	}
	c.Close()
	wantErr(t, "WriteSide after Close", c.WriteSide([]byte("S")), net.ErrClosed)
}

// TestWriteSideBounded sends side traffic to a peer that takes nothing: it is refused when it is too much, at once.
func TestWriteSideBounded(t *testing.T) {
	client, server := over(t, chattyMaker(t))
	client.WriteBuffer = 10 << 10
	a, b := net.Pipe()
	c, s := connect(t, a, b, client, server)
	shake(t, c, s)
	message := append([]byte("S"), make([]byte, 999)...)
	for sent := 0; ; sent += len(message) {
		err := c.WriteSide(message)
		if err == bio.ErrWantWrite {
			break
		}
		if err != nil || sent > 2*client.WriteBuffer {
			t.Fatalf("after %d bytes: %v", sent, err)
		}
	}
	exchange(t, c, s)
	plain, _ := wrapConfigs(t, "length:16be")
	c = wrap.Client(wrap.Stream(a), plain)
	if err := c.WriteSide(message); err == nil || !strings.Contains(err.Error(), "SendSide") {
		t.Errorf("a codec without side traffic: %v", err)
	}
	c.Close()
}

// TestSideDropped has nobody who wants what is not TLS.
func TestSideDropped(t *testing.T) {
	s, peer := chattyPeers(t, nil)
	defer s.Close()
	peer.send([]byte("SILENCE"))
	out, _, err := peer.eng.Seal(nil, []byte("data"))
	if err != nil {
		t.Fatal(err)
	}
	peer.send(out)
	expect(t, s, "data")
}

// TestDone ends the outer protocol with a reason: it is what Read returns.
func TestDone(t *testing.T) {
	s, peer := chattyPeers(t, nil)
	defer s.Close()
	peer.send([]byte("END"))
	wantErr(t, "Read", readErr(t, s), errEnd)

	s, peer = chattyPeers(t, nil)
	defer s.Close()
	peer.send([]byte("EOF")) // what the outer protocol takes for an end in good order is none for TLS
	wantErr(t, "Read", readErr(t, s), bio.ErrTruncated)
}

// TestFloodOfQuestions makes the codec answer and does not read.
func TestFloodOfQuestions(t *testing.T) {
	s, peer := chattyPeers(t, nil)
	defer s.Close()
	go func() {
		for {
			if _, err := peer.conn.Write(make([]byte, 2*100)); err != nil {
				return
			}
		}
	}()
	wantErr(t, "Read", readErr(t, s), bio.ErrTooMuch)
	if n := s.Stats().FramesOut; n > 2000 {
		t.Errorf("%d answers were queued", n)
	}
}

// TestMachineCallsDoNotOverlap uses a Machine that does not bear it in every way at once; the race detector looks on.
func TestMachineCallsDoNotOverlap(t *testing.T) {
	client, server := over(t, chattyMaker(t))
	a, b := net.Pipe()
	c, s := connect(t, a, b, client, server)
	shake(t, c, s)
	var flushes sync.WaitGroup
	flushes.Go(func() {
		for range 100 {
			c.Flush()
			s.Flush()
		}
	})
	transferBoth(t, c, s, 1<<20)
	flushes.Wait()
	go io.Copy(io.Discard, s)
	c.Close()
}

// A stray is a Machine with TLS bytes that no frame has brought.
type stray struct{ chatty }

func (m *stray) Send(ev []frame.Event, b *frame.Buf, flush bool) ([]frame.Event, error) {
	b.Release()
	return append(ev, frame.Event{Kind: frame.In, Buf: frame.NewBuf(0, []byte("TLS?"), 0)}), nil
}

func TestStray(t *testing.T) {
	inner := chattyMaker(t)
	client, _ := over(t, func(role frame.Role) (frame.Machine, error) {
		m, err := inner(role)
		return &stray{*m.(*chatty)}, err
	})
	a, _ := bio.Pair(0)
	c := wrap.Client(wrap.Stream(a), client)
	if err := c.Handshake(); err == nil || !strings.Contains(err.Error(), "codec") {
		t.Errorf("Handshake: %v", err)
	}
	c.Close()
}

// A clocked is a Machine with a clock that has nothing to do.
type clocked struct{ chatty }

func (*clocked) Deadline() (time.Time, bool) { return time.Time{}, false }

func (*clocked) Tick(ev []frame.Event, _ time.Time) ([]frame.Event, error) { return ev, nil }

// TestReadAfterWriteError reads on when the carrier takes nothing more: what the peer sends is not to blame for that.
func TestReadAfterWriteError(t *testing.T) {
	inner := chattyMaker(t)
	client, server := over(t, func(role frame.Role) (frame.Machine, error) {
		m, err := inner(role)
		return &clocked{*m.(*chatty)}, err
	})
	a, b := bio.Pair(0)
	f := &faulty{Conn: a}
	c, s := connect(t, f, b, client, server)
	shake(t, c, s)
	f.mu.Lock()
	f.writeErr = io.ErrClosedPipe
	f.mu.Unlock()
	for err := error(nil); err == nil; time.Sleep(time.Millisecond) {
		_, err = c.Write([]byte("x"))
	}
	send(t, s, c, "still here")
	if n := c.Stats().Malformed; n != 0 {
		t.Errorf("%d frames count as malformed", n)
	}
}

// TestClockOverCallbacks has a Machine with a clock over a carrier that does not wait: its user's calls are the clock,
// and no timer runs.
func TestClockOverCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := over(t, arqMaker(400))
		up, down := bio.NewMemory(1<<20), bio.NewMemory(1<<20)
		sent := 0
		lose := func(context any, p []byte) (int, error) {
			if sent++; sent == 1 {
				return len(p), nil
			}
			return context.(*mailbox).out.Write(p)
		}
		c := wrap.Client(wrap.Callbacks(mailboxRecv, lose, &mailbox{in: down, out: up, most: 1 << 20}), client)
		s := wrap.Server(wrap.Callbacks(mailboxRecv, mailboxSend, &mailbox{in: up, out: down, most: 1 << 20}), server)
		defer s.Close()
		defer c.Close()
		if err := c.Handshake(); err != bio.ErrWantRead {
			t.Fatalf("Handshake: %v", err)
		}
		time.Sleep(10 * arqTimeout)
		if sent != 1 {
			t.Errorf("a timer has sent something")
		}
		if err := c.Handshake(); err != bio.ErrWantRead || sent != 2 {
			t.Errorf("Handshake, when the fragment is due again: %v, sent %d times", err, sent)
		}
		inTurns(t, c.Handshake, s.Handshake)
	})
}
