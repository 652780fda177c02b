package bio

import (
	"errors"
	"io"
)

// A Session is an engine with the calls of OpenSSL and wolfSSL: Handshake, Read, Write, Pending and Shutdown, over two
// BIOs that never wait. What takes from the peer is any io.Reader that returns ErrWantRead when there is nothing, what
// gives to it any io.Writer that returns ErrWantWrite when there is no room: two [Memory]s (SSL_set_bio with
// BIO_s_mem), a [PairEnd], or functions of one's own ([ReaderFunc], [WriterFunc]; wolfSSL_SetIORecv and
// wolfSSL_SetIOSend).
//
// A Write that was accepted stays accepted: what the writer had no room for is kept and goes out first at the next
// call, whichever that is. [Session.Flush] does nothing else. A Session is not safe for concurrent use.
type Session struct {
	eng   Engine
	in    io.Reader
	out   io.Writer
	buf   []byte // what input lies in; nil while the peer is silent
	input []byte // from in, not yet taken by the engine
	plain []byte // from the engine, not yet read
	store []byte // the array under plain
	sends []byte // from the engine, not yet written
	err   error  // final
	ended bool   // the peer has closed: Read returns io.EOF when plain is empty
	chose bool   // the engine waited for a choice: it has what it needs to go on after that
}

// sessionInput is the most that a Session takes from its reader at once.
const sessionInput = 4 << 10

// NewSession returns a Session of e that takes the peer's bytes from in and gives bytes for it to out.
func NewSession(e Engine, in io.Reader, out io.Writer) *Session {
	return &Session{eng: e, in: in, out: out}
}

// ReaderFunc and WriterFunc make BIOs of functions.
type (
	ReaderFunc func(p []byte) (int, error)
	WriterFunc func(p []byte) (int, error)
)

// Read calls f.
func (f ReaderFunc) Read(p []byte) (int, error) { return f(p) }

// Write calls f.
func (f WriterFunc) Write(p []byte) (int, error) { return f(p) }

// ErrWantChoice says that the handshake waits for [Chooser].Choose (SSL_ERROR_WANT_CLIENT_HELLO_CB).
var ErrWantChoice = errors.New("bio: the choice of a configuration is wanted")

// Handshake goes on with the handshake. It returns nil when it is done, ErrWantRead, ErrWantWrite or ErrWantChoice when
// it has to be called again, and any other error when it has failed.
func (s *Session) Handshake() error {
	for {
		flushed := s.Flush() // also what a failed handshake leaves, the alert
		phase := s.eng.State().Phase
		switch {
		case flushed == ErrWantWrite:
			return flushed
		case s.err != nil:
			return s.err
		case flushed != nil:
			return flushed
		case phase == PhaseFailed:
			return s.failed()
		case phase == PhaseChoosing:
			s.chose = true
			return ErrWantChoice
		case phase != PhaseHandshake:
			return nil
		}
		if err := s.take(); err != nil {
			return err
		}
	}
}

// failed returns what has ended the engine outside this Session's calls of Open.
func (s *Session) failed() error {
	_, _, s.err = s.eng.Open(nil, nil)
	return s.err
}

// Read moves application data to p. It returns io.EOF after the peer's close_notify, an error that wraps ErrTruncated
// when the reader ended without one, and ErrWantRead when the peer has to speak first; then also look at WantWrite. It
// shakes hands if that is not done. Output that cannot be written does not keep Read from returning data, until a peer
// that demands answers has left so many unread that ErrWantWrite is the answer to it.
func (s *Session) Read(p []byte) (int, error) {
	for len(s.plain) == 0 {
		flushed := s.Flush()
		phase := s.eng.State().Phase
		switch {
		case s.err != nil:
			return 0, s.err
		case s.ended:
			return 0, io.EOF
		case phase == PhaseFailed:
			return 0, s.failed()
		case phase == PhaseHandshake || phase == PhaseChoosing:
			if err := s.Handshake(); err != nil {
				return 0, err
			}
			continue
		}
		err := s.take()
		if err == ErrWantRead && flushed != nil && flushed != ErrWantWrite {
			return 0, flushed
		}
		if err != nil {
			return 0, err
		}
	}
	n := copy(p, s.plain)
	s.plain = s.plain[n:]
	if len(s.plain) == 0 && cap(s.store) > sessionInput {
		s.plain, s.store = nil, nil
	}
	return n, nil
}

// Write seals p and gives it to the writer. It returns how much of p was taken; that much must not be written again,
// also when it comes with ErrWantWrite. It shakes hands if that is not done.
func (s *Session) Write(p []byte) (done int, err error) {
	if err := s.Handshake(); err != nil {
		return 0, err
	}
	for len(p) > 0 {
		var n int
		if s.sends, n, err = s.eng.Seal(s.sends, p); err != nil {
			return done, err
		}
		done, p = done+n, p[n:]
		if err := s.Flush(); err != nil && (err != ErrWantWrite || len(p) > 0) {
			return done, err
		}
	}
	return done, nil
}

// Flush gives the writer what waits for it. It returns ErrWantWrite if something still does.
func (s *Session) Flush() error {
	for {
		for more := true; more && len(s.sends) < softQueue; { // the engine bounds what it keeps, and so does this
			s.sends, more = s.eng.Flush(s.sends, 0)
		}
		if len(s.sends) == 0 {
			return nil
		}
		n, err := s.out.Write(s.sends)
		if s.sends = s.sends[min(max(n, 0), len(s.sends)):]; len(s.sends) == 0 {
			s.sends = nil
		}
		if err != nil {
			return err
		}
		if n == 0 && len(s.sends) > 0 {
			return io.ErrShortWrite
		}
	}
}

// Shutdown sends close_notify. It returns ErrWantWrite if that has no room yet, and nil when it is out; reading goes
// on.
func (s *Session) Shutdown() error {
	if err := s.eng.CloseWrite(); err != nil {
		return err
	}
	return s.Flush()
}

// Pending returns how many bytes Read returns without taking from its reader (SSL_pending).
func (s *Session) Pending() int { return len(s.plain) }

// WantWrite reports whether output waits for room: call Flush when there is some.
func (s *Session) WantWrite() bool { return len(s.sends) > 0 }

// Engine returns the engine, for its State and its Chooser.
func (s *Session) Engine() Engine { return s.eng }

// take moves what the reader has through the engine, once.
func (s *Session) take() error {
	if len(s.input) == 0 && !s.chose {
		if err := s.fill(); err != nil {
			return err
		}
	}
	s.chose = false
	var st Status
	s.plain, st, s.err = s.eng.Open(s.store[:0], s.input)
	s.store = s.plain
	s.input = s.input[st.Consumed:]
	if st.Events.Has(EventPeerClosed) {
		s.ended = true
	}
	if st.Out > 0 {
		s.Flush() // whether it can be written is for the next call to say
	}
	switch {
	case len(s.plain) > 0:
		return nil
	case s.err == nil && st.Consumed == 0 && len(s.sends) > 0:
		return ErrWantWrite // the engine takes no more before its answers are out
	}
	return s.err
}

// fill takes what the reader has.
func (s *Session) fill() error {
	if s.buf == nil {
		s.buf = make([]byte, sessionInput)
	}
	n, err := s.in.Read(s.buf)
	if n > 0 {
		s.input = s.buf[:n]
		return nil
	}
	s.buf = nil
	switch err {
	case nil:
		return ErrWantRead
	case io.EOF:
		if s.err = s.eng.TransportEOF(); s.err == nil {
			s.ended = true
			return io.EOF
		}
		return s.err
	}
	return err
}
