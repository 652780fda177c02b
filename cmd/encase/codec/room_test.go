package codec

import (
	"bytes"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
)

// doubling writes one of 256 bytes twice, so that a frame may be twice as long as what is in it, and hardly ever is.
type doubling struct{}

func (doubling) Limits() frame.Limits { return frame.Limits{Head: 2000, Tail: 1, Max: 2000} }

func (doubling) Encode(b *frame.Buf) error {
	p := bytes.ReplaceAll(b.Bytes(), []byte{0x7e}, []byte{0x7e, 0x7e})
	b.Prepend(len(p) - b.Len())
	copy(b.Bytes(), p)
	b.Append(1)[0] = 0
	return nil
}

func (doubling) Decode(*frame.Buf) error { return frame.ErrMalformed }

// What fits in a packet is not reckoned from the worst case.
func TestRoom(t *testing.T) {
	d := &description{
		info:  codecs.Info{Carriers: codecs.Stream},
		maker: frame.Symmetric(func() frame.Codec { return doubling{} }),
	}
	f, ok := d.measure(1440)
	if !ok || !f.varies || f.len < 1440+3 || f.len > 1440+20 {
		t.Errorf("1440 bytes take %+v, %v", f, ok)
	}
	rows := d.room(doubling{}.Limits(), ethernetMTU)
	if len(rows) != 3 || !strings.HasPrefix(rows[0].Text, "1460 - about ") {
		t.Errorf("%q", rows)
	}
	if want := "1978 bytes of data in a frame of about 20"; !strings.HasPrefix(rows[2].Text, want) {
		t.Errorf("%q, want %q", rows[2].Text, want)
	}
}
