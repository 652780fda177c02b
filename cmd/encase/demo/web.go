package demo

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/encase-tls/encase/cmd/encase/picture"
	"github.com/encase-tls/encase/cmd/encase/terminal"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

const (
	greeting = "Hello from inside. Whoever is outside sees frames.\n"
	maxBody  = 4 << 10
	maxDrawn = 1000 // more frames than the request has
)

// web lets a client of net/http talk with a server of net/http, and shows how.
func (o *options) web(ctx context.Context, s *stage, w *world, r *results) error {
	s.act("A web server and its client, with TLS inside %s frames over TCP", name(o.codec.Spec))
	journal := &journal{most: int(min(o.frames, maxDrawn))}
	start := time.Now()
	answer, err := w.request(ctx, journal)
	if err != nil {
		return fmt.Errorf("the web request: %w", err)
	}
	s.rows(
		terminal.Row{Name: "request", Text: "GET https://" + host + "/"},
		terminal.Row{Name: "answer", Text: answer.status + ": " + answer.body},
		terminal.Row{Name: "took", Text: fmt.Sprint(time.Since(start).Round(10 * time.Microsecond))})
	s.line("")
	first, all := journal.close()
	s.draw(first, all, w.codec)
	s.act("What the handshake agreed on")
	s.rows(picture.Agreed(answer.state)...)
	s.line("")
	r.Frames = all
	r.Version, r.Suite = tls.VersionName(answer.state.Version), tls.CipherSuiteName(answer.state.CipherSuite)
	r.Group, r.ALPN = answer.state.CurveID.String(), answer.state.NegotiatedProtocol
	return nil
}

// An answer is what the server said, over what connection.
type answer struct {
	status, body string
	state        tls.ConnectionState
}

// request runs a server for the time of one request.
func (w *world) request(ctx context.Context, j *journal) (a answer, err error) {
	inner, err := listen(ctx)
	if err != nil {
		return a, err
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(greet),
		ReadHeaderTimeout: limit,
		ErrorLog:          log.New(io.Discard, "", 0), // the client tells
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(wrap.NewListener(inner, w.wrapped(w.server))) }()
	defer func() {
		server.Close()
		if e := <-served; err == nil && !errors.Is(e, http.ErrServerClosed) {
			err = e
		}
	}()
	cfg := w.wrapped(w.client)
	cfg.Trace = j.take
	conn, err := (&wrap.Dialer{Config: cfg}).DialContext(ctx, "tcp", inner.Addr().String())
	if err != nil {
		return a, err
	}
	defer conn.Close()
	a.state = conn.(*wrap.Conn).ConnectionState()
	a.status, a.body, err = get(ctx, conn)
	return a, err
}

// get lets an unmodified client send its request over conn.
func get(ctx context.Context, conn net.Conn) (status, body string, err error) {
	dial := func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	c := &http.Client{Transport: &http.Transport{DialTLSContext: dial, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/", nil)
	if err != nil {
		return "", "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	p, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err == nil && string(p) != greeting {
		err = fmt.Errorf("the answer is %q", p)
	}
	return resp.Status, string(bytes.TrimSpace(p)), err
}

func greet(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, greeting) }

// A journal keeps the first frames of a connection.
type journal struct {
	most int

	mu     sync.Mutex
	first  []wrap.Trace
	all    int
	closed bool
}

// take is the Trace of a wrap.Config.
func (j *journal) take(t wrap.Trace) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return
	}
	if j.all++; j.all <= j.most {
		j.first = append(j.first, wrap.Trace{Sent: t.Sent, Frame: bytes.Clone(t.Frame), TLS: bytes.Clone(t.TLS)})
	}
}

// close ends the journal and returns what is in it.
func (j *journal) close() (first []wrap.Trace, all int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	return j.first, j.all
}

// draw shows the first of all frames.
func (s *stage) draw(first []wrap.Trace, all int, codec frame.Maker) {
	if len(first) == 0 {
		return
	}
	s.act("What travelled: the first %d of %d frames", len(first), all)
	painter := picture.New(s.out, s.show, frame.Client, codec)
	for _, t := range first {
		painter.Frame(t)
	}
}
