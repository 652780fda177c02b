package codec

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/cmd/encase/terminal"
	_ "github.com/encase-tls/encase/codecs/all"
	"github.com/encase-tls/encase/codecs/inspect"
	"github.com/encase-tls/encase/frame"
)

// Each command has an example, and help that fits a terminal.
func TestHelp(t *testing.T) {
	for _, c := range append(Command().Commands(), Command()) {
		if c.Example == "" || !strings.Contains(c.Example, "encase "+strings.TrimPrefix(c.CommandPath(), "encase ")) {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for line := range strings.Lines(c.Long + "\n" + c.Example) {
			if len(strings.TrimSuffix(line, "\n")) > 80 {
				t.Errorf("%s: %q", c.CommandPath(), line)
			}
		}
		if c.Long == "" || c.Args == nil {
			t.Errorf("%s has no help, or takes any argument", c.CommandPath())
		}
	}
}

// A frame is coloured where there are colours, and what is wrong most of all.
func TestColours(t *testing.T) {
	const spec = "desc:magic 8 = 1; length 8 len payload; payload; check 8 xor8"
	d, err := parse(spec)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	dump, err := d.newDumper(&out)
	if err != nil {
		t.Fatal(err)
	}
	f := []byte{1, 2, 'h', 'i', 9}
	if err := dump.frame(f, f[2:4], nil); err != nil || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%v; a buffer is no terminal: %q", err, &out)
	}
	out.Reset()
	dump.show = terminal.Terminal{Colors: true}
	if err := dump.frame(f, f[2:4], errors.New("why\x1b[2J")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\x1b[1mframe 2: 5 bytes, 2 of them payload\x1b[0m\n",
		"  \x1b[33m0000    01                       magic    0x01\x1b[0m\n",
		"  0002    68 69                    payload  2 bytes\n",
		"  \x1b[31m0004    09                       check    0x09  must be 0x2\x1b[0m\n",
		"\x1b[31m  why\\x1b[2J\x1b[0m\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in %q", want, &out)
		}
	}
}

// Codecs that count, that change payloads, and Machines that answer, can all be measured.
func TestBench(t *testing.T) {
	for spec, frames := range map[string]int{
		"length:16be": 2, "cobs": 2, "length:8": 1, "websocket": 2, "tpkt:connected,size=128": 2, "isotp": 2, "tpkt": 2,
		"desc:n 8 count checked; length 16 len payload; payload": 2,
	} {
		d, err := parse(spec)
		if err != nil {
			t.Fatal(err)
		}
		costs, err := d.bench(time.Millisecond)
		if err != nil || len(costs) != 2*frames {
			t.Errorf("%s: %+v, %v", spec, costs, err)
			continue
		}
		for _, c := range costs {
			if c.Frame <= c.Payload || c.Payload == 0 || c.NS < 0 || c.MBs < 0 {
				t.Errorf("%+v", c)
			}
		}
	}
}

// What a capture holds is shown so that no byte of it reaches the terminal as it is.
func TestTranscriptEscapes(t *testing.T) {
	var out bytes.Buffer
	for _, e := range []inspect.Event{
		{Kind: inspect.Malformed, Message: "codec: \x1b[2J"},
		{Kind: inspect.Frame, Frame: 1, Length: 2, Payload: 1, From: "server", Connection: 3, Packet: 4},
	} {
		fmt.Fprintln(&out, headline(e))
	}
	if want := "MALFORMED, 0 bytes: codec: \\x1b[2J\nframe 1, 2 bytes, 1 of them TLS\n"; out.String() != want {
		t.Errorf("%q, want %q", &out, want)
	}
}

// A couple whose ends do not understand each other says so, and does not wait.
func TestCoupleFails(t *testing.T) {
	d := &description{spec: "deaf", maker: func(frame.Role) (frame.Machine, error) { return deafMachine{}, nil }}
	if _, err := d.bench(time.Millisecond); err == nil || !strings.Contains(err.Error(), "does not arrive") {
		t.Errorf("%v", err)
	}
}

// A deafMachine takes everything and sends nothing.
type deafMachine struct{}

func (deafMachine) Limits() frame.Limits                          { return frame.Limits{Max: 100} }
func (deafMachine) Start(ev []frame.Event) ([]frame.Event, error) { return ev, nil }
func (deafMachine) Send(ev []frame.Event, b *frame.Buf, _ bool) ([]frame.Event, error) {
	b.Release()
	return ev, nil
}
func (deafMachine) Recv(ev []frame.Event, _ *frame.Buf) ([]frame.Event, error) { return ev, nil }
