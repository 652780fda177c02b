package isotp_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs/tsharktest"
	"github.com/encase-tls/encase/frame"
)

// tshark reads the frames of both ends as those of ISO 15765, and puts the message together.
func TestTshark(t *testing.T) {
	for _, c := range []struct {
		arg  string
		size int
		want []string // frames
	}{
		{"be,bs=2", 5, []string{"single 5"}},
		{"be,bs=2", 30, []string{"first 30", "control 2 7", "1", "2", "control 2 7", "3", "4 = 30"}},
		{"be,fd,bs=1,ids=18da10f1/18daf110", 200, []string{
			"first 200", "control 1 7", "1", "control 1 7", "2", "control 1 7", "3 = 200"}},
		{"be,fd", 50, []string{"single 50"}},
	} {
		message := bytes.Repeat([]byte{0x17, 3, 3, 0x80, 0xff}, c.size/5)
		capture := tsharktest.Capture{LinkType: tsharktest.SocketCAN, Packets: converse(t, c.arg, message),
			Options: []string{"-d", "can.subdissector,iso15765"}}
		if len(capture.Packets) != len(c.want) {
			t.Fatalf("%s: %d frames, want %d", c.arg, len(capture.Packets), len(c.want))
		}
		for i, row := range capture.Fields(t, "iso15765.message_type", "iso15765.data_length", "iso15765.frame_length",
			"iso15765.flow_control.bs", "iso15765.flow_control.stmin", "iso15765.sequence_number",
			"iso15765.reassembled.length", "data.data") {
			if got := frameText(row); got != c.want[i] {
				t.Errorf("%s: frame %d: tshark finds %q, want %q", c.arg, i, got, c.want[i])
			}
			if i == len(c.want)-1 && row[7] != hex.EncodeToString(message) {
				t.Errorf("%s: tshark finds the message %s", c.arg, row[7])
			}
		}
	}
}

// frameText returns what tshark says of a frame in few words.
func frameText(row []string) string {
	kind, single, first, stmin, whole := row[0], row[1], row[2], row[4], row[6]
	bs, number := strings.TrimPrefix(row[3], "0x0"), strings.TrimPrefix(row[5], "0x0")
	switch kind {
	case "0x00":
		return "single " + single
	case "0x01":
		return "first " + first
	case "0x02":
		if whole != "" {
			number += " = " + whole
		}
		return number
	case "0x03":
		return "control " + bs + " " + stmin
	}
	return strings.Join(row, " ")
}

// converse returns the frames of both ends when the client sends a message.
func converse(t *testing.T, arg string, message []byte) (frames [][]byte) {
	t.Helper()
	var ends [2]frame.Machine
	for role := range ends {
		var err error
		if ends[role], err = parse(t, arg+",stmin=7ms")(frame.Role(role)); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Unix(1000, 0)
	var act func(role int, f func(frame.Machine, []frame.Event) ([]frame.Event, error))
	act = func(role int, f func(frame.Machine, []frame.Event) ([]frame.Event, error)) {
		now = now.Add(10 * time.Millisecond)
		ev, err := ends[role].(frame.Timed).Tick(nil, now)
		if err == nil {
			ev, err = f(ends[role], ev)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range ev {
			if e.Kind == frame.Out {
				frames = append(frames, bytes.Clone(e.Buf.Bytes()))
				act(1-role, func(m frame.Machine, ev []frame.Event) ([]frame.Event, error) { return m.Recv(ev, e.Buf) })
			}
		}
	}
	act(0, func(m frame.Machine, ev []frame.Event) ([]frame.Event, error) {
		return m.Send(ev, frame.NewBuf(0, message, 0), true)
	})
	for ends[0].(frame.Backlogger).Backlog() > 0 {
		act(0, func(_ frame.Machine, ev []frame.Event) ([]frame.Event, error) { return ev, nil })
	}
	return frames
}
