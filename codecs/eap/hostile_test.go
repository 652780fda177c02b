package eap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/encase-tls/encase/frame"
)

// A driver is a Machine that a test gives packets, and the time.
type driver struct {
	*Machine
	t    testing.TB
	at   time.Time
	sent [][]byte // by the last call
	got  []byte   // for TLS, by the last call
	done []error  // by all calls
}

func newDriver(t testing.TB, role frame.Role, o Options) *driver {
	t.Helper()
	m, err := NewMachine(o, role)
	if err != nil {
		t.Fatal(err)
	}
	d := &driver{Machine: m, t: t, at: time.Unix(1e9, 0)}
	if err := d.act(m.Start); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *driver) act(f func([]frame.Event) ([]frame.Event, error)) error {
	d.sent, d.got = nil, nil
	ev, err := d.Tick(nil, d.at)
	if err == nil {
		ev, err = f(ev)
	}
	for _, e := range ev {
		switch e.Kind {
		case frame.Out:
			d.sent = append(d.sent, bytes.Clone(e.Buf.Bytes()))
		case frame.In:
			d.got = append(d.got, e.Buf.Bytes()...)
		case frame.Done:
			d.done = append(d.done, e.Err)
		}
		if e.Buf != nil {
			e.Buf.Release()
		}
	}
	return err
}

func (d *driver) recv(p []byte) error {
	return d.act(func(ev []frame.Event) ([]frame.Event, error) { return d.Recv(ev, frame.NewBuf(0, p, 0)) })
}

func (d *driver) send(p []byte) error {
	return d.act(func(ev []frame.Event) ([]frame.Event, error) { return d.Send(ev, frame.NewBuf(0, p, 0), true) })
}

// passes lets time pass.
func (d *driver) passes(t time.Duration) {
	d.t.Helper()
	d.at = d.at.Add(t)
	if err := d.act(func(ev []frame.Event) ([]frame.Event, error) { return ev, nil }); err != nil {
		d.t.Error(err)
	}
}

// tlsPacket returns a packet of EAP-TLS.
func tlsPacket(code, id, flags byte, data ...byte) []byte {
	p := append([]byte{code, id, 0, 0, typeTLS, flags}, data...)
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	return p
}

// begun returns an end that has heard of the start, and what its next packets from the other end begin with.
func begun(t testing.TB, role frame.Role, o Options) (d *driver, code, id byte) {
	t.Helper()
	d = newDriver(t, role, o)
	if role == frame.Server {
		d.recv([]byte{CodeResponse, 1, 0, 6, typeIdentity, 'u'})
		return d, CodeResponse, 2
	}
	d.recv(tlsPacket(CodeRequest, 1, flagStart))
	d.send([]byte("hello"))
	return d, CodeRequest, 2
}

const both = flagLength | flagMore

// Who breaks the rules of fragments ends the exchange, with the rule that was broken. A server says failure.
func TestFragmentsRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		packets []fragment // flags and data, the length told in data
		want    error
	}{
		{"no length", []fragment{{flags: flagMore, data: []byte("a")}}, errNoTotal},
		{"another length", []fragment{{flags: both, data: []byte("\x00\x00\x00\x05a")},
			{flags: both, data: []byte("\x00\x00\x00\x06a")}}, errTotal},
		{"longer than max", []fragment{{flags: both, data: []byte("\x00\x00\x03\xe9a")}}, errLong},
		{"much longer than max", []fragment{{flags: both, data: []byte("\xff\xff\xff\xffa")}}, errLong},
		{"single, longer than max", []fragment{{data: make([]byte, 1001)}}, errLong},
		{"more than told", []fragment{{flags: both, data: []byte("\x00\x00\x00\x02a")},
			{data: []byte("bc")}}, errOverrun},
		{"more than told at once", []fragment{{flags: flagLength, data: []byte("\x00\x00\x00\x01ab")}},
			errOverrun},
		{"more after the end", []fragment{{flags: both, data: []byte("\x00\x00\x00\x02ab")}}, errMore},
		{"less than told", []fragment{{flags: both, data: []byte("\x00\x00\x00\x05a")}, {data: []byte("b")}}, errMissing},
		{"less than told at once", []fragment{{flags: flagLength, data: []byte("\x00\x00\x00\x05a")}}, errMissing},
		{"nothing in between", []fragment{{flags: both, data: []byte("\x00\x00\x00\x05a")}, {}}, errMissing},
		{"without data", []fragment{{flags: both, data: []byte("\x00\x00\x00\x05")}}, errEmpty},
		{"without data, later", []fragment{{flags: both, data: []byte("\x00\x00\x00\x05a")}, {flags: flagMore}}, errEmpty},
	} {
		for _, role := range []frame.Role{frame.Client, frame.Server} {
			d, code, id := begun(t, role, Options{MaxFlight: 1000})
			var err error
			for i, f := range c.packets {
				err = d.recv(tlsPacket(code, id+byte(i), f.flags, f.data...))
			}
			wantEnd(t, d, c.name, err, c.want)
		}
	}
}

// wantEnd checks that an exchange is over for want.
func wantEnd(t *testing.T, d *driver, name string, err, want error) {
	t.Helper()
	if err != want || !errors.Is(err, frame.ErrMalformed) || len(d.done) != 1 || d.done[0] != want {
		t.Errorf("%v, %s: %v, done %v; want %v", d.role, name, err, d.done, want)
	}
	failure := len(d.sent) == 1 && d.sent[0][0] == CodeFailure
	if failure != (d.role == frame.Server) {
		t.Errorf("%v, %s: it sends %x", d.role, name, d.sent)
	}
	if _, ok := d.Deadline(); ok || d.Backlog() != 0 {
		t.Errorf("%v, %s: a Deadline or a backlog after the end", d.role, name)
	}
	if err := d.send([]byte("late")); err != want {
		t.Errorf("%v, %s: Send after the end: %v", d.role, name, err)
	}
}

// A fragment is acknowledged by a packet without data, by nothing else.
func TestAcknowledgementWithData(t *testing.T) {
	for _, role := range []frame.Role{frame.Client, frame.Server} {
		for _, flags := range []byte{0, flagMore} {
			d, code, id := begun(t, role, Options{MTU: 64})
			d.recv(tlsPacket(code, id, 0, 'h'))
			d.send(make([]byte, 200))
			wantEnd(t, d, "data", d.recv(tlsPacket(code, id+1, flags, 'x')), errNoAck)
		}
	}
}

// Fragments without end take no more memory than has come, and packets without data end some time.
func TestFloods(t *testing.T) {
	d, code, id := begun(t, frame.Server, Options{MaxFlight: maxMaxFlight})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := d.recv(tlsPacket(code, id, both, 0, 0xff, 0xff, 0xff, 'a')); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<16 {
		t.Errorf("a fragment of one byte that promises 16 MiB takes %d bytes", n)
	}

	d, code, id = begun(t, frame.Client, Options{})
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		err = d.recv(tlsPacket(code, id+byte(i), 0))
		d.passes(pollAfter)
	}
	if err != errIdle {
		t.Errorf("packets without data: %v, want %v", err, errIdle)
	}
}

// What anybody may have sent changes nothing: the exchange goes on.
func TestStrangersAreIgnored(t *testing.T) {
	for _, role := range []frame.Role{frame.Client, frame.Server} {
		d, code, id := begun(t, role, Options{})
		for _, p := range [][]byte{
			nil, {1}, {1, 2, 0, 3}, {1, 2, 0, 9, 1}, {9, 2, 0, 5, 1}, {0xff, 0xff, 0xff, 0xff, 0xff},
			{CodeSuccess, 1, 0, 4}, {CodeFailure, 200, 0, 4}, {CodeSuccess, 200, 0, 4},
			tlsPacket(code, id, flagStart), tlsPacket(code^3, id, 0, 'x'), {code, id, 0, 5, typeTLS},
			tlsPacket(code, id, flagLength, 0, 0),
		} {
			if err := d.recv(p); !errors.Is(err, frame.ErrMalformed) || len(d.sent)+len(d.got)+len(d.done) > 0 {
				t.Errorf("%v: %x: %v, sent %x, got %q, done %v", role, p, err, d.sent, d.got, d.done)
			}
		}
		if err := d.recv(tlsPacket(code, id, 0, 'h', 'i')); err != nil || string(d.got) != "hi" {
			t.Errorf("%v: afterwards: %v, %q", role, err, d.got)
		}
	}
}

// A server repeats its request, each time after twice as long, and then gives the peer up.
func TestRepeats(t *testing.T) {
	d := newDriver(t, frame.Server, Options{Repeat: time.Second, Timeout: 10 * time.Second})
	request := d.sent[0]
	begin := d.at
	var repeated []int
	for len(d.done) == 0 {
		at, ok := d.Deadline()
		if !ok {
			t.Fatal("no Deadline")
		}
		d.passes(at.Sub(d.at))
		for _, p := range d.sent {
			if bytes.Equal(p, request) {
				repeated = append(repeated, int(d.at.Sub(begin).Seconds()))
			}
		}
	}
	if len(repeated) != 3 || repeated[0] != 1 || repeated[1] != 3 || repeated[2] != 7 {
		t.Errorf("repeated after %v seconds, want 1, 3, 7", repeated)
	}
	if d.done[0] != ErrSilent || d.at.Sub(begin) != 10*time.Second || d.sent[len(d.sent)-1][0] != CodeFailure {
		t.Errorf("after %v: done %v, sent %x", d.at.Sub(begin), d.done, d.sent)
	}
}

// A peer repeats nothing of itself.
func TestPeerDoesNotRepeat(t *testing.T) {
	d := newDriver(t, frame.Client, Options{Timeout: 10 * time.Second})
	d.recv([]byte{CodeRequest, 1, 0, 5, typeIdentity})
	d.passes(9 * time.Second)
	if len(d.sent)+len(d.done) > 0 {
		t.Errorf("sent %x, done %v", d.sent, d.done)
	}
	d.passes(time.Second)
	if len(d.done) != 1 || d.done[0] != ErrSilent {
		t.Errorf("done %v", d.done)
	}
}

// A peer that wants another method is refused.
func TestNak(t *testing.T) {
	d, _, _ := begun(t, frame.Server, Options{})
	err := d.recv([]byte{CodeResponse, 2, 0, 6, typeNak, 25})
	if err != nil || len(d.done) != 1 || d.done[0] != ErrMethod {
		t.Errorf("%v, done %v", err, d.done)
	}
	if !bytes.Equal(d.sent[0], []byte{CodeFailure, 2, 0, 4}) {
		t.Errorf("it sends %x", d.sent)
	}
}

// Failure ends a peer, at any time before the server has confirmed success.
func TestFailure(t *testing.T) {
	for _, next := range []byte{0, 1} { // some servers count on
		d, _, _ := begun(t, frame.Client, Options{})
		if err := d.recv([]byte{CodeFailure, 1 + next, 0, 4}); err != nil || len(d.done) != 1 || d.done[0] != ErrFailure {
			t.Errorf("%v, done %v", err, d.done)
		}
	}
	x := NewExchange()
	d, _, _ := begun(t, frame.Client, Options{Exchange: x})
	x.confirmed = true
	if err := d.recv([]byte{CodeFailure, 1, 0, 4}); err != errLate || len(d.done) > 0 {
		t.Errorf("after the confirmation: %v, done %v", err, d.done)
	}
}

// An alert that ends a flight is known as one.
func TestEndsInAlert(t *testing.T) {
	for _, c := range []struct {
		flight []byte
		want   bool
	}{
		{nil, false},
		{[]byte{21, 3, 3, 0, 2, 2, 48}, true},
		{[]byte{22, 3, 3, 0, 2, 2, 48}, false},
		{[]byte{20, 3, 3, 0, 1, 1, 21, 3, 3, 0, 2, 2, 48}, true},
		{append([]byte{23, 3, 3, 0, 19}, make([]byte, 19)...), true},
		{append([]byte{23, 3, 3, 0, 53}, make([]byte, 53)...), false},
		{[]byte{21, 3}, false},
		{[]byte{20, 3, 3, 0xff, 0xff}, false},
	} {
		if got := endsInAlert(c.flight); got != c.want {
			t.Errorf("%x: %t", c.flight, got)
		}
	}
}

// An idle end keeps little of what a busy one had.
func TestIdleMemory(t *testing.T) {
	d, code, id := begun(t, frame.Client, Options{MTU: maxMTU, MaxFlight: 1 << 20})
	for range 2 {
		if err := d.recv(tlsPacket(code, id, 0, make([]byte, 60000)...)); err != nil {
			t.Fatal(err)
		}
		id++
		size := 60000
		if err := d.send(make([]byte, size)); err != nil || len(d.sent) != 1 {
			t.Fatal(err)
		}
	}
	if n := cap(d.out.queue); n > maxKept {
		t.Errorf("the empty queue has %d bytes", n)
	}
}
