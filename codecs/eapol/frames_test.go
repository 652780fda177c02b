package eapol

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs/tsharktest"
	"github.com/encase-tls/encase/frame"
)

// A driver is a Machine that a test gives frames, and the time.
type driver struct {
	frame.Machine
	t    testing.TB
	at   time.Time
	sent [][]byte // by the last call
	side [][]byte // by the last call
	done []error  // by all calls
}

func newDriver(t testing.TB, role frame.Role, arg string) *driver {
	t.Helper()
	m, err := maker(t, arg)(role)
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
	d.sent, d.side = nil, nil
	ev, err := d.Machine.(frame.Timed).Tick(nil, d.at)
	if err == nil {
		ev, err = f(ev)
	}
	for _, e := range ev {
		switch e.Kind {
		case frame.Out:
			d.sent = append(d.sent, bytes.Clone(e.Buf.Bytes()))
		case frame.Side:
			d.side = append(d.side, bytes.Clone(e.Buf.Bytes()))
		case frame.Done:
			d.done = append(d.done, e.Err)
		}
		if e.Buf != nil {
			e.Buf.Release()
		}
	}
	return err
}

func (d *driver) recv(p ...byte) error {
	return d.act(func(ev []frame.Event) ([]frame.Event, error) { return d.Recv(ev, frame.NewBuf(0, p, 0)) })
}

// A client asks the server to begin until it does, and gives up when it never does.
func TestAsksAgain(t *testing.T) {
	start := []byte{2, 1, 0, 0}
	d := newDriver(t, frame.Client, "start=3s,timeout=10s")
	if len(d.sent) != 1 || !bytes.Equal(d.sent[0], start) {
		t.Fatalf("it begins with %x", d.sent)
	}
	begin := d.at
	asked := 0
	for len(d.done) == 0 {
		at, ok := d.Machine.(frame.Timed).Deadline()
		if !ok {
			t.Fatal("no Deadline")
		}
		d.at = at
		d.act(func(ev []frame.Event) ([]frame.Event, error) { return ev, nil })
		for _, p := range d.sent {
			if asked++; !bytes.Equal(p, start) {
				t.Errorf("it sends %x", p)
			}
		}
	}
	if asked != 3 || d.at.Sub(begin) != 10*time.Second {
		t.Errorf("asked %d times again, gave up after %v", asked, d.at.Sub(begin))
	}

	d = newDriver(t, frame.Client, "start=3s,timeout=10s")
	if err := d.recv(2, 0, 0, 5, 1, 1, 0, 5, 1); err != nil {
		t.Fatal(err)
	}
	if at, _ := d.Machine.(frame.Timed).Deadline(); at.Sub(d.at) != 10*time.Second {
		t.Errorf("when the server has begun, the next Deadline is in %v", at.Sub(d.at))
	}
}

// What is not EAP belongs to others, and what anybody may have sent changes nothing.
func TestOtherFrames(t *testing.T) {
	for _, role := range []frame.Role{frame.Client, frame.Server} {
		d := newDriver(t, role, "")
		for _, typ := range []byte{3, 4, 5, 255} {
			if err := d.recv(2, typ, 0, 1, 'k', 'p', 'a', 'd'); err != nil || len(d.side) != 1 || len(d.side[0]) != 8 {
				t.Errorf("%v, type %d: %v, side %q", role, typ, err, d.side)
			}
		}
		for _, p := range [][]byte{{}, {2}, {2, 0, 0}, {2, 0, 0, 1}, {0, 0, 0, 0}, {2, 0, 0, 0}, {2, 3, 0xff, 0xff, 1}} {
			if err := d.recv(p...); !errors.Is(err, frame.ErrMalformed) || len(d.sent)+len(d.side)+len(d.done) > 0 {
				t.Errorf("%v, %x: %v, sent %x", role, p, err, d.sent)
			}
		}
	}
}

// tshark reads the frames of both ends as EAPOL with EAP in it.
func TestTshark(t *testing.T) {
	ends := [2]*driver{newDriver(t, frame.Client, "identity=user"), newDriver(t, frame.Server, "")}
	frames := ends[0].sent
	pass := func(to int, p []byte) {
		frames = append(frames, p)
		if err := ends[to].recv(p...); err != nil {
			t.Fatal(err)
		}
	}
	pass(0, ends[1].sent[0]) // identity
	pass(1, ends[0].sent[0])
	pass(0, ends[1].sent[0]) // start
	ends[0].act(func(ev []frame.Event) ([]frame.Event, error) {
		return ends[0].Send(ev, frame.NewBuf(0, []byte{21, 3, 3, 0, 2, 2, 48}, 0), true)
	})
	pass(1, ends[0].sent[0])
	c := tsharktest.Capture{LinkType: 1}
	for _, p := range frames {
		header := append(bytes.Repeat([]byte{2}, 12), EtherType>>8, EtherType&0xff)
		c.Packets = append(c.Packets, append(append(header, p...), make([]byte, max(0, 46-len(p)))...))
	}
	want := []string{"1   ", "0 1 1 ", "0 2 1 ", "0 1 13 ", "0 2 13 48"}
	for i, row := range c.Fields(t, "eapol.type", "eap.code", "eap.type", "tls.alert_message.desc") {
		if got := fmt.Sprintf("%s %s %s %s", row[0], row[1], row[2], row[3]); got != want[i] {
			t.Errorf("frame %d: tshark finds %q, want %q", i, got, want[i])
		}
	}
}

func TestParse(t *testing.T) {
	for arg, fine := range map[string]bool{
		"": true, "version=1,start=1s,logoff": true, "mtu=1496": true,
		"version=0": false, "version=4": false, "version=x": false, "start=0s": false, "start=x": false,
		"logoff=1": false, "mtu=1497": false, "secret=a": false, "mtu=63": false, "logoff,logoff": false,
	} {
		if _, err := Parse(arg); (err == nil) != fine {
			t.Errorf("%q: %v", arg, err)
		}
	}
}
