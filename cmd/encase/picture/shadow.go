package picture

import (
	"bytes"

	"github.com/encase-tls/encase/frame"
)

// A shadow reads along with a codec that does not say which bytes of a frame are TLS: it is another machine of that
// codec, which receives what the one that is watched receives or, for the frames that are sent, what its peer does.
// What it would answer is dropped.
type shadow struct {
	machine frame.Machine
	events  []frame.Event // reused
}

// tells reports whether a Trace of the codec says which bytes of a frame are TLS: none, if it names none.
func tells(mk frame.Maker) bool {
	if mk == nil {
		return false
	}
	m, err := mk(frame.Client)
	if err != nil {
		return false
	}
	_, _, paired := frame.CodecsOf(m)
	return paired || frame.IsRaw(m)
}

// newShadow returns nil if there is no codec to read along with.
func newShadow(mk frame.Maker, role frame.Role) *shadow {
	if mk == nil {
		return nil
	}
	m, err := mk(role)
	if err != nil {
		return nil
	}
	s := &shadow{machine: m}
	ev, err := m.Start(nil)
	drop(ev)
	if err != nil {
		return nil
	}
	return s
}

// read returns the TLS bytes in a frame; ok is false if they are not known. It does not change p.
func (s *shadow) read(p []byte) (tls []byte, ok bool) {
	if s == nil || s.machine == nil {
		return nil, false
	}
	ev, err := s.machine.Recv(s.events[:0], frame.NewBuf(0, bytes.Clone(p), 0))
	for _, e := range ev {
		if e.Kind == frame.In {
			tls = append(tls, e.Buf.Bytes()...)
		}
	}
	drop(ev)
	clear(ev)
	s.events = ev
	if err != nil {
		s.machine = nil // it has missed a part of the exchange
		return nil, false
	}
	return tls, true
}

func drop(ev []frame.Event) {
	for _, e := range ev {
		if e.Buf != nil {
			e.Buf.Release()
		}
	}
}
