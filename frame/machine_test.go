package frame

import (
	"errors"
	"fmt"
	"testing"
)

// header16 is a StreamCodec: the payload's length in two bytes in front.
type header16 struct {
	length16
	max int
}

func (h header16) Limits() Limits { return Limits{Head: 2, Max: h.max} }

func (h header16) Encode(b *Buf) error {
	n := b.Len()
	if n > h.max {
		return fmt.Errorf("test: %w", ErrTooLarge)
	}
	head := b.Prepend(2)
	head[0], head[1] = byte(n>>8), byte(n)
	return nil
}

func (h header16) Decode(b *Buf) error {
	if n, _ := h.FrameLen(b.Bytes()); n != b.Len() {
		return fmt.Errorf("test: %w", ErrMalformed)
	}
	b.TrimFront(2)
	return nil
}

// trailer1 is a Codec that cannot tell its frames apart: one byte behind.
type trailer1 struct{}

func (trailer1) Limits() Limits { return Limits{Tail: 1, Max: 1000} }

func (trailer1) Encode(b *Buf) error {
	b.Append(1)[0] = '!'
	return nil
}

func (trailer1) Decode(b *Buf) error {
	if n := b.Len(); n == 0 || b.Bytes()[n-1] != '!' {
		return fmt.Errorf("test: %w", ErrMalformed)
	}
	b.TrimBack(1)
	return nil
}

func pooledBuf(contents string) *Buf {
	b := Get(8, len(contents)+8)
	copy(b.Append(len(contents)), contents)
	return b
}

// wantEvents checks that ev holds keep as its first event and then those of want.
func wantEvents(t *testing.T, ev []Event, want ...Event) {
	t.Helper()
	if len(ev) != 1+len(want) || ev[0].Kind != Done {
		t.Fatalf("events %v, want those that were there and %d more", ev, len(want))
	}
	for i, e := range ev[1:] {
		if e.Kind != want[i].Kind || e.Buf != want[i].Buf || e.Err != want[i].Err {
			t.Errorf("event %d is %v with %p, want %v with %p", i, e.Kind, e.Buf, want[i].Kind, want[i].Buf)
		}
	}
}

func before() []Event { return []Event{{Kind: Done}} }

func TestPairSendsAndReceives(t *testing.T) {
	m := Pair(header16{max: 100}, trailer1{})
	if m.Limits() != (Limits{Head: 2, Max: 100}) {
		t.Errorf("limits are %v, want those of the sending codec", m.Limits())
	}
	ev, err := m.Start(before())
	if err != nil {
		t.Fatal(err)
	}
	wantEvents(t, ev)

	b := pooledBuf("hello")
	if ev, err = m.Send(before(), b, false); err != nil || string(b.Bytes()) != "\x00\x05hello" {
		t.Errorf("Send makes %q, %v", b.Bytes(), err)
	}
	wantEvents(t, ev, Event{Kind: Out, Buf: b})
	b.Release()

	b = pooledBuf("")
	if ev, err = m.Send(before(), b, true); err != nil || string(b.Bytes()) != "\x00\x00" {
		t.Errorf("Send of an empty payload makes %q, %v", b.Bytes(), err)
	}
	wantEvents(t, ev, Event{Kind: Out, Buf: b})
	b.Release()

	if ev, err = m.Send(before(), nil, true); err != nil {
		t.Error(err)
	}
	wantEvents(t, ev)

	b = NewBuf(0, []byte("world!"), 0)
	if ev, err = m.Recv(before(), b); err != nil || string(b.Bytes()) != "world" {
		t.Errorf("Recv makes %q, %v", b.Bytes(), err)
	}
	wantEvents(t, ev, Event{Kind: In, Buf: b})

	if ev, err = m.Recv(before(), NewBuf(0, []byte("!"), 0)); err != nil {
		t.Error(err)
	}
	wantEvents(t, ev)
}

func TestPairErrors(t *testing.T) {
	m := Pair(header16{max: 3}, trailer1{})
	b := pooledBuf("long")
	ev, err := m.Send(before(), b, true)
	wantError(t, err, ErrTooLarge)
	wantEvents(t, ev)
	if !b.released {
		t.Error("Send has failed and kept the Buf")
	}
	b = pooledBuf("no mark")
	ev, err = m.Recv(before(), b)
	wantError(t, err, ErrMalformed)
	wantEvents(t, ev)
	if b.released {
		t.Error("Recv has released a Buf that it had only borrowed")
	}
	b.Release()
}

func TestPairDelimiter(t *testing.T) {
	for _, tt := range []struct {
		name       string
		send, recv Codec
		want       bool
	}{
		{"both", header16{}, header16{}, true},
		{"only recv", trailer1{}, header16{}, true},
		{"only send", header16{}, trailer1{}, false},
		{"none", trailer1{}, trailer1{}, false},
	} {
		m := Pair(tt.send, tt.recv)
		d, ok := m.(Delimiter)
		if ok != tt.want {
			t.Errorf("%s: is a Delimiter: %v, want %v", tt.name, ok, tt.want)
		}
		if ok {
			if n, err := d.FrameLen([]byte{1, 0}); n != 258 || err != nil {
				t.Errorf("%s: FrameLen gives %d, %v; want that of recv", tt.name, n, err)
			}
		}
		send, recv := m.(interface{ Codecs() (send, recv Codec) }).Codecs()
		if send != tt.send || recv != tt.recv {
			t.Errorf("%s: Codecs gives others", tt.name)
		}
		if IsRaw(m) {
			t.Errorf("%s: IsRaw", tt.name)
		}
	}
}

// numbered is a codec that knows which call made it.
type numbered struct {
	trailer1
	n *int
}

func TestMakers(t *testing.T) {
	made := 0
	symmetric := Symmetric(func() Codec { made++; return &numbered{n: new(int)} })
	roles := Codecs(func(role Role) (send, recv Codec, err error) {
		return header16{max: int(role)}, header16{max: int(role.Peer())}, nil
	})
	codecsOf := func(mk Maker, role Role) (send, recv Codec) {
		m, err := mk(role)
		if err != nil {
			t.Fatal(err)
		}
		return m.(interface{ Codecs() (send, recv Codec) }).Codecs()
	}
	for range 2 {
		if send, recv := codecsOf(symmetric, Server); send == recv {
			t.Error("Symmetric: one codec serves both directions")
		}
	}
	if made != 4 {
		t.Errorf("Symmetric: %d codecs made for two machines, want 4", made)
	}
	send, recv := codecsOf(roles, Client)
	if send != (header16{max: 0}) || recv != (header16{max: 1}) {
		t.Errorf("Codecs: the client has %v and %v", send, recv)
	}
	failure := errors.New("test: no")
	m, err := Codecs(func(Role) (send, recv Codec, err error) { return nil, nil, failure })(Client)
	if m != nil || err != failure {
		t.Errorf("Codecs: %v, %v, want the error of mk", m, err)
	}
}

func TestRaw(t *testing.T) {
	m, err := Raw(Server)
	if err != nil || !IsRaw(m) {
		t.Fatalf("Raw gives %T, %v", m, err)
	}
	if _, ok := m.(Delimiter); ok {
		t.Error("Raw is a Delimiter")
	}
	if l := m.Limits(); l.Head != 0 || l.Tail != 0 || l.Max < 64<<10 {
		t.Errorf("limits are %v", l)
	}
	ev, err := m.Start(before())
	wantEvents(t, ev)
	b := pooledBuf("bytes")
	for kind, do := range map[EventKind]func() ([]Event, error){
		Out: func() ([]Event, error) { return m.Send(before(), b, false) },
		In:  func() ([]Event, error) { return m.Recv(before(), b) },
	} {
		if ev, err = do(); err != nil || string(b.Bytes()) != "bytes" {
			t.Errorf("%v: %q, %v", kind, b.Bytes(), err)
		}
		wantEvents(t, ev, Event{Kind: kind, Buf: b})
	}
	b.Release()
	ev, _ = m.Send(before(), nil, true)
	wantEvents(t, ev)
	empty := pooledBuf("")
	ev, _ = m.Recv(before(), empty)
	wantEvents(t, ev)
	ev, _ = m.Send(before(), empty, true)
	wantEvents(t, ev)
	if !empty.released {
		t.Error("Send has kept an empty Buf that goes nowhere")
	}
}

func TestStrings(t *testing.T) {
	for got, want := range map[string]string{
		Client.String():         "client",
		Server.String():         "server",
		Client.Peer().String():  "server",
		Server.Peer().String():  "client",
		EventKind(0).String():   "none",
		Out.String():            "out",
		In.String():             "in",
		Side.String():           "side",
		SwitchRaw.String():      "switch-raw",
		Done.String():           "done",
		EventKind(255).String(): "unknown",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestMaxFrame(t *testing.T) {
	const most = int(^uint(0) >> 1)
	for l, want := range map[Limits]int{
		{}:                            0,
		{Head: 4, Tail: 3, Max: 100}:  107,
		{Head: 4, Tail: 3, Max: most}: most,
		{Tail: 3, Max: most - 3}:      most,
	} {
		if got := l.MaxFrame(); got != want {
			t.Errorf("%v: MaxFrame is %d, want %d", l, got, want)
		}
	}
}
