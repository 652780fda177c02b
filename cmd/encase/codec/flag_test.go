package codec

import (
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs"
	_ "github.com/encase-tls/encase/codecs/length"
	"github.com/encase-tls/encase/frame"
)

// datagrams is a codec whose frames nothing tells apart in a stream.
type datagrams struct{}

func (datagrams) Limits() frame.Limits    { return frame.Limits{Max: 1400} }
func (datagrams) Encode(*frame.Buf) error { return nil }
func (datagrams) Decode(*frame.Buf) error { return nil }

func init() {
	info := codecs.Info{Summary: "for tests", Carriers: codecs.Datagram}
	codecs.Register("test-datagrams", info, func(string) (frame.Maker, error) {
		return frame.Symmetric(func() frame.Codec { return datagrams{} }), nil
	})
}

func init() {
	info := codecs.Info{Summary: "for tests", Example: "test-bare:other"}
	codecs.Register("test-bare", info, func(string) (frame.Maker, error) {
		return frame.Raw, nil
	})
}

func TestFlag(t *testing.T) {
	var f Flag
	if err := f.Set("length:32le"); err != nil || f.String() != "length:32le" || f.Maker == nil {
		t.Errorf("length:32le: %v, %v", f.String(), err)
	}
	for spec, want := range map[string]string{
		"test-datagrams": "for datagrams only",
		"length:9":       "bad width",
		"length":         "bad width", // not the example: the other end would not know
		"nothing":        `no codec "nothing"`,
		"":               `no codec ""`,
	} {
		if err := f.Set(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", spec, err, want)
		}
	}
	if f.String() != "length:32le" {
		t.Errorf("a refused value has replaced the flag: %s", f.String())
	}
	if err := f.Set("test-bare"); err != nil || f.String() != "test-bare" {
		t.Errorf("a name alone became %q, %v; its codec has defaults of its own", f.String(), err)
	}
}
