package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/encase-tls/encase/frame"
)

// meet holds the dialogue of a client and a server, if they have one.
func meet(client, server frame.Machine) error {
	_, err := dialogue(client, server, 0, nil)
	return err
}

// dialogue runs the Preambles of two Machines against each other. Reads return at most atOnce bytes, or with 0 as
// many as can come. Behind the dialogue each side sends after, and has to find what the other sent. dialogue returns
// what either side wrote, by role.
func dialogue(client, server frame.Machine, atOnce int, after []byte) (wrote [2][]byte, err error) {
	w := newWire(atOnce)
	var errs [2]error
	var wg sync.WaitGroup
	for role, m := range []frame.Machine{client, server} {
		wg.Go(func() {
			errs[role] = guard(func() error { return w.hold(frame.Role(role), m, after) })
			w.finish(frame.Role(role), nil)
		})
	}
	wg.Wait()
	return w.wrote, errors.Join(errs[:]...)
}

// A peeker is the Peeker of a Preamble under test.
type peeker struct {
	*frame.Reader
	io.Writer
}

// hold runs one side of a dialogue.
func (w *wire) hold(role frame.Role, m frame.Machine, after []byte) error {
	end := wireEnd{w, role}
	r := frame.NewReader(end, nil, 0)
	if p, ok := m.(frame.Preamble); ok {
		if err := p.Exchange(context.Background(), peeker{r, end}, role); err != nil {
			return fmt.Errorf("Exchange of the %v: %w", role, err)
		}
	}
	w.finish(role, after)
	rest, err := io.ReadAll(r)
	if err == nil && !bytes.Equal(rest, after) {
		err = fmt.Errorf("the Exchange of the %v leaves %d bytes, %d came after the dialogue", role, len(rest), len(after))
	}
	return err
}

// A wire is a byte stream in each direction between two goroutines. A read returns when the other side can write no
// more: because it waits for this side, or because it has finished. Thus all that can arrive together does, and two
// sides that wait for each other are found out at once.
type wire struct {
	atOnce   int
	mu       sync.Mutex
	changed  *sync.Cond
	unread   [2][]byte // by reader
	wrote    [2][]byte // by writer
	waiting  [2]bool
	finished [2]bool
}

func newWire(atOnce int) *wire {
	w := &wire{atOnce: atOnce}
	w.changed = sync.NewCond(&w.mu)
	return w
}

// A wireEnd is what the side with a role holds of a wire.
type wireEnd struct {
	*wire
	role frame.Role
}

var errBothWait = errors.New("both sides wait for each other")

// Read implements io.Reader.
func (e wireEnd) Read(p []byte) (int, error) {
	w, me, other := e.wire, e.role, e.role.Peer()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting[me] = true
	w.changed.Broadcast()
	defer func() { w.waiting[me] = false }()
	for {
		have := w.unread[me]
		switch {
		case len(have) > 0 && (w.finished[other] || w.waiting[other]):
			if w.atOnce > 0 {
				p = p[:min(len(p), w.atOnce)]
			}
			n := copy(p, have)
			w.unread[me] = have[n:]
			return n, nil
		case w.finished[other]:
			return 0, io.EOF
		case w.waiting[other] && len(have) == 0 && len(w.unread[other]) == 0:
			return 0, errBothWait
		}
		w.changed.Wait()
	}
}

// Write implements io.Writer.
func (e wireEnd) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.wrote[e.role])+len(p) > maxDialogue {
		return 0, fmt.Errorf("more than %d bytes in a dialogue", maxDialogue)
	}
	e.wrote[e.role] = append(e.wrote[e.role], p...)
	e.unread[e.role.Peer()] = append(e.unread[e.role.Peer()], p...)
	e.changed.Broadcast()
	return len(p), nil
}

// finish says that the side with this role writes no more, after some last bytes.
func (w *wire) finish(role frame.Role, last []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.finished[role] {
		w.unread[role.Peer()] = append(w.unread[role.Peer()], last...)
	}
	w.finished[role] = true
	w.changed.Broadcast()
}

// maxDialogue bounds what a Preamble may read or write.
const maxDialogue = 1 << 20

func preamble(s *subject) error {
	if _, ok := s.machine(s.from.Peer()).(frame.Preamble); !ok {
		return notApplicable("the Machine is no Preamble")
	}
	var wrote [2][]byte
	for _, atOnce := range []int{1, 2, 0} {
		var err error
		after := []byte{22, 3, 1, 0, 1, 1}
		wrote, err = dialogue(s.machine(frame.Client), s.machine(frame.Server), atOnce, after)
		if err != nil {
			return fmt.Errorf("reads of at most %d bytes (0: any): %w", atOnce, err)
		}
	}
	if err := s.endless(wrote[s.from]); err != nil {
		return err
	}
	return s.bentDialogue(wrote[s.from])
}

// endless gives the receiver noise without end, on its own and after the start of what it should get.
func (s *subject) endless(good []byte) error {
	for _, v := range []string{"a", "\x00", "\xff", "\n", "\r\n", "a: b\r\n", " ", "a\r"} {
		for _, from := range []int{0, len(good) / 2, max(0, len(good)-2)} {
			src := &repeater{first: good[:from], then: []byte(v)}
			err := s.exchange(src)
			switch {
			case errors.Is(err, errMuch):
				return fmt.Errorf("Exchange reads more than %d bytes of %q", maxDialogue, v)
			case err != nil && !errors.Is(err, frame.ErrMalformed):
				return fmt.Errorf("%q without end: the error does not wrap ErrMalformed: %w", v, err)
			}
		}
	}
	return nil
}

// bentDialogue gives the receiver something like what it should get.
func (s *subject) bentDialogue(good []byte) error {
	if len(good) == 0 {
		return nil
	}
	s.front = len(good)
	for p := range s.noise([][]byte{good}, 500) {
		if err := allowed(s.exchange(bytes.NewReader(p))); err != nil {
			return fmt.Errorf("%w; the bytes are %.200q", err, p)
		}
	}
	return nil
}

// exchange runs the Preamble of the receiver on what it reads from src.
func (s *subject) exchange(src io.Reader) error {
	role := s.from.Peer()
	p := s.machine(role).(frame.Preamble)
	return guard(func() error {
		return p.Exchange(context.Background(), peeker{frame.NewReader(src, nil, 0), io.Discard}, role)
	})
}

// A repeater yields some bytes, and then others again and again, until it has yielded maxDialogue of them.
type repeater struct {
	first, then []byte
	n           int
}

var errMuch = errors.New("too much is read")

// Read implements io.Reader.
func (r *repeater) Read(p []byte) (int, error) {
	if r.n > maxDialogue {
		return 0, errMuch
	}
	n := copy(p, r.first)
	r.first = r.first[n:]
	for ; n+len(r.then) <= len(p); n += len(r.then) {
		copy(p[n:], r.then)
	}
	r.n += n
	return n, nil
}
