package isotp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/frame"
)

// An end is a machine whose CAN frames are written as candump writes them: "7e0#0161cccccccccccccc".
type end struct {
	*machine
	t   *testing.T
	now time.Time
}

func newEnd(t *testing.T, arg string, role frame.Role) *end {
	t.Helper()
	mk, err := Parse(arg)
	if err != nil {
		t.Fatal(err)
	}
	m, err := mk(role)
	if err != nil {
		t.Fatal(err)
	}
	return &end{m.(*machine), t, time.Unix(1000, 0)}
}

// unit returns a CAN frame as bytes.
func (e *end) unit(s string) []byte {
	e.t.Helper()
	id, data, _ := strings.Cut(strings.ReplaceAll(s, " ", ""), "#")
	p, err := hex.DecodeString(data)
	n, iderr := parseID(id)
	if err != nil || iderr != nil {
		e.t.Fatalf("%q: %v, %v", s, err, iderr)
	}
	u := make([]byte, e.machine.unit)
	binary.LittleEndian.PutUint32(u, n)
	u[lengthAt] = byte(len(p))
	copy(u[dataAt:], p)
	return u
}

func (e *end) text(u []byte) string {
	id, data, ok := e.parse(u)
	if !ok {
		e.t.Errorf("no frame: %x", u)
	}
	return fmt.Sprintf("%03x#%x", id&^Extended, data)
}

func (e *end) texts(ev []frame.Event) (list []string) {
	for _, v := range ev {
		switch v.Kind {
		case frame.Out:
			list = append(list, e.text(v.Buf.Bytes()))
		case frame.In:
			list = append(list, "in "+string(v.Buf.Bytes()))
		case frame.Side:
			list = append(list, "side "+e.text(v.Buf.Bytes()))
		default:
			list = append(list, v.Kind.String())
		}
		v.Buf.Release()
	}
	return list
}

// act tells the time and calls a method.
func (e *end) act(f func([]frame.Event) ([]frame.Event, error)) ([]string, error) {
	ev, err := e.Tick(nil, e.now)
	if err == nil {
		ev, err = f(ev)
	}
	return e.texts(ev), err
}

func (e *end) send(payload string, flush bool) []string {
	e.t.Helper()
	got, err := e.act(func(ev []frame.Event) ([]frame.Event, error) {
		return e.Send(ev, frame.NewBuf(0, []byte(payload), 0), flush)
	})
	if err != nil {
		e.t.Errorf("Send: %v", err)
	}
	return got
}

func (e *end) recv(unit string) ([]string, error) {
	return e.act(func(ev []frame.Event) ([]frame.Event, error) {
		return e.Recv(ev, frame.NewBuf(0, e.unit(unit), 0))
	})
}

// passes lets time pass and returns what comes of that alone.
func (e *end) passes(d time.Duration) ([]string, error) {
	e.now = e.now.Add(d)
	return e.act(func(ev []frame.Event) ([]frame.Event, error) { return ev, nil })
}

// want compares without regard to spaces.
func (e *end) want(what string, got []string, want ...string) {
	e.t.Helper()
	equal := func(a, b string) bool { return strings.ReplaceAll(a, " ", "") == strings.ReplaceAll(b, " ", "") }
	if !slices.EqualFunc(got, want, equal) {
		e.t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

func (e *end) wantRecv(unit string, want ...string) {
	e.t.Helper()
	got, err := e.recv(unit)
	if err != nil {
		e.t.Errorf("%s: %v", unit, err)
	}
	e.want(unit, got, want...)
}

// The frames of short messages, and of longer ones when the peer lets this end go on.
func TestFrames(t *testing.T) {
	for _, c := range []struct {
		arg, message string
		want         []string
	}{
		{"", "a", []string{"7e0#01 61 cccccccccccc"}},
		{"", "abcdefg", []string{"7e0#07 61626364656667"}},
		{"pad=none", "a", []string{"7e0#01 61"}},
		{"pad=00", "a", []string{"7e0#01 61 000000000000"}},
		{"", "abcdefgh", []string{"7e0#1008 616263646566", "7e0#21 6768 cccccccccc"}},
		{"pad=none", "abcdefgh", []string{"7e0#1008 616263646566", "7e0#21 6768"}},
		{"", strings.Repeat("a", 6+7*17), []string{"7e0#107d 616161616161",
			"7e0#21 61616161616161", "7e0#22 61616161616161", "7e0#23 61616161616161", "7e0#24 61616161616161",
			"7e0#25 61616161616161", "7e0#26 61616161616161", "7e0#27 61616161616161", "7e0#28 61616161616161",
			"7e0#29 61616161616161", "7e0#2a 61616161616161", "7e0#2b 61616161616161", "7e0#2c 61616161616161",
			"7e0#2d 61616161616161", "7e0#2e 61616161616161", "7e0#2f 61616161616161", "7e0#20 61616161616161",
			"7e0#21 61616161616161"}},
		{"fd", "abcdefg", []string{"7e0#07 61626364656667"}},
		{"fd", "abcdefgh", []string{"7e0#0008 6162636465666768 cccc"}}, // CAN FD has 8 bytes and 12, none between
		{"fd,pad=none", "abcdefgh", []string{"7e0#0008 6162636465666768 cccc"}},
		{"fd", strings.Repeat("a", 62), []string{"7e0#003e " + strings.Repeat("61", 62)}},
		{"fd", strings.Repeat("a", 63), []string{"7e0#103f " + strings.Repeat("61", 62), "7e0#21 61 cccccccccccc"}},
		{"fd", strings.Repeat("a", 62+63+32), []string{"7e0#109d " + strings.Repeat("61", 62),
			"7e0#21 " + strings.Repeat("61", 63), "7e0#22 " + strings.Repeat("61", 32) + strings.Repeat("cc", 15)}},
	} {
		e := newEnd(t, c.arg, frame.Client)
		got := e.send(c.message, true)
		if len(c.want) > 1 {
			rest, err := e.recv("7e8#30 00 00")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, rest...)
		}
		e.want(fmt.Sprintf("%q: %d bytes", c.arg, len(c.message)), got, c.want...)
		if n := e.Backlog(); n != 0 {
			t.Errorf("%q: %d bytes are left", c.arg, n)
		}
	}
}

// From 4096 bytes on the length has four bytes.
func TestLongMessage(t *testing.T) {
	e := newEnd(t, "max=5000", frame.Client)
	e.want("4096 bytes", e.send(strings.Repeat("a", 4096), true), "7e0#1000 00001000 6161")
	peer := newEnd(t, "max=5000", frame.Server)
	peer.wantRecv("7e0#1000 00001000 6161", "7e8#300000 cccccccccc")
}

// What TLS says is gathered until the flight ends, or a message is full.
func TestGathering(t *testing.T) {
	e := newEnd(t, "max=64", frame.Client)
	e.want("no flush", e.send("ab", false))
	if n := e.Backlog(); n != 2 {
		t.Errorf("the backlog is %d bytes, want 2", n)
	}
	e.want("flush", e.send("c", true), "7e0#03 616263 cccccccc")
	e.want("no flush again", e.send(strings.Repeat("a", 63), false))
	e.want("full", e.send("abc", false), "7e0#1040 616161616161")
	got, err := e.recv("7e8#30 00 00")
	if err != nil || len(got) != 9 || e.Backlog() != 2 {
		t.Errorf("%d frames, %v, %d bytes left; want 9 and 2", len(got), err, e.Backlog())
	}
	got, err = e.act(func(ev []frame.Event) ([]frame.Event, error) { return e.Send(ev, nil, true) })
	e.want("flush of nothing more", got, "7e0#02 6263 cccccccccc")
	if err != nil {
		t.Error(err)
	}
	e.want("exactly full", e.send(strings.Repeat("a", 64), false), "7e0#1040 616161616161")
}

// The peer says how many frames it takes at once and how far apart, here two, 10 ms apart, and then one.
func TestBlocksAndSeparation(t *testing.T) {
	e := newEnd(t, "", frame.Client)
	e.want("begin", e.send("abcdefghijklmnopqrstuvwxyz0123456789", true), "7e0#1024 616263646566")
	e.wantRecv("7e8#30 02 0a", "7e0#21 6768696a6b6c6d")
	if at, ok := e.Deadline(); !ok || at.Sub(e.now) != 10*time.Millisecond {
		t.Errorf("the next frame is due in %v, %t; want 10 ms", at.Sub(e.now), ok)
	}
	got, err := e.passes(9 * time.Millisecond)
	e.want("too soon", got)
	got, err = e.passes(time.Millisecond)
	e.want("10 ms", got, "7e0#22 6e6f7071727374")
	if at, ok := e.Deadline(); !ok || at.Sub(e.now) != time.Second {
		t.Errorf("flow control is due in %v, %t; want 1 s", at.Sub(e.now), ok)
	}
	got, err = e.passes(900 * time.Millisecond)
	e.want("the block is over", got)
	e.wantRecv("7e8#31 00 00") // wait
	got, err = e.passes(900 * time.Millisecond)
	e.want("wait", got)
	e.wantRecv("7e8#30 01 f3", "7e0#23 75767778797a30")
	e.wantRecv("7e8#30 01 00", "7e0#24 31323334353637")
	e.wantRecv("7e8#30 01 00", "7e0#25 3839 cccccccccc")
	if _, ok := e.Deadline(); ok || err != nil {
		t.Errorf("a Deadline, though all is sent; %v", err)
	}
}

// What this end says of blocks and separation, and when.
func TestFlowControlOfReceiver(t *testing.T) {
	e := newEnd(t, "bs=2,stmin=5ms", frame.Server)
	e.wantRecv("7e0#1024 616263646566", "7e8#30 02 05 cccccccccc")
	e.wantRecv("7e0#21 6768696a6b6c6d")
	e.wantRecv("7e0#22 6e6f7071727374", "7e8#30 02 05 cccccccccc")
	e.wantRecv("7e0#23 75767778797a30")
	e.wantRecv("7e0#24 31323334353637", "7e8#30 02 05 cccccccccc")
	e.wantRecv("7e0#25 3839 0000000000", "in abcdefghijklmnopqrstuvwxyz0123456789")
	if _, ok := e.Deadline(); ok {
		t.Error("a Deadline, though all is received")
	}
}

func TestSTmin(t *testing.T) {
	for stmin, want := range map[byte]time.Duration{
		0: 0, 1: time.Millisecond, 0x7f: 127 * time.Millisecond, 0xf1: 100 * time.Microsecond,
		0xf9: 900 * time.Microsecond, 0x80: 127 * time.Millisecond, 0xf0: 127 * time.Millisecond,
		0xfa: 127 * time.Millisecond, 0xff: 127 * time.Millisecond,
	} {
		got := decodeSeparation(stmin)
		if got != want {
			t.Errorf("%02x is %v, want %v", stmin, got, want)
		}
		if back, ok := encodeSeparation(got); !ok || back != stmin && decodeSeparation(back) != got {
			t.Errorf("%v is written %02x, %t", got, back, ok)
		}
	}
}

// Both ends send and receive long messages at once.
func TestFullDuplex(t *testing.T) {
	e := newEnd(t, "", frame.Client)
	e.want("begin", e.send("abcdefghij", true), "7e0#100a 616263646566")
	e.wantRecv("7e8#100a 414243444546", "7e0#30 00 00 cccccccccc")
	e.wantRecv("7e8#30 00 00", "7e0#21 6768696a cccccc")
	e.wantRecv("7e8#21 4748494a", "in ABCDEFGHIJ")
}

// When both begin at once, the client goes first. Nothing is lost.
func TestHalfDuplex(t *testing.T) {
	client, server := newEnd(t, "half", frame.Client), newEnd(t, "half", frame.Server)
	client.want("client begins", client.send("abcdefghij", true), "7e0#100a 616263646566")
	server.want("server begins", server.send("ABCDEFGHIJ", true), "7e8#100a 414243444546")
	client.wantRecv("7e8#100a 414243444546")
	server.wantRecv("7e0#100a 616263646566", "7e8#30 00 00 cccccccccc")
	server.want("not before the client is through", server.send("K", true))
	client.wantRecv("7e8#30 00 00", "7e0#21 6768696a cccccc")
	server.wantRecv("7e0#21 6768696a", "in abcdefghij", "7e8#100b 414243444546")
	client.wantRecv("7e8#100b 414243444546", "7e0#30 00 00 cccccccccc")
	client.want("not before the server is through", client.send("k", true))
	server.wantRecv("7e0#30 00 00", "7e8#21 4748494a4b cccc")
	client.wantRecv("7e8#21 4748494a4b", "in ABCDEFGHIJK", "7e0#01 6b cccccccccccc")
}

// Frames that are not from the peer, and those that nothing has asked for.
func TestIgnored(t *testing.T) {
	e := newEnd(t, "", frame.Client)
	e.wantRecv("7e1#01 61", "side 7e1#0161")
	e.wantRecv("7e0#01 61", "side 7e0#0161")
	e.wantRecv("000007e8#01 61", "side 7e8#0161") // 29 bits
	e.wantRecv("7e8#21 61626364656667")
	e.wantRecv("7e8#30 00 00")
	e.wantRecv("7e8#32 00 00")
	e.wantRecv("7e8#01 61", "in a")
}

// A message that begins anew replaces the one before.
func TestBeginsAnew(t *testing.T) {
	e := newEnd(t, "", frame.Client)
	e.wantRecv("7e8#100a 414243444546", "7e0#30 00 00 cccccccccc")
	e.wantRecv("7e8#100a 616263646566", "7e0#30 00 00 cccccccccc")
	e.wantRecv("7e8#21 6768696a", "in abcdefghij")
	e.wantRecv("7e8#100a 414243444546", "7e0#30 00 00 cccccccccc")
	e.wantRecv("7e8#01 61", "in a")
	e.wantRecv("7e8#21 6768696a")
}

func TestRefused(t *testing.T) {
	fd := "7e8#" // of 12 bytes
	for _, c := range []struct {
		arg    string
		frames []string
		want   error
	}{
		{"", []string{"7e8#"}, errShort},
		{"", []string{"7e8#00 61"}, errSingle},
		{"", []string{"7e8#02 61"}, errSingle},
		{"", []string{"7e8#08 61626364656667"}, errSingle},
		{"fd", []string{fd + "07 61626364656667 cccccccc"}, errSingle}, // more than 8 bytes want the other form
		{"fd", []string{fd + "02 0561626364656667686970"}, errSingle},
		{"fd", []string{fd + "000b 61626364656667686970"}, errSingle},
		{"fd", []string{fd + "0000 61626364656667686970"}, errSingle},
		{"", []string{"7e8#10 08 6162636465"}, errFirst},
		{"", []string{"7e8#10 07 616263646566"}, errFirst},
		{"fd", []string{fd + "10 0a 61626364656667686970"}, errFirst},
		{"", []string{"7e8#10 00 00000fff 6162"}, errFirst},
		{"max=64", []string{"7e8#10 41 616263646566"}, errLong},
		{"max=64", []string{"7e8#10 00 ffffffff 6162"}, errLong},
		{"", []string{"7e8#100a 414243444546", "7e8#22 4748494a"}, errLost},
		{"", []string{"7e8#1010 414243444546", "7e8#21 4748494a4b4c4d", "7e8#21 4e4f50"}, errLost},
		{"", []string{"7e8#1010 414243444546", "7e8#21 4748494a4b4c"}, errShortCF},
		{"", []string{"7e8#100a 414243444546", "7e8#21 474849"}, errShortCF},
		{"", []string{"7e8#30 00"}, errShort},
		{"", []string{"7e8#40 00 00"}, errKind},
		{"", []string{"7e8#f0 00 00"}, errKind},
	} {
		e := newEnd(t, c.arg, frame.Client)
		var err error
		for _, f := range c.frames {
			_, err = e.recv(f)
		}
		if !errors.Is(err, c.want) || !errors.Is(err, frame.ErrMalformed) {
			t.Errorf("%q: %q: %v, want %v", c.arg, c.frames, err, c.want)
		}
		if _, again := e.recv("7e8#01 61"); again != err {
			t.Errorf("%q: after the end: %v", c.frames, again)
		}
	}
}

// A message that is too long is refused so that the peer knows.
func TestOverflowSaid(t *testing.T) {
	e := newEnd(t, "max=64", frame.Client)
	got, err := e.recv("7e8#1041 616263646566")
	if err != errLong {
		t.Error(err)
	}
	e.want("too long", got, "7e0#32 00 00 cccccccccc")
}

func TestFlowControlRefuses(t *testing.T) {
	waits := slices.Repeat([]string{"7e8#31 00 00"}, maxWaits+1)
	for _, c := range []struct {
		frames []string
		want   error
	}{
		{[]string{"7e8#32 00 00"}, errOverflow},
		{[]string{"7e8#33 00 00"}, errStatus},
		{waits, errWaits},
	} {
		e := newEnd(t, "", frame.Client)
		e.send("abcdefghij", true)
		var err error
		for _, f := range c.frames {
			if err == nil {
				_, err = e.recv(f)
			}
		}
		if err != c.want {
			t.Errorf("%q: %v, want %v", c.frames[0], err, c.want)
		}
		if e.Backlog() != 0 {
			t.Errorf("%q: %d bytes wait for what will not come", c.frames[0], e.Backlog())
		}
	}
	e := newEnd(t, "", frame.Client)
	e.send("abcdefghij", true)
	for range maxWaits {
		e.wantRecv("7e8#31 00 00")
	}
	e.wantRecv("7e8#30 00 00", "7e0#21 6768696a cccccc")
}

// Frames have the lengths that a length code of CAN FD can say, and no more than they need.
func TestLengths(t *testing.T) {
	lengths := []int{8, 12, 16, 20, 24, 32, 48, 64}
	for _, noPadding := range []bool{false, true} {
		c := bus{noPadding: noPadding}
		for n := range 65 {
			want := lengths[slices.IndexFunc(lengths, func(l int) bool { return l >= n })]
			if noPadding && n <= 8 {
				want = n
			}
			if got := c.padded(n); got != want {
				t.Errorf("%d bytes, no padding %t: a frame of %d, want %d", n, noPadding, got, want)
			}
		}
	}
}

// Who does not go on in time ends the connection: after the first frame, after a block, and in the middle.
func TestTimeouts(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(e *end)
		want    error
	}{
		{"no flow control", func(e *end) { e.send("abcdefghij", true) }, errNoFlowControl},
		{"none after a block", func(e *end) {
			e.send(strings.Repeat("a", 30), true)
			e.recv("7e8#30 01 00")
		}, errNoFlowControl},
		{"no frame", func(e *end) { e.recv("7e8#100a 414243444546") }, errNoFrame},
		{"no second frame", func(e *end) {
			e.recv("7e8#1020 414243444546")
			e.recv("7e8#21 4748494a4b4c4d")
		}, errNoFrame},
	} {
		e := newEnd(t, "timeout=300ms", frame.Client)
		c.prepare(e)
		if _, err := e.passes(299 * time.Millisecond); err != nil {
			t.Errorf("%s: %v too soon", c.name, err)
		}
		if _, err := e.passes(time.Millisecond); err != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if _, ok := e.Deadline(); ok {
			t.Errorf("%s: a Deadline after the end", c.name)
		}
	}
}

// A queue that is never empty keeps to what waits in it.
func TestQueueStaysSmall(t *testing.T) {
	e := newEnd(t, "max=100", frame.Client)
	e.send(strings.Repeat("a", 350), true)
	for range 1000 {
		e.send(strings.Repeat("a", 100), true)
		if _, err := e.recv("7e8#30 00 00"); err != nil {
			t.Fatal(err)
		}
	}
	if n := cap(e.sending.queue); n > 4096 {
		t.Errorf("the queue has %d bytes of memory for %d", n, e.Backlog())
	}
}

// An idle connection keeps little of what a busy one had.
func TestIdleQueue(t *testing.T) {
	e := newEnd(t, "max=65535", frame.Client)
	e.send(strings.Repeat("a", 60000), true)
	if got, err := e.recv("7e8#30 00 00"); err != nil || len(got) < 8000 || e.Backlog() != 0 {
		t.Fatalf("%d frames, %v, %d bytes left", len(got), err, e.Backlog())
	}
	if n := cap(e.sending.queue); n > maxIdle {
		t.Errorf("an idle queue has %d bytes of memory", n)
	}
}

func BenchmarkMachine(b *testing.B) {
	frame.PoisonReleased(false)
	defer frame.PoisonReleased(true)
	for _, arg := range []string{"max=65535", "fd,max=65535"} {
		for _, n := range []int{1350, 16384} {
			b.Run(fmt.Sprintf("%s/%d", arg, n), func(b *testing.B) { benchmark(b, arg, n) })
		}
	}
}

// benchmark carries messages there, with flow control back: encode and decode together.
func benchmark(b *testing.B, arg string, n int) {
	mk, err := Parse(arg)
	if err != nil {
		b.Fatal(err)
	}
	c, _ := mk(frame.Client)
	s, _ := mk(frame.Server)
	payload := bytes.Repeat([]byte{0x17}, n)
	var ev, answers []frame.Event
	var buf frame.Buf
	got := 0
	// deliver gives frames to m and returns what m wants to send.
	deliver := func(m frame.Machine, frames, out []frame.Event) []frame.Event {
		out = out[:0]
		for _, e := range frames {
			out, err = m.Recv(out, e.Buf)
			if err != nil {
				b.Fatal(err)
			}
			if last := len(out) - 1; last >= 0 && out[last].Kind == frame.In {
				got += out[last].Buf.Len()
				out[last].Buf.Release()
				out = out[:last]
			}
			e.Buf.Release()
		}
		return out
	}
	b.SetBytes(int64(n))
	b.ReportAllocs()
	for b.Loop() {
		got = 0
		buf.Borrow(payload, 0, n)
		if ev, err = c.Send(ev[:0], &buf, true); err != nil {
			b.Fatal(err)
		}
		for len(ev) > 0 {
			answers = deliver(s, ev, answers)
			ev = deliver(c, answers, ev)
		}
		if got != n {
			b.Fatalf("%d bytes of %d", got, n)
		}
	}
}
