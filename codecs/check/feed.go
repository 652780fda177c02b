package check

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/encase-tls/encase/frame"
)

// Samples is what a client and a server of a protocol say to each other, for a fuzzer to start from. Both fields are
// indexed by the role of the sender.
type Samples struct {
	Dialogue [2][]byte   // of their Preambles
	Frames   [2][][]byte // and after it
}

// Sample returns samples of what the Machines of mk send.
func Sample(mk frame.Maker) (s Samples, err error) {
	err = guard(func() error {
		for _, from := range []frame.Role{frame.Client, frame.Server} {
			sub := newSubject(mk, from)
			if _, _, ok := frame.CodecsOf(sub.machine(from)); ok {
				s.Frames[from], err = sub.samples()
			} else {
				s.Frames[from], _, err = sub.session()
			}
			if err != nil {
				return err
			}
		}
		sub := newSubject(mk, frame.Client)
		s.Dialogue, err = dialogue(sub.machine(frame.Client), sub.machine(frame.Server), 0, nil)
		return err
	})
	return s, err
}

// Feed gives a new Machine data from its carrier: a stream if it is a Delimiter, else one datagram. It returns an
// error if that breaks the rule Noise. A panic is not caught. data is only read.
func Feed(mk frame.Maker, role frame.Role, data []byte) error {
	m, err := mk(role)
	if err != nil {
		return fmt.Errorf("check: the Maker fails: %w", err)
	}
	now := time.Unix(1e9, 0)
	act := func(f func([]frame.Event) ([]frame.Event, error)) error {
		ev, err := f(nil)
		if t, ok := m.(frame.Timed); ok && err == nil {
			now = now.Add(time.Millisecond)
			ev, err = t.Tick(ev, now)
		}
		for _, e := range ev {
			if e.Buf != nil {
				e.Buf.Release()
			}
		}
		return err
	}
	if err := act(m.Start); err != nil {
		return fmt.Errorf("check: Start: %w", err)
	}
	d, stream := m.(frame.Delimiter)
	for data = bytes.Clone(data); ; {
		n := len(data)
		if stream {
			if n, err = d.FrameLen(data); err == nil && (n <= 0 || n > len(data)) {
				return nil
			}
		}
		if err == nil {
			var b frame.Buf
			b.Borrow(data[:n:n], 0, n)
			err = act(func(ev []frame.Event) ([]frame.Event, error) { return m.Recv(ev, &b) })
		}
		switch {
		case err != nil && !errors.Is(err, frame.ErrMalformed):
			return fmt.Errorf("check: the error does not wrap ErrMalformed: %w", err)
		case err != nil || !stream:
			return nil
		}
		data = data[n:]
	}
}

// FeedPreamble gives the Preamble of a new Machine a stream that begins with data and ends there. It returns an
// error if Exchange fails for another reason than the data or its end. data is only read.
func FeedPreamble(mk frame.Maker, role frame.Role, data []byte) error {
	s := newSubject(mk, role.Peer())
	if _, ok := s.machine(role).(frame.Preamble); !ok {
		return notApplicable("the Machine is no Preamble")
	}
	return allowed(s.exchange(bytes.NewReader(data)))
}

// allowed returns err unless a Preamble may say so about what its peer sent.
func allowed(err error) error {
	if err == nil || errors.Is(err, frame.ErrMalformed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return fmt.Errorf("the error does not wrap ErrMalformed: %w", err)
}
