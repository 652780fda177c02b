package datagram

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// pskConfigs returns configurations of two sides with a key in common, whose handshakes look at no clock.
func pskConfigs(tb testing.TB, codec string) (client, server *Config) {
	tb.Helper()
	stack := pskStack(dtls.Options{})
	return &Config{Stack: stack, Codec: codecOf(tb, codec)}, &Config{Stack: stack, Codec: codecOf(tb, codec)}
}

// inMemory returns both ends of a connection without a network, which has begun to work but has not shaken hands.
func inMemory(tb testing.TB, client, server *Config) (c, s *Conn) {
	tb.Helper()
	wc, ws := newWire(), newWire()
	var err error
	if c, err = newConn(client, frame.Client, wc, wireAddr{}, nil, nil); err != nil {
		tb.Fatal(err)
	}
	if s, err = newConn(server, frame.Server, ws, wireAddr{}, nil, nil); err != nil {
		tb.Fatal(err)
	}
	wc.to, ws.to = s, c
	go wc.run()
	go ws.run()
	tb.Cleanup(func() {
		c.Close()
		s.Close()
		wc.stop()
		ws.stop()
	})
	return c, s
}

// TestDeadlines ends calls that wait, without harm.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pskConfigs(t, "")
		c, s := inMemory(t, client, server)
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		s.SetDeadline(start.Add(3 * time.Second))
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				_, err := s.Read(make([]byte, 10))
				if took := time.Since(start); !isTimeout(err) || took != 3*time.Second {
					t.Errorf("Read: %v after %v", err, took)
				}
			})
		}
		wg.Wait()
		if _, err := s.Write([]byte("x")); !isTimeout(err) {
			t.Errorf("Write after the deadline: %v", err)
		}
		s.SetDeadline(time.Time{})
		ping(t, c, s)

		read := make(chan error)
		go func() {
			_, err := s.Read(make([]byte, 10))
			read <- err
		}()
		time.Sleep(time.Second)
		s.SetReadDeadline(time.Now().Add(-time.Second))
		if err := <-read; !isTimeout(err) {
			t.Errorf("Read whose deadline was moved to the past: %v", err)
		}
	})
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// TestCloseEnds ends calls that wait by Close, in the handshake and after it.
func TestCloseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pskConfigs(t, "")
		for _, shake := range []bool{false, true} {
			c, s := inMemory(t, client, server)
			if shake {
				if err := errors.Join(c.Handshake(), s.Handshake()); err != nil {
					t.Fatal(err)
				}
			} else {
				s.closed.Store(true) // hears nothing
			}
			results := make(chan error, 2)
			go func() {
				_, err := c.Read(make([]byte, 10))
				results <- err
			}()
			go func() { results <- c.Handshake() }()
			time.Sleep(time.Second)
			c.Close()
			for range 2 {
				if err := <-results; !errors.Is(err, net.ErrClosed) && !(shake && err == nil) {
					t.Errorf("after Close: %v", err)
				}
			}
			s.closed.Store(false)
		}
	})
}

// TestHandshakeEnds has a peer that does not answer: the handshake ends with its context, or with its time.
func TestHandshakeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pskConfigs(t, "")
		client.HandshakeTimeout = 5 * time.Second
		reason := errors.New("no more patience")
		for _, test := range []struct {
			patience, takes time.Duration
			want            error
		}{{2 * time.Second, 2 * time.Second, reason}, {time.Minute, 5 * time.Second, os.ErrDeadlineExceeded}} {
			c, s := inMemory(t, client, server)
			s.closed.Store(true)
			ctx, cancel := context.WithTimeoutCause(t.Context(), test.patience, reason)
			start := time.Now()
			err := c.HandshakeContext(ctx)
			if took := time.Since(start); !errors.Is(err, test.want) || took != test.takes {
				t.Errorf("%v after %v, want %v after %v", err, took, test.want, test.takes)
			}
			cancel()
			if _, err := c.Write([]byte("x")); !errors.Is(err, test.want) {
				t.Errorf("Write: %v", err)
			}
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, test.want) {
				t.Errorf("Read: %v", err)
			}
			c.Close()
			s.closed.Store(false)
		}
	})
}

// TestTimeouts ends connections that are idle, and those whose peer has died, not before their time and at most a
// quarter later; none that is used.
func TestTimeouts(t *testing.T) {
	const minute = time.Minute
	for _, test := range []struct {
		name                string
		idle, peer          time.Duration
		clientDies          bool
		talk                time.Duration // the server sends so often; 0: not at all
		want                error
		notBefore, notAfter time.Duration
	}{
		{"idle", 4 * minute, 0, false, 0, ErrIdle, 4 * minute, 5 * minute},
		{"in use", 4 * minute, minute, false, minute / 2, nil, 0, 0},
		{"silent, but nobody has asked", 0, minute, false, 0, nil, 0, 0},
		{"dead", 10 * minute, 4 * minute, true, minute, ErrPeerSilent, 5 * minute, 7 * minute},
		{"dead, without a limit", 0, 0, true, minute, nil, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := pskConfigs(t, "")
				server.IdleTimeout, server.PeerTimeout = test.idle, test.peer
				client.Handler = func(c *Conn, p []byte) { c.Write(p) }
				c, s := inMemory(t, client, server)
				if err := errors.Join(c.Handshake(), s.Handshake()); err != nil {
					t.Fatal(err)
				}
				c.closed.Store(test.clientDies)
				start := time.Now()
				read := make(chan error, 1)
				go func() {
					var err error
					for err == nil {
						_, err = s.Read(make([]byte, 10))
					}
					read <- err
				}()
				for time.Since(start) < 30*minute && len(read) == 0 {
					if time.Sleep(max(test.talk, minute/6)); test.talk > 0 {
						s.Write([]byte("hello?"))
					}
				}
				took := time.Since(start)
				s.Close()
				err := <-read
				c.closed.Store(false)
				if test.want == nil {
					if err != net.ErrClosed || took < 30*minute {
						t.Errorf("ended by %v after %v", err, took)
					}
					return
				}
				if err != test.want || took < test.notBefore || took > test.notAfter+minute {
					t.Errorf("ended by %v after %v, want %v after %v to %v", err, took, test.want,
						test.notBefore, test.notAfter)
				}
			})
		})
	}
}

// TestHandler answers from within the handler, and closes when the peer does.
func TestHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pskConfigs(t, "length:16be")
		server.Handler = func(c *Conn, p []byte) {
			if _, err := c.Write(append([]byte("re: "), p...)); err != nil {
				t.Error(err)
			}
		}
		c, s := inMemory(t, client, server)
		buf := make([]byte, 100)
		for i := range 3 {
			fmt.Fprintf(c, "message %d", i)
			n, err := c.Read(buf)
			if want := fmt.Sprintf("re: message %d", i); err != nil || string(buf[:n]) != want {
				t.Errorf("the answer is %q, %v", buf[:n], err)
			}
		}
		c.Close()
		synctest.Wait()
		if _, err := s.Write([]byte("x")); err != net.ErrClosed {
			t.Errorf("Write after the peer has closed: %v", err)
		}
	})
}

// TestShortRead reads into too little room: the rest of that message is lost, and nothing else.
func TestShortRead(t *testing.T) {
	client, server := pskConfigs(t, "")
	c, s := inMemory(t, client, server)
	for _, m := range []string{"a long message", "b", "another long one", "c"} {
		if _, err := c.Write([]byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 3)
	for _, want := range []string{"a l", "b"} {
		n, err := s.Read(buf)
		if string(buf[:n]) != want || (err == io.ErrShortBuffer) != (n == 3) {
			t.Errorf("Read: %q, %v, want %q", buf[:n], err, want)
		}
	}
	batch := [][]byte{make([]byte, 0, 7), make([]byte, 7)}
	if n, err := s.ReadBatch(batch); n != 1 || err != io.ErrShortBuffer || string(batch[0]) != "another" {
		t.Errorf("ReadBatch: %d, %v, %q", n, err, batch[0])
	}
	if n, err := s.ReadBatch(batch); n != 1 || err != nil || string(batch[0]) != "c" {
		t.Errorf("ReadBatch: %d, %v, %q", n, err, batch[0])
	}
}

// TestExporter compares keying material.
func TestExporter(t *testing.T) {
	client, server := configs(t, "")
	c, s := connect(t, client, server)
	if cs := c.ConnectionState(); !cs.HandshakeComplete || cs.Version != dtls.VersionDTLS12 || len(cs.PeerCertificates) != 1 {
		t.Errorf("the state is %+v", cs)
	}
	a, err := c.ExportKeyingMaterial("EXPORTER-test", nil, 32)
	b, err2 := s.ExportKeyingMaterial("EXPORTER-test", nil, 32)
	if errors.Join(err, err2) != nil || len(a) != 32 || string(a) != string(b) {
		t.Errorf("%x and %x, %v, %v", a, b, err, err2)
	}
}

// TestConcurrent uses one connection from many goroutines, and closes it under them.
func TestConcurrent(t *testing.T) {
	for _, codec := range []string{"", "channeldata:udp"} {
		client, server := configs(t, codec)
		server.Handler = func(c *Conn, p []byte) { c.Write(p) }
		server.IdleTimeout = time.Minute
		var traced sync.Map
		client.Trace = func(x wrap.Trace) { traced.Store(x.Sent, true) }
		c, _ := connect(t, client, server)
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for k := 0; ; k++ {
					p := noise(10+k%500, uint64(i))
					if _, err := c.WriteBatch([][]byte{p, p}); err != nil {
						if !errors.Is(err, net.ErrClosed) {
							t.Error(err)
						}
						return
					}
					c.Stats()
					c.ConnectionState()
					c.RemoteAddr()
				}
			})
			wg.Go(func() {
				buf := make([]byte, 1000)
				for {
					c.SetReadDeadline(time.Now().Add(10 * time.Second))
					if _, err := c.Read(buf); err != nil {
						if !errors.Is(err, net.ErrClosed) {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		time.Sleep(200 * time.Millisecond)
		for _, sent := range []bool{true, false} {
			eventually(t, fmt.Sprintf("something is traced, sent %v", sent), func() bool {
				_, ok := traced.Load(sent)
				return ok
			})
		}
		c.Close()
		wg.Wait()
	}
}

// A modest engine has nothing but the methods of bio.Engine, and Ready; and it can be told that its keys wear out.
type modest struct {
	bio.Engine
	ready chan struct{}
	worn  atomic.Bool
}

// Ready implements bio.Notifier.
func (m *modest) Ready() <-chan struct{} { return m.ready }

// Tick implements bio.Engine.
func (m *modest) Tick(now time.Time) (bio.Status, error) {
	st, err := m.Engine.Tick(now)
	if m.worn.Swap(false) {
		st.Events |= bio.EventRekey
	}
	return st, err
}

func (m *modest) notify() {
	select {
	case m.ready <- struct{}{}:
	default: // there is a token already
	}
}

// forward passes on what Ready of the real engine says.
func (m *modest) forward(quit <-chan struct{}) {
	for {
		select {
		case <-m.Engine.(bio.Notifier).Ready():
			m.notify()
		case <-quit:
			return
		}
	}
}

// TestModestEngine uses an engine that has no batches. Who only writes hears that its keys wear out.
func TestModestEngine(t *testing.T) {
	client, server := pskConfigs(t, "length:16be")
	var engines []*modest
	quit := make(chan struct{})
	defer close(quit)
	stack := client.Stack
	client.Stack.New = func(cfg *bio.Config) (bio.Maker, error) {
		mk, err := stack.New(cfg)
		return func(role frame.Role) (bio.Engine, error) {
			e, err := mk(role)
			m := &modest{Engine: e, ready: make(chan struct{}, 1)}
			engines = append(engines, m)
			go m.forward(quit)
			return m, err
		}, err
	}
	server.Stack = client.Stack
	var told atomic.Int32
	client.OnEvent = func(c *Conn, e Event) {
		if e.Kind == EventRekey {
			told.Add(1)
		}
		c.Write([]byte("from within the event"))
	}
	c, s := inMemory(t, client, server)
	ping(t, c, s)
	if n := c.Stats().Empty + s.Stats().Empty; n > 0 {
		t.Errorf("%d empty messages", n)
	}
	engines[0].worn.Store(true)
	engines[0].notify()
	if _, err := c.Write([]byte("x")); err != nil || told.Load() != 1 {
		t.Errorf("%v; told %d times", err, told.Load())
	}
}

// A slowOwner takes its time when the handshake is done.
type slowOwner struct {
	nobody
	told atomic.Bool
}

func (o *slowOwner) shaken(*Conn, error) {
	time.Sleep(time.Second)
	o.told.Store(true)
}

// TestToldBeforeMessages: who is told that a Conn has opened hears of it before the first message comes, and before it
// has closed.
func TestToldBeforeMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pskConfigs(t, "length:16be")
		own, early, came := &slowOwner{}, atomic.Bool{}, make(chan struct{})
		server.Handler = func(*Conn, []byte) {
			early.Store(!own.told.Load())
			close(came)
		}
		c, s := inMemory(t, client, server)
		s.owner = own
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("first")); err != nil {
			t.Fatal(err)
		}
		<-came
		if early.Load() {
			t.Error("the message comes before its owner has been told of the Conn")
		}
	})
}
