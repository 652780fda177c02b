package described_test

import (
	"bytes"
	"errors"
	"testing"

	_ "github.com/encase-tls/encase/codecs/all"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/codecs/described"
	"github.com/encase-tls/encase/frame"
)

// The codec and its description write the same frames, have the same limits, and each reads what the other writes.
func TestSameFrames(t *testing.T) {
	for _, spec := range []string{
		"capwap", "channeldata:tcp,channel=4abc", "channeldata:udp", "shim:vxlan,vni=42", "shim:geneve,vni=0x123456",
		"shim:geneve,proto=0x6558", "shim:gue", "shim:gue,proto=17", "tpkt:connected", "tpkt:size=128,connected",
		"length:8", "length:16be", "length:24le,max=70000", "length:32le,incl", "length:64",
		"length:32be,prefix=00", "length:16be,prefix=0300,suffix=02f080,incl", "length:24be,suffix=000000000001,adjust=6",
		"length:16be,prefix=12~01,suffix=~00~00~00~00,incl", "length:16,adjust=-7",
		"length:8,prefix=000102030405060708090a~0b0c",
	} {
		mk, err := codecs.Parse(spec)
		if err != nil {
			t.Fatal(err)
		}
		d, err := described.Of(spec)
		if err != nil {
			t.Errorf("%s: %v", spec, err)
			continue
		}
		for _, role := range []frame.Role{frame.Client, frame.Server} {
			a, b := machine(t, mk, role).Limits(), machine(t, d.Maker(), role).Limits()
			if spec == "tpkt:size=128,connected" {
				a.Max = 128 - 3 // what is longer becomes several frames
			}
			if a != b {
				t.Errorf("%s has limits %+v, its description %+v\n%s", spec, a, b, d.Text())
			}
			for _, n := range []int{1, 2, 3, 4, 63, 100} {
				payload := bytes.Repeat([]byte{0xa5}, n)
				native, text := send(t, mk, role, payload), send(t, d.Maker(), role, payload)
				if !bytes.Equal(native, text) {
					t.Errorf("%s: %x, its description: %x\n%s", spec, native, text, d.Text())
				}
				if got := recv(t, mk, role.Peer(), text); !bytes.Equal(got, payload) {
					t.Errorf("%s reads %x of %x", spec, got, text)
				}
			}
		}
	}
}

// What has no description says so, and what is no codec says that.
func TestNone(t *testing.T) {
	for _, spec := range []string{"raw", "length:varint", "slip", "cobs", "websocket", "isotp"} {
		if _, err := described.Of(spec); !errors.Is(err, described.ErrNone) {
			t.Errorf("%s: %v", spec, err)
		}
	}
	for _, spec := range []string{"length:17", "shim:ipip", "nothing", "desc:/nowhere"} {
		if _, err := described.Of(spec); err == nil || errors.Is(err, described.ErrNone) {
			t.Errorf("%s: %v", spec, err)
		}
	}
}

func TestOwnDescription(t *testing.T) {
	const text = "a 8 len payload; payload"
	d, err := described.Of("desc:" + text)
	if err != nil || d.Text() != "a 8 len payload\n payload" || d.Beside != "" {
		t.Errorf("%+v, %v", d, err)
	}
}

func machine(t *testing.T, mk frame.Maker, role frame.Role) frame.Machine {
	t.Helper()
	m, err := mk(role)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func send(t *testing.T, mk frame.Maker, role frame.Role, payload []byte) []byte {
	t.Helper()
	m := machine(t, mk, role)
	l := m.Limits()
	ev, err := m.Send(nil, frame.NewBuf(l.Head, payload, l.Tail), true)
	if err != nil || len(ev) != 1 {
		t.Fatalf("%d events, %v", len(ev), err)
	}
	return ev[0].Buf.Bytes()
}

func recv(t *testing.T, mk frame.Maker, role frame.Role, p []byte) []byte {
	t.Helper()
	ev, err := machine(t, mk, role).Recv(nil, frame.NewBuf(0, p, 0))
	if err != nil || len(ev) != 1 {
		t.Fatalf("%d events, %v", len(ev), err)
	}
	return ev[0].Buf.Bytes()
}
