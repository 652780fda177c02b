package bio_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// newSession returns a Session of a new engine over two BIOs.
func newSession(t testing.TB, role frame.Role, in io.Reader, out io.Writer) *bio.Session {
	t.Helper()
	cfg := serverConfig(tls.VersionTLS13)
	if role == frame.Client {
		cfg = clientConfig(tls.VersionTLS13)
	}
	return bio.NewSession(newPeer(t, role, &bio.Config{TLS: cfg}).Engine, in, out)
}

// sessions returns two connected Sessions over memory BIOs of limit bytes.
func sessions(t testing.TB, limit int) (client, server *bio.Session) {
	t.Helper()
	up, down := bio.NewMemory(limit), bio.NewMemory(limit)
	return newSession(t, frame.Client, down, up), newSession(t, frame.Server, up, down)
}

// An exchange writes p and reads as much, as an event loop does: it tries what it has to do and goes on to the next
// connection when a call wants something.
type exchange struct {
	s             *bio.Session
	send, got     []byte
	total         int
	shaken        bool
	reads, writes int // how often the calls wanted that
}

func (x *exchange) step() error {
	if !x.shaken {
		if err := x.s.Handshake(); err != nil {
			return x.wants(err)
		}
		x.shaken = true
	}
	if len(x.send) > 0 {
		n, err := x.s.Write(x.send)
		if x.send = x.send[n:]; x.wants(err) != nil {
			return err
		}
	}
	if err := x.wants(x.s.Flush()); err != nil {
		return err
	}
	p := make([]byte, 1000)
	n, err := x.s.Read(p)
	x.got = append(x.got, p[:n]...)
	return x.wants(err)
}

func (x *exchange) wants(err error) error {
	switch err {
	case bio.ErrWantRead:
		x.reads++
	case bio.ErrWantWrite:
		x.writes++
	default:
		return err
	}
	return nil
}

func (x *exchange) done() bool { return len(x.send) == 0 && len(x.got) == x.total && !x.s.WantWrite() }

// TestSessionTiny lets two programs of the OpenSSL school talk, both writing at once, over BIOs that hold less than a
// record, less than a flight, and more.
func TestSessionTiny(t *testing.T) {
	data := bytes.Repeat([]byte("both ends write at once. "), 4000)
	for _, limit := range []int{1, 100, 1000, bio.DefaultMemory} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			send := data[:min(len(data), 1000*limit)]
			c, s := sessions(t, limit)
			client := &exchange{s: c, send: send, total: len(send)}
			server := &exchange{s: s, send: send, total: len(send)}
			for steps := 0; !client.done() || !server.done(); steps++ {
				if err := errors.Join(client.step(), server.step()); err != nil || steps > 1_000_000 {
					t.Fatalf("step %d: %d bytes of %d: %v", steps, len(client.got), len(send), err)
				}
			}
			if !bytes.Equal(client.got, send) || !bytes.Equal(server.got, send) {
				t.Error("what has arrived is not what was sent")
			}
			if limit < 1000 && (client.reads == 0 || client.writes == 0) {
				t.Errorf("ErrWantRead came %d times, ErrWantWrite %d", client.reads, client.writes)
			}
		})
	}
}

// connect shakes hands.
func connect(t *testing.T, c, s *bio.Session) {
	t.Helper()
	for range 1000 {
		cerr, serr := c.Handshake(), s.Handshake()
		if cerr == nil && serr == nil {
			return
		}
		for _, err := range []error{cerr, serr} {
			if err != nil && err != bio.ErrWantRead && err != bio.ErrWantWrite {
				t.Fatal(err)
			}
		}
	}
	t.Fatal("the handshake does not end")
}

func mustWrite(t *testing.T, s *bio.Session, data string) {
	t.Helper()
	if n, err := s.Write([]byte(data)); n != len(data) || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
}

// wantRead reads once.
func wantRead(t *testing.T, s *bio.Session, data string, want error) {
	t.Helper()
	p := make([]byte, 100)
	n, err := s.Read(p)
	if string(p[:n]) != data || !errors.Is(err, want) {
		t.Errorf("Read: %q, %v, want %q, %v", p[:n], err, data, want)
	}
}

// TestSessionHalfClose: after the peer's close_notify Read says io.EOF, whatever the reader brings, and Write goes on.
func TestSessionHalfClose(t *testing.T) {
	c, s := sessions(t, 0)
	connect(t, c, s)
	mustWrite(t, c, "the last word")
	if err := errors.Join(c.Shutdown(), c.Shutdown()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("x")); err != bio.ErrWriteClosed {
		t.Errorf("Write after Shutdown: %v", err)
	}
	wantRead(t, s, "the last word", nil)
	wantRead(t, s, "", io.EOF)
	wantRead(t, s, "", io.EOF)
	mustWrite(t, s, "an answer")
	wantRead(t, c, "an answer", nil)
	wantRead(t, c, "", bio.ErrWantRead)
	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}
	wantRead(t, c, "", io.EOF)
	if p := c.Engine().State().Phase; p != bio.PhaseClosed {
		t.Errorf("the phase is %v", p)
	}
}

func TestSessionPending(t *testing.T) {
	c, s := sessions(t, 0)
	connect(t, c, s)
	mustWrite(t, c, "in two pieces")
	var p [6]byte
	if n, err := s.Read(p[:]); n != 6 || err != nil || s.Pending() != 7 {
		t.Errorf("Read: %d, %v; Pending %d, want 7", n, err, s.Pending())
	}
	wantRead(t, s, " pieces", nil)
}

// TestSessionTruncated ends the reader without close_notify.
func TestSessionTruncated(t *testing.T) {
	up, down := bio.NewMemory(0), bio.NewMemory(0)
	c, s := newSession(t, frame.Client, down, up), newSession(t, frame.Server, up, down)
	connect(t, c, s)
	mustWrite(t, c, "and then the line w")
	up.CloseWrite()
	wantRead(t, s, "and then the line w", nil)
	wantRead(t, s, "", bio.ErrTruncated)
	wantRead(t, s, "", io.ErrUnexpectedEOF)
	if _, err := s.Write([]byte("x")); !errors.Is(err, bio.ErrTruncated) {
		t.Errorf("Write: %v", err)
	}
}

// TestSessionFailed: a handshake that has failed stays so, whatever ended it.
func TestSessionFailed(t *testing.T) {
	reason := errors.New("enough")
	tests := map[string]struct {
		end  func(s *bio.Session, in *bio.Memory)
		want error
	}{
		"end of the carrier": {func(_ *bio.Session, in *bio.Memory) { in.CloseWrite() }, bio.ErrTruncated},
		"Abort":              {func(s *bio.Session, _ *bio.Memory) { s.Engine().Abort(reason) }, reason},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			in := bio.NewMemory(0)
			s := newSession(t, frame.Client, in, bio.NewMemory(0))
			if err := s.Handshake(); err != bio.ErrWantRead {
				t.Fatal(err)
			}
			tt.end(s, in)
			for range 2 {
				if err := s.Handshake(); !errors.Is(err, tt.want) {
					t.Errorf("Handshake: %v, want %v", err, tt.want)
				}
				wantRead(t, s, "", tt.want)
				if _, err := s.Write([]byte("x")); !errors.Is(err, tt.want) {
					t.Errorf("Write: %v, want %v", err, tt.want)
				}
			}
		})
	}
}

// TestSessionCallbacks: BIOs that are functions. A writer that fails does not hide what the peer has sent before.
func TestSessionCallbacks(t *testing.T) {
	up, down := bio.NewMemory(0), bio.NewMemory(0)
	var broken error
	out := bio.WriterFunc(func(p []byte) (int, error) {
		if broken != nil {
			return 0, broken
		}
		return down.Write(p[:min(len(p), 10)]) // short writes
	})
	c := newSession(t, frame.Client, down, up)
	s := newSession(t, frame.Server, bio.ReaderFunc(up.Read), out)
	connect(t, c, s)
	mustWrite(t, c, "before it broke")
	broken = errors.New("the wire is cut")
	if n, err := s.Write([]byte("x")); n != 1 || err != broken {
		t.Errorf("Write: %d, %v, want 1, %v", n, err, broken)
	}
	wantRead(t, s, "before it broke", nil)
	wantRead(t, s, "", broken)
	broken = nil
	if err := s.Flush(); err != nil {
		t.Error(err)
	}
	wantRead(t, c, "x", nil)
}

// TestSessionChoice pauses for a choice, with nothing left to read when it is made.
func TestSessionChoice(t *testing.T) {
	up, down := bio.NewMemory(0), bio.NewMemory(0)
	c := newSession(t, frame.Client, down, up)
	late := newPeer(t, frame.Server, &bio.Config{TLS: &tls.Config{}, ChooseLate: true})
	s := bio.NewSession(late.Engine, up, down)
	if err := c.Handshake(); err != bio.ErrWantRead {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Handshake(); err != bio.ErrWantChoice {
			t.Fatalf("Handshake: %v, want %v", err, bio.ErrWantChoice)
		}
	}
	wantRead(t, s, "", bio.ErrWantChoice)
	if err := s.Engine().(bio.Chooser).Choose(serverConfig(tls.VersionTLS13)); err != nil {
		t.Fatal(err)
	}
	connect(t, c, s)
}

// TestSessionAlert: the reason for a refusal reaches the peer's Session, in both directions of blame.
func TestSessionAlert(t *testing.T) {
	up, down := bio.NewMemory(100), bio.NewMemory(100)
	cfg := clientConfig(tls.VersionTLS13)
	cfg.ServerName = "other.example"
	c := bio.NewSession(newPeer(t, frame.Client, &bio.Config{TLS: cfg}).Engine, down, up)
	s := newSession(t, frame.Server, up, down)
	var cerr, serr error
	for range 1000 {
		cerr, serr = c.Handshake(), s.Handshake()
	}
	wantAlert(t, "client", cerr, true, 42)
	wantAlert(t, "server", serr, false, 42)
}

// TestSessionAndConn lets crypto/tls, in a goroutine that blocks, talk to a Session that does not.
func TestSessionAndConn(t *testing.T) {
	a, b := bio.Pair(1000)
	b.SetNonblock(true)
	s := newSession(t, frame.Server, b, b)
	data := bytes.Repeat([]byte("blocking and not "), 2000)
	echoed := make(chan error)
	go func() { echoed <- echoWith(tls.Client(a, clientConfig(tls.VersionTLS13)), data) }()
	x := &exchange{s: s, total: len(data)}
	seen := 0
	for start := time.Now(); ; {
		if err := x.step(); err == io.EOF {
			break
		} else if err != nil || time.Since(start) > 2*time.Minute {
			t.Fatalf("after %d bytes: %v", len(x.got), err)
		}
		x.send = append(x.send, x.got[seen:]...)
		seen = len(x.got)
		if b.Pending() == 0 {
			time.Sleep(10 * time.Microsecond) // where a program would call poll
		}
	}
	for len(x.send) > 0 {
		n, err := s.Write(x.send)
		if x.send = x.send[n:]; err != nil && err != bio.ErrWantWrite {
			t.Fatal(err)
		}
	}
	for err := s.Shutdown(); err != nil; err = s.Shutdown() {
		if err != bio.ErrWantWrite {
			t.Fatal(err)
		}
	}
	if err := <-echoed; err != nil {
		t.Error(err)
	}
}

// echoWith writes data, closes its direction and wants the same data and the end of it back.
func echoWith(conn *tls.Conn, data []byte) error {
	written := make(chan error)
	go func() {
		_, err := conn.Write(data)
		written <- errors.Join(err, conn.CloseWrite())
	}()
	got, err := io.ReadAll(conn)
	if err == nil && !bytes.Equal(got, data) {
		err = fmt.Errorf("%d bytes of %d came back", len(got), len(data))
	}
	return errors.Join(err, <-written, conn.Close())
}
