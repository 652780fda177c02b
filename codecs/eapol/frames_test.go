package eapol

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/codecs/tsharktest"
	"github.com/encase-tls/encase/frame"
)

func newDriver(t testing.TB, role frame.Role, arg string) *codectest.Driver {
	t.Helper()
	return codectest.NewDriver(t, codectest.Machine(t, maker(t, arg), role))
}

// A client asks the server to begin until it does, and gives up when it never does.
func TestAsksAgain(t *testing.T) {
	start := []byte{2, 1, 0, 0}
	d := newDriver(t, frame.Client, "start=3s,timeout=10s")
	if len(d.Sent) != 1 || !bytes.Equal(d.Sent[0], start) {
		t.Fatalf("it begins with %x", d.Sent)
	}
	begin := d.Now
	asked := 0
	for len(d.Done) == 0 {
		at, ok := d.Machine.(frame.Timed).Deadline()
		if !ok {
			t.Fatal("no Deadline")
		}
		d.Pass(at.Sub(d.Now))
		for _, p := range d.Sent {
			if asked++; !bytes.Equal(p, start) {
				t.Errorf("it sends %x", p)
			}
		}
	}
	if asked != 3 || d.Now.Sub(begin) != 10*time.Second {
		t.Errorf("asked %d times again, gave up after %v", asked, d.Now.Sub(begin))
	}

	d = newDriver(t, frame.Client, "start=3s,timeout=10s")
	if err := d.Recv([]byte{2, 0, 0, 5, 1, 1, 0, 5, 1}); err != nil {
		t.Fatal(err)
	}
	if at, _ := d.Machine.(frame.Timed).Deadline(); at.Sub(d.Now) != 10*time.Second {
		t.Errorf("when the server has begun, the next Deadline is in %v", at.Sub(d.Now))
	}
}

// What is not EAP belongs to others, and what anybody may have sent changes nothing.
func TestOtherFrames(t *testing.T) {
	for _, role := range []frame.Role{frame.Client, frame.Server} {
		d := newDriver(t, role, "")
		for _, typ := range []byte{3, 4, 5, 255} {
			err := d.Recv([]byte{2, typ, 0, 1, 'k', 'p', 'a', 'd'})
			if err != nil || len(d.Side) != 1 || len(d.Side[0]) != 8 {
				t.Errorf("%v, type %d: %v, side %q", role, typ, err, d.Side)
			}
		}
		for _, p := range [][]byte{{}, {2}, {2, 0, 0}, {2, 0, 0, 1}, {0, 0, 0, 0}, {2, 0, 0, 0}, {2, 3, 0xff, 0xff, 1}} {
			if err := d.Recv(p); !errors.Is(err, frame.ErrMalformed) || len(d.Sent)+len(d.Side)+len(d.Done) > 0 {
				t.Errorf("%v, %x: %v, sent %x", role, p, err, d.Sent)
			}
		}
	}
}

// tshark reads the frames of both ends as EAPOL with EAP in it.
func TestTshark(t *testing.T) {
	ends := [2]*codectest.Driver{newDriver(t, frame.Client, "identity=user"), newDriver(t, frame.Server, "")}
	frames := ends[0].Sent
	pass := func(to int, p []byte) {
		frames = append(frames, p)
		if err := ends[to].Recv(p); err != nil {
			t.Fatal(err)
		}
	}
	pass(0, ends[1].Sent[0]) // identity
	pass(1, ends[0].Sent[0])
	pass(0, ends[1].Sent[0]) // start
	if err := ends[0].Send([]byte{21, 3, 3, 0, 2, 2, 48}); err != nil {
		t.Fatal(err)
	}
	pass(1, ends[0].Sent[0])
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
