package websocket

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/frame"
)

// An end is a machine with what it wants done written as text: "out 8a00", "in hello", "done".
type end struct {
	*machine
	t   testing.TB
	now time.Time
}

func newEnd(t testing.TB, role frame.Role) *end {
	t.Helper()
	mk, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := mk(role)
	if err != nil {
		t.Fatal(err)
	}
	return &end{m.(*machine), t, time.Unix(1000, 0)}
}

// fixKey makes the next masking key the one of the examples in RFC 6455.
func (e *end) fixKey() {
	copy(e.keys.random[len(e.keys.random)-keyLen:], []byte{0x37, 0xfa, 0x21, 0x3d})
	e.keys.left = keyLen
}

// recv gives the machine frames in hexadecimal and returns what it wants done, and the first error.
func (e *end) recv(frames ...string) ([]string, error) {
	e.t.Helper()
	var did []string
	for _, f := range frames {
		p, err := hex.DecodeString(strings.ReplaceAll(f, " ", ""))
		if err != nil {
			e.t.Fatal(err)
		}
		ev, err := e.Recv(nil, frame.NewBuf(0, p, 0))
		did = append(did, texts(ev)...)
		if err != nil {
			return did, err
		}
	}
	return did, nil
}

func texts(ev []frame.Event) []string {
	var list []string
	for _, v := range ev {
		s := v.Kind.String()
		switch {
		case v.Kind == frame.Out:
			s += " " + hex.EncodeToString(v.Buf.Bytes())
		case v.Kind == frame.In:
			s += " " + string(v.Buf.Bytes())
		case v.Err != nil:
			s += " " + v.Err.Error()
		}
		if v.Buf != nil {
			v.Buf.Release()
		}
		list = append(list, s)
	}
	return list
}

func (e *end) want(frames []string, want ...string) {
	e.t.Helper()
	got, err := e.recv(frames...)
	if err != nil || !slices.Equal(got, want) {
		e.t.Errorf("%v %q: got %q, %v; want %q", e.role, frames, got, err, want)
	}
}

// https://www.rfc-editor.org/rfc/rfc6455.html#section-5.7, with binary messages in place of text.
func TestExamples(t *testing.T) {
	newEnd(t, frame.Client).want([]string{"82 05 48 65 6c 6c 6f"}, "in Hello")
	newEnd(t, frame.Server).want([]string{"82 85 37 fa 21 3d 7f 9f 4d 51 58"}, "in Hello")
	newEnd(t, frame.Client).want([]string{"02 03 48 65 6c", "80 02 6c 6f"}, "in Hel", "in lo")

	client := newEnd(t, frame.Client)
	client.fixKey()
	client.want([]string{"89 05 48 65 6c 6c 6f"}, "out 8a8537fa213d7f9f4d5158")

	for n, header := range map[int]string{0: "8200", 125: "827d", 126: "827e007e", 256: "827e0100", 65535: "827effff",
		65536: "827f0000000000010000"} {
		ev, err := newEnd(t, frame.Server).Send(nil, frame.NewBuf(maxHeader, make([]byte, n), 0), false)
		if err != nil || len(ev) != 1 {
			t.Fatalf("%d bytes: %d events, %v", n, len(ev), err)
		}
		if got := hex.EncodeToString(ev[0].Buf.Bytes()[:ev[0].Buf.Len()-n]); got != header {
			t.Errorf("the header of %d bytes is %s, want %s", n, got, header)
		}
	}
}

func TestClientMasks(t *testing.T) {
	client := newEnd(t, frame.Client)
	client.fixKey()
	ev, err := client.Send(nil, frame.NewBuf(maxHeader+keyLen, []byte("Hello"), 0), true)
	if got := texts(ev); err != nil || got[0] != "out 828537fa213d7f9f4d5158" {
		t.Errorf("got %q, %v", got, err)
	}
}

// No two frames have the same key, however many there are.
func TestKeysAreFresh(t *testing.T) {
	var s keySource
	seen := map[[keyLen]byte]bool{}
	for range 200 {
		seen[s.next()] = true
	}
	if len(seen) < 199 { // chance alone makes one pair in 200 000 runs
		t.Errorf("%d different keys of 200", len(seen))
	}
}

func TestMask(t *testing.T) {
	key := [keyLen]byte{1, 2, 4, 8}
	for n := range 100 {
		p := make([]byte, n)
		mask(p, key)
		for i, v := range p {
			if v != key[i%keyLen] {
				t.Fatalf("length %d: byte %d is %d", n, i, v)
			}
		}
	}
}

func TestControlFrames(t *testing.T) {
	for _, c := range []struct {
		about  string
		role   frame.Role
		frames []string
		want   []string
	}{
		{"a ping is answered where it stands, also inside a message", frame.Client,
			[]string{"02 01 61", "89 00", "80 01 62"}, []string{"in a", "out 8a80", "in b"}},
		{"a pong is ignored", frame.Client, []string{"8a 02 61 62", "82 01 61"}, []string{"in a"}},
		{"empty messages carry nothing", frame.Client, []string{"82 00", "02 00", "00 00", "80 00", "82 01 61"},
			[]string{"in a"}},
		{"close is answered with its status", frame.Server, []string{"88 82 00000000 03e8"},
			[]string{"out 880203e8", "done"}},
		{"close with a reason", frame.Server, []string{"88 84 00000000 03e9 6f6b"},
			[]string{"out 880203e9", "done"}},
		{"close without a status", frame.Server, []string{"88 80 00000000"}, []string{"out 8800", "done"}},
		{"an error of the peer", frame.Server, []string{"88 84 00000000 03f3 6f6b"},
			[]string{"out 880203f3", `done websocket: the peer closed with status 1011, reason "ok"`}},
	} {
		got, err := newEnd(t, c.role).recv(c.frames...)
		for i := range got { // the key of a client is random
			if strings.HasPrefix(got[i], "out 8a80") {
				got[i] = "out 8a80"
			}
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, %v; want %q", c.about, got, err, c.want)
		}
	}
}

func TestRefusals(t *testing.T) {
	empty := slices.Repeat([]string{"00 00"}, maxEmpty)
	for _, c := range []struct {
		role   frame.Role
		frames []string
		want   *violation
	}{
		{frame.Client, []string{""}, errTruncated},
		{frame.Client, []string{"82"}, errTruncated},
		{frame.Client, []string{"82 7e 01"}, errTruncated},
		{frame.Client, []string{"82 02 61"}, errTruncated},
		{frame.Client, []string{"82 01 61 62"}, errTruncated},
		{frame.Server, []string{"82 81 00 00 00"}, errTruncated},
		{frame.Client, []string{"c2 00"}, errReserved},
		{frame.Client, []string{"a2 00"}, errReserved},
		{frame.Client, []string{"92 00"}, errReserved},
		{frame.Client, []string{"81 01 61"}, errText},
		{frame.Client, []string{"83 00"}, errOpcode},
		{frame.Client, []string{"87 00"}, errOpcode},
		{frame.Client, []string{"8b 00"}, errOpcode},
		{frame.Client, []string{"8f 00"}, errOpcode},
		{frame.Client, []string{"09 00"}, errCutControl},
		{frame.Client, []string{"08 00"}, errCutControl},
		{frame.Client, []string{"89 7e 0080"}, errLongControl},
		{frame.Server, []string{"82 01 61"}, errUnmasked},
		{frame.Server, []string{"89 00"}, errUnmasked},
		{frame.Client, []string{"82 81 00000000 61"}, errMasked},
		{frame.Client, []string{"82 7e 007d"}, errNotMinimal},
		{frame.Client, []string{"82 7f 000000000000ffff"}, errNotMinimal},
		{frame.Client, []string{"82 7f 0000000001000001"}, errTooLong},
		{frame.Client, []string{"82 7f 8000000000000000"}, errTooLong},
		{frame.Client, []string{"82 7f ffffffffffffffff"}, errTooLong},
		{frame.Client, []string{"80 01 61"}, errContinuation},
		{frame.Client, []string{"02 01 61", "80 01 62", "80 01 63"}, errContinuation},
		{frame.Client, []string{"02 01 61", "82 01 62"}, errInterleaved},
		{frame.Client, slices.Concat([]string{"02 00"}, empty), errNoProgress},
		{frame.Client, []string{"88 01 03"}, errCloseLength},
		{frame.Client, []string{"88 02 03e7"}, errCloseStatus},
		{frame.Client, []string{"88 02 03ed"}, errCloseStatus},
		{frame.Client, []string{"88 02 03ee"}, errCloseStatus},
		{frame.Client, []string{"88 02 03f7"}, errCloseStatus},
		{frame.Client, []string{"88 02 1388"}, errCloseStatus},
		{frame.Client, []string{"88 03 03e8 ff"}, errCloseReason},
		{frame.Client, []string{"88 00", "82 01 61"}, errAfterClose},
		{frame.Client, []string{"88 00", "88 00"}, errAfterClose},
	} {
		e := newEnd(t, c.role)
		_, err := e.recv(c.frames...)
		if !errors.Is(err, c.want) || !errors.Is(err, frame.ErrMalformed) {
			t.Errorf("%v %q: %v, want %v", c.role, c.frames, err, c.want)
		}
	}
}

// What a close frame says after the peer broke the protocol, whether Recv noticed or FrameLen.
func TestEndSaysWhy(t *testing.T) {
	for _, c := range []struct{ bad, want string }{
		{"82 80 00000000", "out 880203e8"},
		{"c2 80 00000000", "out 880203ea"},
		{"81 80 00000000", "out 880203eb"},
		{"82 ff 8000000000000000", "out 880203f1"},
	} {
		p, err := hex.DecodeString(strings.ReplaceAll(c.bad, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		received, measured := newEnd(t, frame.Server), newEnd(t, frame.Server)
		received.Recv(nil, frame.NewBuf(0, p, 0))
		measured.FrameLen(p)
		for _, e := range []*end{received, measured} {
			ev, err := e.End(nil)
			if got := texts(ev); err != nil || !slices.Equal(got, []string{c.want}) {
				t.Errorf("after %s: got %q, %v; want %s", c.bad, got, err, c.want)
			}
		}
	}
}

func TestAfterEnd(t *testing.T) {
	e := newEnd(t, frame.Server)
	if ev, err := e.End(nil); err != nil || len(ev) != 1 {
		t.Fatalf("%d events, %v", len(ev), err)
	}
	// The peer may go on until it has seen our close frame; only then does its own come, which wants no answer.
	e.want([]string{"82 81 00000000 61", "89 80 00000000", "88 82 00000000 03e8"}, "in a", "done")
	if _, err := e.Send(nil, frame.NewBuf(maxHeader, []byte("x"), 0), true); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send after End: %v", err)
	}
	if ev, err := e.End(nil); err != nil || len(ev) != 0 {
		t.Errorf("a second End: %d events, %v", len(ev), err)
	}
}

// A flood of pings is answered at the rate of the clock, and in the end with the newest.
func TestPingFlood(t *testing.T) {
	e := newEnd(t, frame.Server)
	tick := func() []string {
		ev, err := e.Tick(nil, e.now)
		if err != nil {
			t.Fatal(err)
		}
		return texts(ev)
	}
	tick()
	answers := 0
	for i := range 1000 {
		got, err := e.recv("89 81 00000000 " + hex.EncodeToString([]byte{byte(i)}))
		if err != nil {
			t.Fatal(err)
		}
		answers += len(got)
	}
	if answers != pongBurst {
		t.Errorf("%d answers at once, want %d", answers, pongBurst)
	}
	at, ok := e.Deadline()
	if !ok || !at.Equal(e.now.Add(pongEvery)) {
		t.Errorf("Deadline is %v, %t; want %v later", at, ok, pongEvery)
	}
	if got := tick(); len(got) != 0 {
		t.Errorf("%q before the time", got)
	}
	e.now = at
	if got := tick(); !slices.Equal(got, []string{"out 8a01e7"}) {
		t.Errorf("got %q, want the answer to ping 999", got)
	}
	if _, ok := e.Deadline(); ok {
		t.Error("a Deadline, though nothing waits")
	}
	e.now = e.now.Add(time.Hour)
	tick()
	if e.pongs.left != pongBurst {
		t.Errorf("%d answers are allowed after an hour, want %d", e.pongs.left, pongBurst)
	}
}

func BenchmarkSendRecv(b *testing.B) {
	for _, from := range []frame.Role{frame.Client, frame.Server} {
		for _, n := range []int{1350, 16406} {
			b.Run(from.String()+"/"+map[int]string{1350: "datagram", 16406: "record"}[n], func(b *testing.B) {
				send, recv := newEnd(b, from), newEnd(b, from.Peer())
				payload := bytes.Repeat([]byte{0x17}, n)
				full := make([]byte, 16+n)
				copy(full[16:], payload)
				var buf frame.Buf
				ev := make([]frame.Event, 0, 4)
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					buf.Borrow(full, 16, 16+n)
					sent, err := send.Send(ev, &buf, false)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := recv.Recv(ev, sent[0].Buf); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
