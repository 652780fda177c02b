package datagram

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/frame"
)

// TestStates drives every row of spec/states-datagram.txt, those that do not name a carrier over both, and says if a
// state does not provide for an event.
func TestStates(t *testing.T) {
	for _, row := range readStates(t) {
		event, carrier, fixed := strings.Cut(row.event, "@")
		carriers := []string{carrier}
		if !fixed {
			carriers = []string{"datagram"}
			if event != "malformed" && event != "carrier-eof" {
				carriers = append(carriers, "stream")
			}
		}
		for _, carrier := range carriers {
			t.Run(row.state+"/"+event+"/"+carrier, func(t *testing.T) {
				t.Parallel()
				if row.action == "impossible" {
					if row.next != "-" {
						t.Fatalf("an impossible row has no next state, this has %q", row.next)
					}
					return
				}
				s := reach(t, row.state, event, carrier)
				s.happen(event)
				s.expect(row.action)
				s.check(row.next)
			})
		}
	}
}

type stateRow struct{ state, event, action, next string }

func readStates(t *testing.T) (rows []stateRow) {
	text, err := os.ReadFile("../../spec/states-datagram.txt")
	if err != nil {
		t.Fatal(err)
	}
	seen, events := map[string][]string{}, map[string]bool{}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		if len(words) != 4 {
			t.Fatalf("not four words: %q", line)
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

// A stateCount is what has been counted, and heard of the server.
type stateCount struct {
	kept, dropped uint64
	heard         int
}

// count counts. The caller does not hold s.mu.
func (s *stateTest) count() (n stateCount) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.conn.Engine().(*dtls.Engine).Stats()
	n.kept = e.Early
	n.dropped = s.conn.Stats().Malformed + e.Malformed + e.WrongEpoch + e.Plaintext + e.Replayed + e.Forged +
		e.Unexpected + e.OverBudget + e.InputLost + e.AfterClosed
	n.heard = len(s.heard)
	return n
}

const stateData = "data of the peer"

// happen makes an event occur.
func (s *stateTest) happen(event string) {
	s.t.Helper()
	s.before = s.count()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch event {
	case "start":
		go func() { s.err <- s.conn.Handshake() }()
	case "handshake": // the rest of it comes with the expectation
	case "data":
		s.send(s.record(23))
	case "empty":
		s.send(nil)
	case "malformed":
		s.wire.send([]byte{0xd8, 0, 1, 0})
	case "garbage":
		s.send([]byte("this is not a record of DTLS"))
	case "forged":
		record := s.record(23)
		record[len(record)-1] ^= 1
		s.send(record)
	case "replayed":
		s.replay()
	case "repeated":
		for _, d := range s.last {
			s.send(d)
		}
	case "plain-alert":
		s.send([]byte{21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 100, 0, 2, 2, 40})
	case "close-notify":
		s.closeNotify()
	case "carrier-eof":
		s.wire.end()
	case "too-long":
		s.tooLong()
	case "close":
		if err := s.conn.Close(); err != nil {
			s.t.Errorf("Close: %v", err)
		}
	case "timeout": // comes by itself
	case "silence":
		time.Sleep(s.conn.cfg.IdleTimeout * 3 / 2)
	default:
		s.t.Fatalf("unknown event %q", event)
	}
}

// record returns a protected record: one of the peer's if it can, or else what looks like one.
func (s *stateTest) record(typ byte) []byte {
	if record, n, _ := s.eng.Seal(nil, []byte(stateData)); n > 0 && typ == 23 {
		return record
	}
	return append([]byte{typ, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 40}, make([]byte, 40)...)
}

// replay sends a record twice, of which the first is delivered if it can be.
func (s *stateTest) replay() {
	s.t.Helper()
	record := s.record(23)
	s.send(record)
	if state := s.eng.State(); state.Phase == bio.PhaseOpen && !state.WriteClosed {
		s.delivers()
	}
	s.send(record)
}

// closeNotify sends the alert, or in a state in which there can be none what looks like it.
func (s *stateTest) closeNotify() {
	if state := s.eng.State(); state.Phase != bio.PhaseOpen || state.WriteClosed {
		s.send(s.record(21))
		return
	}
	s.eng.CloseWrite()
	s.flush()
}

func (s *stateTest) tooLong() {
	s.t.Helper()
	var long *bio.TooLongError
	limit := s.conn.MTU()
	if n, err := s.conn.Write(make([]byte, limit+1)); n != 0 || !errors.As(err, &long) || long.Limit != limit {
		s.t.Errorf("Write of a byte more than %d: %d, %v", limit, n, err)
	}
}

// expect looks whether an action was taken.
func (s *stateTest) expect(action string) {
	s.t.Helper()
	switch action {
	case "shake": // the next state shows it
	case "ignore", "refuse":
		s.quiet()
		if now := s.count(); now != s.before {
			s.t.Errorf("%s: it counts %+v, before %+v", action, now, s.before)
		}
	case "count", "keep":
		eventually(s.t, "it is counted", func() bool {
			now := s.count()
			return action == "keep" && now.kept > s.before.kept || action == "count" && now.dropped > s.before.dropped
		})
		s.quiet()
	case "finish":
		s.shake()
	case "deliver":
		s.delivers()
	case "repeat":
		s.repeats()
	case "end-of-data":
		s.ended(io.EOF)
	case "notify":
		s.await(func() bool { return s.events.Has(bio.EventPeerClosed) })
	case "give-up":
		s.quiet()
		if s.conn.shake.Load() != nil && s.conn.shake.Load().begun.Load() {
			s.t.Error("the handshake goes on")
		}
	default:
		s.reports(action, s.failure())
	}
}

// quiet checks that the server says nothing for a moment.
func (s *stateTest) quiet() {
	s.t.Helper()
	time.Sleep(50 * time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.heard) != s.before.heard {
		s.t.Errorf("the server answers with %x", s.heard[s.before.heard:])
	}
}

// repeats waits until the last frame from before the event has come again.
func (s *stateTest) repeats() {
	s.t.Helper()
	s.mu.Lock()
	want := s.heard[s.before.heard-1]
	s.mu.Unlock()
	s.await(func() bool {
		return slices.ContainsFunc(s.heard[s.before.heard:], func(p []byte) bool { return bytes.Equal(p, want) })
	})
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
	case "report-IDLE":
		ok = errors.Is(err, ErrIdle)
		s.await(func() bool { return s.events.Has(bio.EventPeerClosed) })
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
		if s.count().heard == 0 {
			s.halfShake()
		}
		s.shake()
	case "open":
		s.sends()
		s.happen("data")
		s.delivers()
	case "peer-closed":
		s.sends()
		s.ended(io.EOF)
	case "closed":
		if _, err := s.conn.Write([]byte("too late")); !errors.Is(err, net.ErrClosed) {
			s.t.Errorf("Write: %v, want net.ErrClosed", err)
		}
		if got, err := s.read(); err == nil || err == io.EOF {
			s.t.Errorf("Read: %q, %v", got, err)
		}
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
	s.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
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
	s.await(func() bool { return strings.HasSuffix(string(s.plain), "pong") })
}
