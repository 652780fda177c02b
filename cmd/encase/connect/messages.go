package connect

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/cmd/encase/datagrams"
	"github.com/encase-tls/encase/cmd/encase/picture"
	"github.com/encase-tls/encase/cmd/encase/terminal"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/datagram"
)

// runDatagrams connects, carries messages, and closes.
func (o *options) runDatagrams(c *cobra.Command, at endpoint) error {
	cfg, err := o.datagramConfig(at)
	if err != nil {
		return err
	}
	m := &messages{session: newSession(c, o, at, &wrap.Config{Codec: o.codec.Maker})}
	if o.verbose {
		cfg.Trace = picture.New(m.stderr, m.show, o.role(), o.codec.Maker).Frame
	}
	return m.run(c.Context(), cfg)
}

// messages is one connection of DTLS and what goes through it.
type messages struct {
	*session
	conn  *datagram.Conn
	hang  func()      // ends what is below the connection
	ended atomic.Bool // standard input
}

func (m *messages) run(ctx context.Context, cfg *datagram.Config) error {
	if err := m.connect(ctx, cfg); err != nil {
		if ctx.Err() != nil {
			return interrupted(ctx)
		}
		return err
	}
	defer m.hang()
	m.introduce()
	stop := context.AfterFunc(ctx, func() { m.conn.Close() })
	defer stop()
	err := m.relay()
	m.conn.Close()
	if ctx.Err() != nil {
		return interrupted(ctx)
	}
	return err
}

// connect makes the connection: over UDP, or over a stream.
func (m *messages) connect(ctx context.Context, cfg *datagram.Config) (err error) {
	m.hang = func() {}
	switch {
	case m.at.network == "udp" && m.options.listen:
		return m.accept(ctx, cfg)
	case m.at.network == "udp":
		m.conn, err = datagram.Dial(ctx, m.at.network, m.at.address, cfg)
		return shaking(err)
	}
	under, err := m.at.open(ctx, m.options, m.note)
	if err != nil {
		return err
	}
	over := datagram.Client
	if m.options.listen {
		over = datagram.Server
	}
	if m.conn, err = over(wrap.Stream(under), cfg); err != nil {
		under.Close()
		return err
	}
	if err = m.conn.HandshakeContext(ctx); err != nil {
		m.conn.Close()
	}
	return shaking(err)
}

func shaking(err error) error {
	if err != nil {
		return &handshakeError{err}
	}
	return nil
}

// accept waits for one client. What strangers send before, and others afterwards, ends nothing.
func (m *messages) accept(ctx context.Context, cfg *datagram.Config) error {
	l, err := datagram.Listen(m.at.network, m.at.address, cfg, datagram.ListenOptions{})
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	m.note("listening on %s", l.Addr())
	c, err := l.Accept()
	if err != nil {
		l.Close()
		return err
	}
	m.conn = c.(*datagram.Conn)
	go func() {
		for other, err := l.Accept(); err == nil; other, err = l.Accept() {
			other.Close()
		}
	}()
	m.hang = func() {
		stop()
		l.Close()
	}
	return nil
}

// introduce says whom the connection is with.
func (m *messages) introduce() {
	cs := m.conn.ConnectionState()
	rows := []terminal.Row{
		{Name: "version", Text: datagrams.VersionName(cs.Version)},
		{Name: "cipher suite", Text: datagrams.SuiteName(cs.CipherSuite)},
	}
	for _, r := range picture.Agreed(cs)[2:] {
		if r.Name != "certificate" || len(cs.PeerCertificates) > 0 {
			rows = append(rows, r)
		}
	}
	if e, ok := m.conn.Engine().(*dtls.Engine); ok && m.options.listen && len(e.PSKIdentity()) > 0 {
		rows = append(rows, terminal.Row{Name: "identity", Text: terminal.Text(string(e.PSKIdentity()))})
	}
	rows = append(rows, terminal.Row{Name: "message", Text: fmt.Sprintf("%d bytes at most", m.conn.MTU())})
	if m.options.verbose {
		m.note("the handshake is done")
		m.show.WriteRows(m.stderr, 4, rows)
		fmt.Fprintln(m.stderr)
		return
	}
	var short []string
	for _, r := range rows {
		if r.Name != "certificate" && r.Name != "message" {
			short = append(short, r.Text)
		}
	}
	peer := m.at.String()
	if m.options.listen && m.at.network != "unix" && m.at.network != "fifo" {
		peer = m.conn.RemoteAddr().String()
	}
	m.note("connected with %s: %s", peer, strings.Join(short, ", "))
}

// relay carries messages both ways, until the peer has closed, or standard input has ended and nothing comes any more.
func (m *messages) relay() error {
	up, down := make(chan error, 1), make(chan error, 1)
	go func() { up <- m.send() }()
	go func() { down <- m.receive() }()
	select {
	case err := <-down:
		return err
	case err := <-up:
		if err != nil {
			return err
		}
	}
	return <-down
}

// send sends standard input, and lets receive end afterwards.
func (m *messages) send() error {
	in := bufio.NewReaderSize(m.stdin, chunk)
	for {
		message, err := m.next(in)
		if len(message) > 0 {
			if err := m.write(message); err != nil {
				return err
			}
		}
		if err == io.EOF {
			m.ended.Store(true)
			return m.patience()
		}
		if err != nil {
			return &ownError{"cannot read the input", err}
		}
	}
}

// patience lets receive wait for so long, behind the end of standard input.
func (m *messages) patience() error {
	if err := m.conn.SetReadDeadline(time.Now().Add(m.options.datagrams.wait)); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// next returns the next message of standard input.
func (m *messages) next(in *bufio.Reader) ([]byte, error) {
	if m.options.datagrams.lines {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			err = fmt.Errorf("a line has more than %d bytes", chunk)
		}
		return trimEnd(line), err
	}
	if _, err := in.Peek(1); err != nil {
		return nil, err
	}
	message, err := in.Peek(min(in.Buffered(), m.conn.MTU()))
	in.Discard(len(message))
	return message, err
}

func trimEnd(line []byte) []byte {
	return []byte(strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r"))
}

// write sends a message. One that is too long is not sent, and said to be.
func (m *messages) write(message []byte) error {
	_, err := m.conn.Write(message)
	var long *bio.TooLongError
	switch {
	case errors.As(err, &long):
		return &ownError{"a message is too long", fmt.Errorf("%d bytes, %d go: see --mtu", long.Len, long.Limit)}
	case errors.Is(err, net.ErrClosed), errors.Is(err, io.EOF), errors.Is(err, bio.ErrWriteClosed):
		return nil // receive knows why
	case err != nil:
		return fmt.Errorf("not all of the input was sent: %w", err)
	}
	return nil
}

// receive writes messages to standard output, until the peer closes or, behind the end of the input, nothing comes any
// more.
func (m *messages) receive() error {
	buf := make([]byte, bio.MaxPlaintext+1)
	for {
		n, err := m.conn.Read(buf[:bio.MaxPlaintext])
		switch {
		case err == io.EOF, errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return err
		}
		out := buf[:n]
		if m.options.datagrams.lines {
			out = append(out, '\n')
		}
		if _, err := m.stdout.Write(out); err != nil {
			return &ownError{"cannot write the output", err}
		}
		if m.ended.Load() {
			if err := m.patience(); err != nil {
				return err
			}
		}
	}
}
