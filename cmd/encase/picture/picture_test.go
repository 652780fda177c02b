package picture_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/encase-tls/encase/cmd/encase/picture"
	"github.com/encase-tls/encase/cmd/encase/terminal"
	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	p, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Frames as they may come, drawn by a client: ">" is sent, "<" received; the frame, then the TLS bytes in it.
func TestFrames(t *testing.T) {
	for name, c := range map[string]struct{ frames, want []string }{
		"trailer": {
			[]string{"< 0007 15030300020228 aabbcc|15030300020228"},
			[]string{"header 00 07 2 bytes", "type 15 alert", "fatal: handshake failure", "trailer aa bb cc 3 bytes"},
		},
		"nothing for TLS": {
			[]string{"< 0000|"},
			[]string{"frame 1, server to client, 2 bytes", "frame 00 00 nothing for TLS"},
		},
		"text around": {
			[]string{"> 504f5354202f78 0d0a 1503030002010a|1503030002010a"},
			[]string{`9 bytes from the codec: "POST /x\r\n`, "warning: unexpected message"},
		},
		"masked": {
			[]string{"> 81 efe9e9eaf8f8d2|15030300020228"},
			[]string{"frame 81 ef", "masks or escapes 7 bytes of TLS in 8 bytes", "type 15 alert", "handshake failure"},
		},
		"first of several": {
			[]string{"> 0005 1703030100|1703030100" + strings.Repeat("ee", 256)},
			[]string{"and those that follow carry 261 bytes of TLS", "length 01 00 256 bytes", "encrypted"},
		},
		"payload that occurs in the header": {
			[]string{"> 0001 16|16", "> 0001 03|03", "> 0001 00|00", "> 0001 00|00", "> 0001 01|01", "> 0001 00|00"},
			[]string{"header 00 01", "header 00 01", "header 00 01", "record 00 its header",
				"header 00 01", "header 00 01", "length 00 01", "body comes with the next frame",
				"header 00 01", "ends: the last 1 byte of 1"},
		},
		"message in two records": {
			[]string{"> 16030300030e0000|16030300030e0000", "> 160303000100|160303000100"},
			[]string{"0e 00 00 begins; the next record has more", "0e 00 00 00 ServerHelloDone, 0 bytes"},
		},
		"two messages in a record": {
			[]string{"< 1603030008 0e000000 00000000|1603030008 0e000000 00000000"},
			[]string{"ServerHelloDone", "HelloRequest"},
		},
		"message that is too long": {
			[]string{"< 1603030005 0bffffff 00|1603030005 0bffffff00", "< 1603030001 00|160303000100"},
			[]string{"Certificate, 16777215 bytes; the next record has more", "goes on, 16777213 bytes to come"},
		},
		"hello cut short": {
			[]string{"< 1603030006 02000002 0303|1603030006 02000002 0303"},
			[]string{"ServerHello, 2 bytes, malformed"},
		},
		"record that is too long": {
			[]string{"< 160303ffff00|160303ffff00"},
			[]string{"65535 bytes: more than TLS allows"},
		},
		"no TLS": {
			[]string{"< 00021b5b|1b5b", "< 00021603|1603"},
			[]string{"bytes 1b 5b 2 bytes that are not TLS", "16 03 2 bytes that are not TLS"},
		},
		"alert of three bytes": {
			[]string{"< 1503030003020202|1503030003020202"},
			[]string{"alert 02 02 02 malformed"},
		},
		"DTLS": {
			[]string{
				"< 16fefd 0000 000000000001 000f 03000003 0000 000000 000003 feff00" +
					"|16fefd 0000 000000000001 000f 03000003 0000 000000 000003 feff00",
				"< 14fefd 0000 000000000002 0001 01 16fefd 0001 000000000000 0002 c3d4" +
					"|14fefd 0000 000000000002 0001 01 16fefd 0001 000000000000 0002 c3d4",
				"< 19fefd 0001 000000000003 beef 0002 aabb|19fefd 0001 000000000003 beef 0002 aabb",
				"< 17fefd 0001 000000000004 00ff 01|17fefd 0001 000000000004 00ff 01",
				"< 80|80",
				"< 15fefd 0000 000000000005 0002 0100|15fefd 0000 000000000005 0002 0100",
			},
			[]string{"DTLS 1.2", "epoch 00 00 0", "number 00 00 00 00 00 01 1", "HelloVerifyRequest, 3 bytes, number 0",
				"change cipher spec", "from here on encrypted", "epoch 00 01 1", "body c3 d4 encrypted",
				"tls12_cid", "body be ef 00 02 aa bb connection ID", "the datagram ends inside the record",
				"80 1 byte that are not TLS", "warning: close notify"},
		},
		"fragment of DTLS": {
			[]string{"> 16fefd 0000 000000000000 000e 0b000100 0002 000010 000002 aabb" +
				"|16fefd 0000 000000000000 000e 0b000100 0002 000010 000002 aabb"},
			[]string{"Certificate, 256 bytes, number 2; bytes 16 to 18 of it"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			p := picture.New(&out, terminal.Terminal{Width: 80}, frame.Client, frame.Raw)
			for _, f := range c.frames {
				whole, tls, _ := strings.Cut(f[1:], "|")
				p.Frame(wrap.Trace{Sent: f[0] == '>', Frame: unhex(t, whole), TLS: unhex(t, tls)})
			}
			inOrder(t, out.String(), c.want...)
			printable(t, out.String(), 80)
		})
	}
}

// Without the codec nobody knows what a frame holds of which the Trace says nothing.
func TestUnknown(t *testing.T) {
	var out bytes.Buffer
	alert := []byte{0, 7, 21, 3, 3, 0, 2, 2, 40}
	picture.New(&out, terminal.Terminal{}, frame.Client, nil).Frame(wrap.Trace{Frame: alert})
	inOrder(t, out.String(), "00 07 15 03 03 00 02 02 which bytes are TLS is not known; the 28 whole frame")
}

func TestColors(t *testing.T) {
	var out bytes.Buffer
	alert := []byte{21, 3, 3, 0, 2, 2, 40}
	p := picture.New(&out, terminal.Terminal{Width: 80, Colors: true}, frame.Client, nil)
	p.Frame(wrap.Trace{Frame: alert, TLS: alert})
	if !strings.Contains(out.String(), "\x1b[31mfatal: handshake failure\x1b[0m") {
		t.Errorf("the alert is not red: %q", out.String())
	}
}

// Whatever a peer sends and however frames cut it, the picture is printable and within its columns.
func FuzzFrame(f *testing.F) {
	f.Add([]byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"), uint16(3), uint8(2))
	f.Add([]byte("\x16\xfe\xfd\x00\x00\x00\x00\x00\x00\x00\x01\x00\x0f\x03\x00\x00\x03"), uint16(500), uint8(0))
	f.Add(hello(f), uint16(255), uint8(1))
	f.Add([]byte("\x82\x07\x15\x03\x03\x00\x02\x02\x28"), uint16(8), uint8(0xff))
	codec, err := codecs.Parse("websocket")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte, size uint16, head uint8) {
		var out bytes.Buffer
		p := picture.New(&out, terminal.Terminal{Width: 80}, frame.Server, codec)
		data = data[:min(len(data), 4<<10)] // one byte to a frame takes its time
		for n := 0; len(data) > 0; n++ {
			part := data[:min(len(data), 1+int(size))]
			data = data[len(part):]
			tls := part[min(int(head), len(part)):]
			if head == 0xff {
				tls = nil // as from a codec that does not tell
			}
			p.Frame(wrap.Trace{Sent: n%3 == 0, Frame: part, TLS: tls})
		}
		printable(t, out.String(), 80)
	})
}

func hello(tb testing.TB) []byte {
	const extensions = "0000 000b 0009 00 0006 612e74657374" + "0010 0005 0003 02 6832" + "002b 0005 04 0a0a 0304"
	body := "0303" + strings.Repeat("00", 32) + "00 0002 1301 0100" + "0021" + extensions
	raw, err := hex.DecodeString(strings.ReplaceAll(body, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	n := len(raw)
	return append([]byte{22, 3, 1, 0, byte(n + 4), 1, 0, 0, byte(n)}, raw...)
}
