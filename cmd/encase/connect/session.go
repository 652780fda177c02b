package connect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/encase-tls/encase/cmd/encase/picture"
	"github.com/encase-tls/encase/cmd/encase/terminal"
	"github.com/encase-tls/encase/wrap"
)

const (
	// maxLinger bounds how long the peer may take for what is on its way when both ends are done: at most 256 KiB.
	maxLinger = 5 * time.Minute

	// alertWait is how long the peer of a failed connection may take for the alert.
	alertWait = 2 * time.Second

	// blameWait is how long a failed write waits for the reason, which the reader sees.
	blameWait = time.Second

	chunk = 64 << 10
)

func interrupted(ctx context.Context) error {
	return &ownError{"interrupted", context.Cause(ctx)}
}

// A session is one connection and what goes through it.
type session struct {
	options *options
	at      endpoint
	cfg     *wrap.Config
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	show    terminal.Terminal

	under io.ReadWriteCloser // what the frames travel on
	conn  *wrap.Conn
}

func newSession(c *cobra.Command, o *options, at endpoint, cfg *wrap.Config) *session {
	s := &session{options: o, at: at, cfg: cfg, stdin: c.InOrStdin(), stdout: c.OutOrStdout(), stderr: c.ErrOrStderr()}
	s.show = terminal.Of(s.stderr)
	if o.verbose {
		cfg.Trace = picture.New(s.stderr, s.show, o.role(), cfg.Codec).Frame
	}
	return s
}

// note tells a person what goes on.
func (s *session) note(format string, args ...any) {
	if !s.options.quiet {
		fmt.Fprintf(s.stderr, "encase: "+format+"\n", args...)
	}
}

// run connects, carries, and closes.
func (s *session) run(ctx context.Context) (err error) {
	if s.under, err = s.at.open(ctx, s.options, s.note); err != nil {
		return err
	}
	if s.options.listen {
		s.conn = wrap.Server(wrap.Stream(s.under), s.cfg)
	} else {
		s.conn = wrap.Client(wrap.Stream(s.under), s.cfg)
	}
	stop := context.AfterFunc(ctx, func() { s.under.Close() })
	defer stop()
	if err := s.conn.HandshakeContext(ctx); err != nil {
		s.giveUp()
		if ctx.Err() != nil {
			return interrupted(ctx)
		}
		return &handshakeError{err}
	}
	s.introduce()
	if err := s.relay(ctx); err != nil {
		var own *ownError
		if errors.As(err, &own) {
			s.under.Close() // before close_notify: the peer is to know that something is missing
		}
		s.giveUp()
		return err
	}
	return s.close(ctx)
}

// giveUp closes a connection that has failed. The peer has a moment to take the alert that tells it why.
func (s *session) giveUp() {
	t := time.AfterFunc(alertWait, func() { s.under.Close() })
	defer t.Stop()
	s.conn.Close()
}

// An ownError is neither the peer's fault nor the network's.
type ownError struct {
	what string
	err  error
}

func (e *ownError) Error() string { return e.what + ": " + e.err.Error() }
func (e *ownError) Unwrap() error { return e.err }

// handshakeError marks what went wrong before any data.
type handshakeError struct{ error }

func (e *handshakeError) Unwrap() error { return e.error }

// introduce says whom the connection is with.
func (s *session) introduce() {
	rows := picture.Agreed(s.conn.ConnectionState())
	if s.options.verbose {
		s.note("the handshake is done")
		s.show.WriteRows(s.stderr, 4, rows)
		fmt.Fprintln(s.stderr)
		return
	}
	var short []string
	for _, r := range rows {
		if r.Name != "certificate" {
			short = append(short, r.Text)
		}
	}
	peer := s.at.String()
	if s.options.listen && s.at.network == "tcp" {
		peer = s.conn.RemoteAddr().String()
	}
	s.note("connected with %s: %s", peer, strings.Join(short, ", "))
}

// relay carries data both ways until both are at their ends, or the peer has gone in order.
func (s *session) relay(ctx context.Context) error {
	up, down, gone := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	go func() { up <- s.send() }()
	go func() { down <- s.receive() }()
	sent, received := false, false
	for !sent || !received {
		select {
		case <-ctx.Done():
			return interrupted(ctx)
		case err := <-up:
			if err != nil {
				return s.blame(err, down)
			}
			sent = true
		case err := <-down:
			if err != nil {
				if ctx.Err() != nil {
					return interrupted(ctx)
				}
				return err
			}
			received = true
			go func() { gone <- s.awaitHangUp() }()
		case <-gone:
			return nil // the peer has closed TLS and the carrier: nobody is there for the rest
		}
	}
	return nil
}

// send carries standard input to the peer, and tells it about the end.
func (s *session) send() error {
	buf := make([]byte, chunk)
	for {
		n, err := s.stdin.Read(buf)
		if n > 0 {
			if _, err := s.conn.Write(buf[:n]); err != nil {
				return fmt.Errorf("not all of the input was sent: %w", err)
			}
		}
		if err == io.EOF {
			return s.conn.CloseWrite()
		}
		if err != nil {
			return &ownError{"cannot read the input", err}
		}
	}
}

// receive carries what the peer sends to standard output, until its close_notify.
func (s *session) receive() error {
	buf := make([]byte, chunk)
	for {
		n, err := s.conn.Read(buf)
		if n > 0 {
			if _, err := s.stdout.Write(buf[:n]); err != nil {
				return &ownError{"cannot write the output", err}
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// awaitHangUp waits until the peer, which has closed TLS, closes the carrier, too. TLS does not read it any more.
func (s *session) awaitHangUp() error {
	_, err := io.Copy(io.Discard, onlyReader{s.under})
	return err
}

// onlyReader hides what could make io.Copy do anything but read.
type onlyReader struct{ io.Reader }

// blame returns the reason why sending failed: the peer may have said it before it went.
func (s *session) blame(err error, down <-chan error) error {
	select {
	case why := <-down:
		if why != nil {
			return why
		}
	case <-time.After(blameWait):
	}
	return err
}

// close ends a connection whose both ends are done.
func (s *session) close(ctx context.Context) error {
	err := s.conn.Close() // says whether all has left
	if ctx.Err() != nil {
		return interrupted(ctx)
	}
	return err
}
