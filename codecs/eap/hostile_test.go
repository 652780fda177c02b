package eap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/frame"
)

// A driver is a codectest.Driver that knows its Machine.
type driver struct {
	*codectest.Driver
	m *Machine
}

func newDriver(t testing.TB, role frame.Role, o Options) *driver {
	t.Helper()
	m, err := NewMachine(o, role)
	if err != nil {
		t.Fatal(err)
	}
	return &driver{codectest.NewDriver(t, m), m}
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
		d.Recv([]byte{CodeResponse, 1, 0, 6, typeIdentity, 'u'})
		return d, CodeResponse, 2
	}
	d.Recv(tlsPacket(CodeRequest, 1, flagStart))
	d.Send([]byte("hello"))
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
				err = d.Recv(tlsPacket(code, id+byte(i), f.flags, f.data...))
			}
			wantEnd(t, d, c.name, err, c.want)
		}
	}
}

// wantEnd checks that an exchange is over for want.
func wantEnd(t *testing.T, d *driver, name string, err, want error) {
	t.Helper()
	if err != want || !errors.Is(err, frame.ErrMalformed) || len(d.Done) != 1 || d.Done[0] != want {
		t.Errorf("%v, %s: %v, done %v; want %v", d.m.role, name, err, d.Done, want)
	}
	failure := len(d.Sent) == 1 && d.Sent[0][0] == CodeFailure
	if failure != (d.m.role == frame.Server) {
		t.Errorf("%v, %s: it sends %x", d.m.role, name, d.Sent)
	}
	if _, ok := d.m.Deadline(); ok || d.m.Backlog() != 0 {
		t.Errorf("%v, %s: a Deadline or a backlog after the end", d.m.role, name)
	}
	if err := d.Send([]byte("late")); err != want {
		t.Errorf("%v, %s: Send after the end: %v", d.m.role, name, err)
	}
}

// A fragment is acknowledged by a packet without data, by nothing else.
func TestAcknowledgementWithData(t *testing.T) {
	for _, role := range []frame.Role{frame.Client, frame.Server} {
		for _, flags := range []byte{0, flagMore} {
			d, code, id := begun(t, role, Options{MTU: 64})
			d.Recv(tlsPacket(code, id, 0, 'h'))
			d.Send(make([]byte, 200))
			wantEnd(t, d, "data", d.Recv(tlsPacket(code, id+1, flags, 'x')), errNoAck)
		}
	}
}

// Fragments without end take no more memory than has come, and packets without data end some time.
func TestFloods(t *testing.T) {
	d, code, id := begun(t, frame.Server, Options{MaxFlight: maxMaxFlight})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := d.Recv(tlsPacket(code, id, both, 0, 0xff, 0xff, 0xff, 'a')); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<16 {
		t.Errorf("a fragment of one byte that promises 16 MiB takes %d bytes", n)
	}

	d, code, id = begun(t, frame.Client, Options{})
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		err = d.Recv(tlsPacket(code, id+byte(i), 0))
		d.Pass(pollAfter)
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
			if err := d.Recv(p); !errors.Is(err, frame.ErrMalformed) || len(d.Sent)+len(d.Got)+len(d.Done) > 0 {
				t.Errorf("%v: %x: %v, sent %x, got %q, done %v", role, p, err, d.Sent, d.Got, d.Done)
			}
		}
		if err := d.Recv(tlsPacket(code, id, 0, 'h', 'i')); err != nil || string(d.Got) != "hi" {
			t.Errorf("%v: afterwards: %v, %q", role, err, d.Got)
		}
	}
}

// A server repeats its request, each time after twice as long, and then gives the peer up.
func TestRepeats(t *testing.T) {
	d := newDriver(t, frame.Server, Options{Repeat: time.Second, Timeout: 10 * time.Second})
	request := d.Sent[0]
	begin := d.Now
	var repeated []int
	for len(d.Done) == 0 {
		at, ok := d.m.Deadline()
		if !ok {
			t.Fatal("no Deadline")
		}
		d.Pass(at.Sub(d.Now))
		for _, p := range d.Sent {
			if bytes.Equal(p, request) {
				repeated = append(repeated, int(d.Now.Sub(begin).Seconds()))
			}
		}
	}
	if len(repeated) != 3 || repeated[0] != 1 || repeated[1] != 3 || repeated[2] != 7 {
		t.Errorf("repeated after %v seconds, want 1, 3, 7", repeated)
	}
	if d.Done[0] != ErrSilent || d.Now.Sub(begin) != 10*time.Second || d.Sent[len(d.Sent)-1][0] != CodeFailure {
		t.Errorf("after %v: done %v, sent %x", d.Now.Sub(begin), d.Done, d.Sent)
	}
}

// A peer repeats nothing of itself.
func TestPeerDoesNotRepeat(t *testing.T) {
	d := newDriver(t, frame.Client, Options{Timeout: 10 * time.Second})
	d.Recv([]byte{CodeRequest, 1, 0, 5, typeIdentity})
	d.Pass(9 * time.Second)
	if len(d.Sent)+len(d.Done) > 0 {
		t.Errorf("sent %x, done %v", d.Sent, d.Done)
	}
	d.Pass(time.Second)
	if len(d.Done) != 1 || d.Done[0] != ErrSilent {
		t.Errorf("done %v", d.Done)
	}
}

// A peer that wants another method is refused.
func TestNak(t *testing.T) {
	d, _, _ := begun(t, frame.Server, Options{})
	err := d.Recv([]byte{CodeResponse, 2, 0, 6, typeNak, 25})
	if err != nil || len(d.Done) != 1 || d.Done[0] != ErrMethod {
		t.Errorf("%v, done %v", err, d.Done)
	}
	if !bytes.Equal(d.Sent[0], []byte{CodeFailure, 2, 0, 4}) {
		t.Errorf("it sends %x", d.Sent)
	}
}

// Failure ends a peer, at any time before the server has confirmed success.
func TestFailure(t *testing.T) {
	for _, next := range []byte{0, 1} { // some servers count on
		d, _, _ := begun(t, frame.Client, Options{})
		if err := d.Recv([]byte{CodeFailure, 1 + next, 0, 4}); err != nil || len(d.Done) != 1 || d.Done[0] != ErrFailure {
			t.Errorf("%v, done %v", err, d.Done)
		}
	}
	x := NewExchange()
	d, _, _ := begun(t, frame.Client, Options{Exchange: x})
	x.confirmed = true
	if err := d.Recv([]byte{CodeFailure, 1, 0, 4}); err != errLate || len(d.Done) > 0 {
		t.Errorf("after the confirmation: %v, done %v", err, d.Done)
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
		if err := d.Recv(tlsPacket(code, id, 0, make([]byte, 60000)...)); err != nil {
			t.Fatal(err)
		}
		id++
		size := 60000
		if err := d.Send(make([]byte, size)); err != nil || len(d.Sent) != 1 {
			t.Fatal(err)
		}
	}
	if n := cap(d.m.out.queue); n > maxKept {
		t.Errorf("the empty queue has %d bytes", n)
	}
}
