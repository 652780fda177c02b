package vector

import (
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs"
	_ "github.com/encase-tls/encase/codecs/all"
	"github.com/encase-tls/encase/frame"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	m.Run()
}

const sumOfHi = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"

// What a vector says is compared with what happens, each part of it.
func TestRun(t *testing.T) {
	for _, c := range []struct{ head, body, want string }{
		{"codec: length:8\ndo: encode\nexpect: ok", "+ 6869\n> 02 68 69", ""},
		{"codec: length:8\ndo: encode\nexpect: ok", "+ 6869\n> 03 68 69", `"> 026869" happened after`},
		{"codec: length:8\ndo: encode\nexpect: ok", "+ 6869", `"> 026869" happened after`},
		{"codec: length:8\ndo: encode\nexpect: ok", "+ 6869\n> 02 68 69\n> 00", `"> 00" did not happen`},
		{"codec: length:8\ndo: encode\nexpect: ok", "+ 68*256", "the outcome is too-large, expected ok"},
		{"codec: length:8\ndo: encode\nexpect: too-large", "+ 68*256", ""},
		{"codec: length:8\ndo: encode\nexpect: too-large", "+ 68*255\n> ff 68*255", "the outcome is ok"},
		{"codec: length:8\ndo: decode\nexpect: ok\nlater: key", "02 68 69", ""},
		{"codec: length:8\ndo: decode\nexpect: ok\npayload: " + sumOfHi, "02 68 69", ""},
		{"codec: length:8\ndo: decode\nexpect: ok\npayload: " + sumOfHi, "02 68 6a", "released are 2 other bytes"},
		{"codec: length:8\ndo: decode\nexpect: malformed", "02 68 69", "the outcome is ok"},
		{"codec: length:8\ndo: framelen\nexpect: ok\nlength: 3", "02", ""},
		{"codec: length:8\ndo: framelen\nexpect: ok\nlength: 4", "02", "FrameLen says ok, 3; expected ok, 4"},
		{"codec: length:16\ndo: framelen\nexpect: ok\nlength: 3", "02", "FrameLen says more"},
		{"codec: raw\ndo: framelen\nexpect: ok\nlength: 3", "02", "has no FrameLen"},
		{"codec: length:8\ndo: stream\nexpect: ok\npayload: " + sumOfHi, "01 68 00 01 69", ""},
		{"codec: length:8\ndo: stream\nexpect: more", "01 68 01", ""},
		{"codec: length:8\ndo: stream\nexpect: ok", "01 68 01", "the outcome is more"},
		{"codec: websocket\nrole: server\ndo: flow\nexpect: ok", "! end\n> 88 02 03e8", ""},
		{"codec: websocket\nrole: client\ndo: flow\nexpect: ok", "! end\n> 88 02 03e8", "happened after"},
		{"codec: websocket\ndo: decode\nexpect: ok", "82 00", "as server"},
		{"codec: websocket\nrole: client\ndo: flow\nexpect: malformed", "< 80 00\n! end", "fails"},
		{"codec: websocket\nrole: peer\ndo: flow\nexpect: ok", "", "unknown role"},
		{"codec: length:9\ndo: decode\nexpect: ok", "", "bad width"},
		{"codec: length:8\ndo: dance\nexpect: ok", "", `"dance"`},
		{"codec: length:8\ndo: decode", "", "without"},
		{"codec: length:8\nnonsense\nexpect: ok", "", "not key: value"},
		{"codec: length:8\ndo: decode\nexpect: ok", "0", "odd length"},
		{"codec: length:8\ndo: decode\nexpect: ok", "00*9999999", "bad repetition"},
	} {
		err := Run([]byte("id: x\n"+c.head+"\n\n"+c.body+"\n"), codecs.Parse)
		if c.want == "" && err == nil {
			continue
		}
		if c.want == "" || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q %q: %v, want an error with %q", c.head, c.body, err, c.want)
		}
	}
}
