//go:build linux

package main

import (
	"bytes"
	"errors"
	"io"

	"github.com/encase-tls/encase/bio"
)

// An app is what talks through a session. step goes as far as it can without waiting, and returns bio.ErrWantRead or
// bio.ErrWantWrite to be called again when there is more to read or more room; nil when all is said, in both
// directions; any other error when it has failed.
type app interface {
	step(s *bio.Session) error
}

// echo says back what it hears, and closes when the peer does.
type echo struct {
	buf  [4 << 10]byte
	held []byte // heard, not yet said; while there is some nothing more is read: so a slow peer slows itself down
}

func (e *echo) step(s *bio.Session) error {
	for {
		for len(e.held) > 0 {
			n, err := s.Write(e.held) // ErrWantWrite can come with n > 0, as with SSL_MODE_ENABLE_PARTIAL_WRITE
			e.held = e.held[n:]
			if err != nil {
				return err
			}
		}
		n, err := s.Read(e.buf[:])
		e.held = e.buf[:n]
		switch {
		case err == io.EOF: // close_notify: the peer has said all, and waits for the rest of the answer
			return s.Shutdown()
		case err != nil:
			return err
		}
	}
}

// asker says a text, and hears whether it comes back. It does both at once: two peers that both say everything before
// they listen wait for each other for ever, as soon as the text is longer than the buffers between them.
type asker struct {
	unsaid, unheard []byte
	buf             [4 << 10]byte
}

func (a *asker) step(s *bio.Session) error {
	if err := a.say(s); err != nil && err != bio.ErrWantRead && err != bio.ErrWantWrite {
		return err
	}
	for {
		n, err := s.Read(a.buf[:])
		if !bytes.HasPrefix(a.unheard, a.buf[:n]) {
			return errors.New("something else came back")
		}
		a.unheard = a.unheard[n:]
		switch {
		case err == io.EOF && len(a.unheard) > 0:
			return errors.New("the server has closed before all came back")
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// say writes what there is room for, and half-closes at the end: the echo of it still comes.
func (a *asker) say(s *bio.Session) error {
	for len(a.unsaid) > 0 {
		n, err := s.Write(a.unsaid)
		a.unsaid = a.unsaid[n:]
		if err != nil {
			return err
		}
	}
	if err := s.Handshake(); err != nil {
		return err
	}
	return s.Shutdown()
}
