package wrap_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/codecs"
	_ "github.com/encase-tls/encase/codecs/length"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// TestStates drives every row of spec/states-stream.txt, and says if a state does not provide for an event.
func TestStates(t *testing.T) {
	rows := readStates(t)
	for _, row := range rows {
		t.Run(row.state+"/"+row.event, func(t *testing.T) {
			t.Parallel()
			if row.action == "impossible" {
				if row.next != "-" {
					t.Fatalf("an impossible row has no next state, this has %q", row.next)
				}
				return
			}
			s := reach(t, row.state)
			s.happen(row.event)
			s.expect(row.action)
			s.check(row.next)
		})
	}
}

type stateRow struct{ state, event, action, next string }

func readStates(t *testing.T) (rows []stateRow) {
	f, err := os.Open("../spec/states-stream.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	seen, events := map[string][]string{}, map[string]bool{}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		words := strings.Fields(sc.Text())
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		if len(words) != 4 {
			t.Fatalf("not four words: %q", sc.Text())
		}
		row := stateRow{words[0], words[1], words[2], words[3]}
		if slices.Contains(seen[row.state], row.event) {
			t.Errorf("%s %s: two rows", row.state, row.event)
		}
		seen[row.state] = append(seen[row.state], row.event)
		events[row.event] = true
		rows = append(rows, row)
	}
	for state, have := range seen {
		if len(have) != len(events) {
			t.Errorf("%s provides for %d of %d events: %v", state, len(have), len(events), have)
		}
	}
	for _, row := range rows {
		if _, ok := seen[row.next]; !ok && !slices.Contains([]string{"-", "closed", "failed"}, row.next) {
			t.Errorf("%s %s leads to %q, which is no state", row.state, row.event, row.next)
		}
	}
	return rows
}

// stateTest is a server under test and a peer made of an engine alone, which can send what a Conn never would.
type stateTest struct {
	t    *testing.T
	conn *wrap.Conn
	err  chan error // of the handshake

	tcp *net.TCPConn
	mu  sync.Mutex
	eng bio.Engine
	got struct {
		plain  []byte
		events bio.Events
		err    error
	}
	changed chan struct{} // after each frame from the server
}

// stateCodec has a constant first byte, so that a frame can be malformed.
const stateCodec = "length:16be,prefix=d7"

// reach brings a new connection into a state.
func reach(t *testing.T, state string) *stateTest {
	t.Helper()
	client, server := configs(t)
	maker, err := codecs.Parse(stateCodec)
	if err != nil {
		t.Fatal(err)
	}
	engines, err := bio.TLS(&bio.Config{TLS: client})
	if err != nil {
		t.Fatal(err)
	}
	eng, err := engines(frame.Client)
	if err != nil {
		t.Fatal(err)
	}
	near, far := tcpPair(t)
	s := &stateTest{t: t, tcp: far, eng: eng, err: make(chan error, 1), changed: make(chan struct{}, 1000)}
	cfg := &wrap.Config{TLS: server, Codec: maker, HandshakeTimeout: 2 * time.Second, Linger: 100 * time.Millisecond}
	if state != "shaking" && state != "opening" {
		cfg.HandshakeTimeout = 10 * time.Second
	}
	s.conn = wrap.Server(wrap.Stream(near), cfg)
	t.Cleanup(func() { s.conn.Close(); far.Close() })
	go s.pump()
	if state == "opening" {
		return s
	}
	go func() { s.err <- s.conn.Handshake() }()
	if state == "shaking" {
		return s
	}
	s.shake()
	switch state {
	case "read-closed":
		s.happen("close-notify")
		s.expect("end-of-data")
	case "write-closed":
		s.happen("close-write")
		s.expect("notify")
	}
	return s
}

// pump gives the server's frames to the peer's engine and sends what that answers.
func (s *stateTest) pump() {
	delim, _ := codecs.Parse(stateCodec)
	m, _ := delim(frame.Client)
	r := frame.NewReader(s.tcp, m.(frame.Delimiter), 0)
	for {
		b, err := r.Next()
		if err != nil {
			return
		}
		s.mu.Lock()
		plain, st, err := s.eng.Open(nil, b.Bytes()[3:])
		s.got.plain = append(s.got.plain, plain...)
		s.got.events |= st.Events
		if err != nil {
			s.got.err = err
		}
		s.flush()
		s.mu.Unlock()
		s.changed <- struct{}{}
	}
}

// flush sends what the peer's engine has to say.
func (s *stateTest) flush() {
	if out, _ := s.eng.Flush(nil, 0); len(out) > 0 {
		s.send(out)
	}
}

func (s *stateTest) send(payload []byte) {
	s.tcp.Write(append([]byte{0xd7, byte(len(payload) >> 8), byte(len(payload))}, payload...))
}

// shake lets the peer shake hands and waits until both are done.
func (s *stateTest) shake() {
	s.t.Helper()
	s.mu.Lock()
	s.flush()
	s.mu.Unlock()
	if err := <-s.err; err != nil {
		s.t.Fatalf("handshake: %v", err)
	}
	s.await(func() bool { return s.eng.State().Phase == bio.PhaseOpen })
}

// await waits until the peer has seen something.
func (s *stateTest) await(seen func() bool) {
	s.t.Helper()
	timeout := time.After(patience)
	for {
		s.mu.Lock()
		ok := seen()
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-s.changed:
		case <-timeout:
			s.t.Fatal("the peer waits in vain")
		}
	}
}

const stateData = "data of the peer"

// happen makes an event occur.
func (s *stateTest) happen(event string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	open := s.eng.State().Phase == bio.PhaseOpen
	switch event {
	case "start":
		go func() { s.err <- s.conn.Handshake() }()
	case "handshake":
		s.flush() // the rest follows by itself
	case "data":
		record := append([]byte{23, 3, 3, 0, 32}, make([]byte, 32)...)
		if open && !s.eng.State().WriteClosed {
			record, _, _ = s.eng.Seal(nil, []byte(stateData))
		}
		s.send(record)
	case "empty":
		s.send(nil)
	case "malformed":
		s.tcp.Write([]byte{0xd8, 0, 1, 0})
	case "tampered":
		record := []byte("this is not a record of TLS")
		if open && !s.eng.State().WriteClosed {
			record, _, _ = s.eng.Seal(nil, []byte(stateData))
			record[len(record)-1] ^= 1
		}
		s.send(record)
	case "close-notify":
		if !open {
			s.send([]byte{21, 3, 3, 0, 2, 1, 0})
			return
		}
		s.eng.CloseWrite()
		s.flush()
	case "carrier-eof":
		s.tcp.CloseWrite()
	case "close-write":
		if err := s.conn.CloseWrite(); err != nil {
			s.t.Errorf("CloseWrite: %v", err)
		}
	case "timeout": // comes by itself
	default:
		s.t.Fatalf("unknown event %q", event)
	}
}

// expect looks whether an action was taken.
func (s *stateTest) expect(action string) {
	s.t.Helper()
	switch action {
	case "shake", "ignore": // the next state shows it
	case "finish":
		s.shake()
	case "deliver":
		s.delivers()
	case "end-of-data":
		if _, err := s.read(); err != io.EOF {
			s.t.Errorf("Read: %v, want io.EOF", err)
		}
	case "notify":
		s.await(func() bool { return s.got.events.Has(bio.EventPeerClosed) })
	default:
		s.reports(action, s.failure())
	}
}

// failure returns what the user is told.
func (s *stateTest) failure() error {
	select {
	case err := <-s.err:
		return err
	case <-time.After(50 * time.Millisecond): // the handshake is over: the next Read tells
		_, err := s.read()
		return err
	}
}

func (s *stateTest) reports(action string, err error) {
	s.t.Helper()
	var alert *bio.AlertError
	var ok bool
	switch action {
	case "report-MALFORMED":
		ok = errors.Is(err, frame.ErrMalformed)
	case "report-TRUNCATED":
		ok = errors.Is(err, bio.ErrTruncated) && errors.Is(err, io.ErrUnexpectedEOF)
	case "report-TIMEOUT":
		ok = errors.Is(err, os.ErrDeadlineExceeded)
	case "report-REFUSED":
		ok = errors.As(err, &alert) && !alert.Sent
	case "report-TAMPERED":
		ok = err != nil && !errors.Is(err, bio.ErrTruncated)
		if s.eng.State().Phase == bio.PhaseOpen && !s.eng.State().PeerClosed { // else it cannot hear the alert
			s.await(func() bool { return s.got.err != nil })
			ok = ok && errors.As(err, &alert) && alert.Sent
		}
	default:
		s.t.Fatalf("unknown action %q", action)
	}
	if !ok {
		s.t.Errorf("%s: the user is told %v", action, err)
	}
}

// check looks whether the connection is in a state, by using it.
func (s *stateTest) check(state string) {
	s.t.Helper()
	switch state {
	case "shaking":
		s.shake()
	case "open":
		s.sends()
		s.happen("data")
		s.delivers()
	case "read-closed":
		s.sends()
		s.ended(io.EOF)
	case "write-closed":
		s.cannotWrite()
		s.happen("data")
		s.delivers()
	case "closed":
		s.cannotWrite()
		s.ended(io.EOF)
	case "failed":
		if _, err := s.read(); err == nil || err == io.EOF {
			s.t.Errorf("Read after a failure: %v", err)
		}
	default:
		s.t.Fatalf("unknown state %q", state)
	}
}

func (s *stateTest) read() (string, error) {
	p := make([]byte, 100)
	s.conn.SetReadDeadline(time.Now().Add(patience))
	n, err := s.conn.Read(p)
	return string(p[:n]), err
}

func (s *stateTest) delivers() {
	s.t.Helper()
	if got, err := s.read(); got != stateData || err != nil {
		s.t.Errorf("Read: %q, %v", got, err)
	}
}

func (s *stateTest) ended(want error) {
	s.t.Helper()
	if got, err := s.read(); got != "" || err != want {
		s.t.Errorf("Read: %q, %v, want %v", got, err, want)
	}
}

func (s *stateTest) sends() {
	s.t.Helper()
	if _, err := s.conn.Write([]byte("pong")); err != nil {
		s.t.Errorf("Write: %v", err)
		return
	}
	s.await(func() bool { return strings.HasSuffix(string(s.got.plain), "pong") })
}

func (s *stateTest) cannotWrite() {
	s.t.Helper()
	if _, err := s.conn.Write([]byte("too late")); !errors.Is(err, bio.ErrWriteClosed) {
		s.t.Errorf("Write: %v, want ErrWriteClosed", err)
	}
}
