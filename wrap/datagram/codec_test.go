package datagram

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// A talker is a frame.Machine that does what a Codec cannot: it says something of its own every ten seconds, and at the
// end, and sends no more than four frames before the peer has acknowledged one.
//
//	| kind 1 | number 4 | data |
type talker struct {
	next    time.Time // zero: no clock has been seen
	sent    uint32
	acked   uint32
	waiting []*frame.Buf
}

const (
	talkData, talkAck, talkHello, talkBye = 'd', 'a', 'h', 'b'
	talkHeader                            = 5
	talkWindow                            = 4
	talkEvery                             = 10 * time.Second
)

func newTalker(frame.Role) (frame.Machine, error) { return &talker{}, nil }

// Limits implements frame.Machine.
func (m *talker) Limits() frame.Limits { return frame.Limits{Head: talkHeader, Max: 2000} }

// Start implements frame.Machine.
func (m *talker) Start(ev []frame.Event) ([]frame.Event, error) {
	return append(ev, m.say(talkHello, 0)), nil
}

func (m *talker) say(kind byte, number uint32) frame.Event {
	b := frame.Get(talkHeader, 0)
	return frame.Event{Kind: frame.Out, Buf: header(b, kind, number)}
}

func header(b *frame.Buf, kind byte, number uint32) *frame.Buf {
	h := b.Prepend(talkHeader)
	h[0] = kind
	binary.BigEndian.PutUint32(h[1:], number)
	return b
}

// Send implements frame.Machine.
func (m *talker) Send(ev []frame.Event, b *frame.Buf, _ bool) ([]frame.Event, error) {
	if b != nil {
		m.waiting = append(m.waiting, b)
	}
	return m.release(ev), nil
}

func (m *talker) release(ev []frame.Event) []frame.Event {
	for len(m.waiting) > 0 && m.sent-m.acked < talkWindow {
		m.sent++
		ev = append(ev, frame.Event{Kind: frame.Out, Buf: header(m.waiting[0], talkData, m.sent)})
		m.waiting = m.waiting[1:]
	}
	return ev
}

// Recv implements frame.Machine.
func (m *talker) Recv(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	if b.Len() < talkHeader {
		return ev, frame.ErrMalformed
	}
	kind, number := b.Bytes()[0], binary.BigEndian.Uint32(b.Bytes()[1:])
	switch kind {
	case talkData:
		b.TrimFront(talkHeader)
		return append(ev, frame.Event{Kind: frame.In, Buf: b}, m.say(talkAck, number)), nil
	case talkAck:
		m.acked = max(m.acked, number)
		return m.release(ev), nil
	case talkHello, talkBye:
		return append(ev, frame.Event{Kind: frame.Side, Buf: b}), nil
	}
	return ev, frame.ErrMalformed
}

// Deadline implements frame.Timed.
func (m *talker) Deadline() (time.Time, bool) { return m.next, !m.next.IsZero() }

// Tick implements frame.Timed.
func (m *talker) Tick(ev []frame.Event, now time.Time) ([]frame.Event, error) {
	switch {
	case m.next.IsZero():
	case now.Before(m.next):
		return ev, nil
	default:
		ev = append(ev, m.say(talkHello, 0))
	}
	m.next = now.Add(talkEvery)
	return ev, nil
}

// SendSide implements frame.SideSender. It takes what Recv tells as side traffic.
func (m *talker) SendSide(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	if b.Len() < talkHeader || b.Bytes()[0] != talkHello {
		b.Release()
		return ev, errNoHello
	}
	return append(ev, frame.Event{Kind: frame.Out, Buf: b}), nil
}

var errNoHello = errors.New("talker: side traffic is hellos")

// End implements frame.Ender.
func (m *talker) End(ev []frame.Event) ([]frame.Event, error) {
	return append(ev, m.say(talkBye, 0)), nil
}

// Backlog implements frame.Backlogger.
func (m *talker) Backlog() (n int) {
	for _, b := range m.waiting {
		n += b.Len()
	}
	return n
}

// TestMachine has a codec with a clock, a window and an end: all work with nobody reading or writing.
func TestMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pskConfigs(t, "")
		client.Codec, server.Codec = newTalker, newTalker
		var mu sync.Mutex
		var heard []byte
		server.Side = func(_ *Conn, b []byte) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, b[0])
		}
		c, s := inMemory(t, client, server)
		if err := errors.Join(c.Handshake(), s.Handshake()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3*talkEvery + time.Second)
		const count = 50
		for i := range count {
			if _, err := c.Write([]byte{byte(i)}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		buf := make([]byte, 10)
		for i := range count {
			if n, err := s.Read(buf); n != 1 || buf[0] != byte(i) || err != nil {
				t.Fatalf("message %d: %x, %v", i, buf[:n], err)
			}
		}
		if err := c.WriteSide([]byte("hello")); err != nil {
			t.Errorf("WriteSide: %v", err)
		}
		if err := c.WriteSide([]byte("data?")); !errors.Is(err, errNoHello) {
			t.Errorf("WriteSide of something else: %v, want %v", err, errNoHello)
		}
		c.Close()
		if err := c.WriteSide([]byte("hello")); err != net.ErrClosed {
			t.Errorf("WriteSide after Close: %v", err)
		}
		if _, err := s.Read(buf); err != io.EOF {
			t.Errorf("Read after Close: %v", err)
		}
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if want := "hhhhhb"; string(heard) != want { // the hello of the start, three more, and the user's
			t.Errorf("side traffic is %q, want %q", heard, want)
		}
	})
}

// TestTrace compares what both ends trace: frames as on the wire, and the records in them.
func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pskConfigs(t, "length:16be")
		var mu sync.Mutex
		traces := map[bool][]string{}
		client.Trace = func(x wrap.Trace) {
			mu.Lock()
			defer mu.Unlock()
			if x.Sent {
				traces[true] = append(traces[true], fmt.Sprintf("%x %x", x.Frame, x.TLS))
			}
			if !bytes.Equal(x.Frame[2:], x.TLS) {
				t.Errorf("a frame of %x holds %x", x.Frame, x.TLS)
			}
		}
		server.Trace = func(x wrap.Trace) {
			mu.Lock()
			defer mu.Unlock()
			if !x.Sent {
				traces[false] = append(traces[false], fmt.Sprintf("%x %x", x.Frame, x.TLS))
			}
		}
		c, s := inMemory(t, client, server)
		ping(t, c, s)
		if _, err := c.WriteBatch([][]byte{[]byte("a"), []byte("b")}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(traces[true]) < 5 || !slices.Equal(traces[true], traces[false]) {
			t.Errorf("sent:\n%s\nreceived:\n%s", traces[true], traces[false])
		}
	})
}

// TestPollLoop drives an engine and a codec from a loop of its own that waits for nothing but a socket, with timeouts.
// The handshake is self-timed: during it, Ready tells when there is something to send.
func TestPollLoop(t *testing.T) {
	client, server := configs(t, "length:16be")
	h := newHost(t, server)
	sock, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(h.addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer sock.Close()
	maker, err := client.Stack.New(&bio.Config{TLS: client.TLS, MTU: 1200})
	if err != nil {
		t.Fatal(err)
	}
	eng, err := maker(frame.Client)
	if err != nil {
		t.Fatal(err)
	}
	defer eng.Abort(nil)
	mach, err := client.Codec(frame.Client)
	if err != nil {
		t.Fatal(err)
	}
	l := &pollLoop{sock: sock, eng: eng, mach: mach}
	s := l.until(t, func() bool { return eng.State().Phase == bio.PhaseOpen }, h.accept)
	l.write(t, []byte("polled"))
	buf := make([]byte, 100)
	if n, err := s.Read(buf); err != nil || string(buf[:n]) != "polled" {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	s.Write([]byte("answered"))
	l.until(t, func() bool { return string(l.got) == "answered" }, nil)
}

// A pollLoop is what a program with an event loop has for a connection.
type pollLoop struct {
	sock *net.UDPConn
	eng  bio.Engine
	mach frame.Machine
	ev   []frame.Event
	got  []byte
}

// until turns the loop until done. Each turn waits for the socket, but not for long.
func (l *pollLoop) until(t *testing.T, done func() bool, then func() *Conn) (s *Conn) {
	t.Helper()
	buf := make([]byte, 1<<16)
	for end := time.Now().Add(10 * time.Second); !done(); {
		if time.Now().After(end) {
			t.Fatal("it takes too long")
		}
		l.flush(t)
		l.sock.SetReadDeadline(time.Now().Add(5 * time.Millisecond)) // or until Ready, in a loop that can wait for both
		n, err := l.sock.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if _, err := l.eng.Tick(time.Now()); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		l.open(t, buf[:n])
	}
	l.flush(t)
	if then != nil {
		s = then()
	}
	return s
}

// open takes a frame apart and gives the engine what is in it.
func (l *pollLoop) open(t *testing.T, p []byte) {
	t.Helper()
	var b frame.Buf
	b.Borrow(p, 0, len(p))
	ev, err := l.mach.Recv(l.ev[:0], &b)
	if err != nil {
		return // anybody may have sent it
	}
	for _, e := range ev {
		if e.Kind == frame.In {
			if l.got, _, err = l.eng.Open(l.got, e.Buf.Bytes()); err != nil {
				t.Fatal(err)
			}
		}
		e.Buf.Release()
	}
}

// flush sends what the engine has to say.
func (l *pollLoop) flush(t *testing.T) {
	for more := true; more; {
		var out []byte
		b := frame.Get(l.mach.Limits().Head, 1200)
		out, more = l.eng.Flush(b.Tail(), 0)
		if b.Adopt(out, l.mach.Limits().Tail); b.Len() == 0 {
			b.Release()
			return
		}
		l.send(t, b)
	}
}

func (l *pollLoop) write(t *testing.T, p []byte) {
	b := frame.Get(l.mach.Limits().Head, len(p)+l.eng.Overhead()+l.mach.Limits().Tail)
	out, _, err := l.eng.Seal(b.Tail(), p)
	if err != nil {
		t.Fatal(err)
	}
	b.Adopt(out, l.mach.Limits().Tail)
	l.send(t, b)
}

func (l *pollLoop) send(t *testing.T, b *frame.Buf) {
	ev, err := l.mach.Send(l.ev[:0], b, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range ev {
		l.sock.Write(e.Buf.Bytes()) // what the network says about it ends nothing
		e.Buf.Release()
	}
}

// FuzzDeliver gives an established Conn arbitrary datagrams: it says nothing that makes sense, and goes on.
func FuzzDeliver(f *testing.F) {
	f.Add([]byte{21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 1, 0}, uint8(0), uint16(0))
	f.Add(bytes.Repeat([]byte{0, 3, 23, 0xfe, 0xfd}, 20), uint8(1), uint16(5))
	f.Add([]byte{0x40, 0, 0, 2, 1, 2, 0, 0}, uint8(2), uint16(3))
	codecs := []string{"", "length:16be", "channeldata:udp", demo}
	var pairs [][2]*Conn
	for _, codec := range codecs {
		client, server := pskConfigs(f, codec)
		client.Stack, server.Stack = pskStack(dtls.Options{CIDLen: 4}), pskStack(dtls.Options{CIDLen: 4})
		c, s := inMemory(f, client, server)
		if err := errors.Join(c.Handshake(), s.Handshake()); err != nil {
			f.Fatal(err)
		}
		pairs = append(pairs, [2]*Conn{c, s})
	}
	f.Fuzz(func(t *testing.T, p []byte, which uint8, segment uint16) {
		ends := pairs[int(which)%len(pairs)]
		c, s := ends[0], ends[1]
		before := s.Stats().MessagesIn
		s.deliver(bytes.Clone(p), int(segment), endpoint{})
		if n := s.Stats().MessagesIn; n != before {
			t.Fatalf("%d messages in %x", n-before, p)
		}
		if _, err := c.Write([]byte("still there")); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		s.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, err := s.Read(buf); err != nil || string(buf[:n]) != "still there" {
			t.Fatalf("%q, %v", buf[:n], err)
		}
	})
}
