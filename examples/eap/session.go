package main

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/codecs/eap"
	"github.com/encase-tls/encase/codecs/radius"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// A session is one peer that wants to be let in: an engine, which has no I/O, and a Machine, which has none either.
// Packets go in, and packets come out.
type session struct {
	exchange *eap.Exchange
	told     sync.Once

	mu      sync.Mutex
	engine  bio.Engine
	machine frame.Machine
	open    bool  // TLS is established, and the Machine knows
	failed  error // why TLS has failed
	replies [][]byte
}

func newSession(options func(*eap.Exchange) radius.Options, engines bio.Maker) (*session, error) {
	s := &session{exchange: eap.NewExchange()}
	codec, err := radius.New(options(s.exchange))
	if err == nil {
		s.machine, err = codec(frame.Server)
	}
	if err == nil {
		s.engine, err = engines(frame.Server)
	}
	if err != nil {
		return nil, err
	}
	return s, s.act(s.machine.Start)
}

// handle takes a packet and returns what it is answered with. An error is about the packet: it changes nothing.
func (s *session) handle(packet []byte, now time.Time) ([][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replies = nil
	if err := s.act(func(ev []frame.Event) ([]frame.Event, error) {
		return s.machine.(frame.Timed).Tick(ev, now)
	}); err != nil {
		return nil, err
	}
	var b frame.Buf
	b.Borrow(packet, 0, len(packet))
	err := s.act(func(ev []frame.Event) ([]frame.Event, error) { return s.machine.Recv(ev, &b) })
	return s.replies, err
}

// act does what a call of the Machine wants done.
func (s *session) act(call func([]frame.Event) ([]frame.Event, error)) error {
	events, err := call(nil)
	for _, e := range events {
		switch e.Kind {
		case frame.Out:
			s.replies = append(s.replies, append([]byte(nil), e.Buf.Bytes()...))
		case frame.In:
			if tlsErr := s.tls(e.Buf.Bytes()); err == nil {
				err = tlsErr
			}
		case frame.Done:
			s.close()
		}
		if e.Buf != nil {
			e.Buf.Release()
		}
	}
	return err
}

// tls gives TLS what the peer sent. An engine that fails has something to say about that: an alert. What becomes of it
// is for the Machine to see to.
func (s *session) tls(p []byte) error {
	for len(p) > 0 {
		_, status, err := s.engine.Open(nil, p)
		if sent := s.flight(); sent != nil {
			return sent
		}
		if err != nil || status.Consumed == 0 {
			s.failed = err
			return nil
		}
		p = p[status.Consumed:]
	}
	return s.established()
}

// flight hands over what TLS has to say.
func (s *session) flight() error {
	const most = 16 << 10 // at once
	for more := true; more; {
		var out []byte
		if out, more = s.engine.Flush(nil, most); len(out) == 0 {
			return nil
		}
		if err := s.send(out, !more); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) send(p []byte, flush bool) error {
	limits := s.machine.Limits()
	return s.act(func(ev []frame.Event) ([]frame.Event, error) {
		return s.machine.Send(ev, frame.NewBuf(limits.Head, p, limits.Tail), flush)
	})
}

// established tells the Machine, once, that TLS is, and confirms success inside TLS 1.3.
// https://www.rfc-editor.org/rfc/rfc9190.html#section-2.5
func (s *session) established() error {
	state := s.engine.State()
	if s.open || state.Phase != bio.PhaseOpen {
		return nil
	}
	s.open = true
	err := s.act(func(ev []frame.Event) ([]frame.Event, error) {
		return s.machine.(wrap.HandshakeObserver).OnHandshake(ev, &state.TLS)
	})
	if err != nil || state.TLS.Version < tls.VersionTLS13 {
		return err
	}
	s.exchange.Confirm()
	record, _, err := s.engine.Seal(nil, []byte{0})
	if err != nil {
		return err
	}
	return s.send(record, true)
}

// report says what has become of the peer, once.
func (s *session) report(stdout io.Writer) {
	select {
	case <-s.exchange.Over():
	default:
		return
	}
	s.told.Do(func() {
		result, err := s.exchange.Outcome()
		if err != nil {
			fmt.Fprintln(stdout, "server: refused:", cmp.Or(s.failed, err))
			return
		}
		fmt.Fprintf(stdout, "server: let in %q, %s, session %x...\n",
			result.Identity, tls.VersionName(result.TLS.Version), result.SessionID[:4])
	})
}

// close ends what a handshake may have suspended.
func (s *session) close() { s.engine.Abort(net.ErrClosed) }
