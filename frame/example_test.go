package frame_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log"

	"github.com/encase-tls/encase/frame"
)

// Header is a codec of one's own: a byte that names the protocol, the payload's length in 16 bits, the payload.
type Header struct{}

func (Header) Limits() frame.Limits { return frame.Limits{Head: 3, Max: 65535} }

func (h Header) Encode(b *frame.Buf) error {
	n := b.Len()
	if n > h.Limits().Max {
		return frame.ErrTooLarge
	}
	head := b.Prepend(3)
	head[0] = 0xd7
	binary.BigEndian.PutUint16(head[1:], uint16(n))
	return nil
}

func (h Header) Decode(b *frame.Buf) error {
	if n, err := h.FrameLen(b.Bytes()); err != nil || n != b.Len() {
		return frame.ErrMalformed
	}
	b.TrimFront(3)
	return nil
}

func (Header) FrameLen(p []byte) (int, error) {
	switch {
	case len(p) > 0 && p[0] != 0xd7:
		return 0, frame.ErrMalformed
	case len(p) < 3:
		return 0, nil
	}
	return 3 + int(binary.BigEndian.Uint16(p[1:])), nil
}

// A codec of one's own, and a byte stream that carries its frames.
func Example() {
	var codec frame.StreamCodec = Header{}
	var stream bytes.Buffer

	limits := codec.Limits()
	w := frame.NewWriter(&stream)
	for _, payload := range []string{"a TLS record", "and another"} {
		b := frame.Get(limits.Head, len(payload)+limits.Tail)
		copy(b.Append(len(payload)), payload)
		if err := codec.Encode(b); err != nil {
			log.Fatal(err)
		}
		if _, err := w.Write([]*frame.Buf{b}); err != nil {
			log.Fatal(err)
		}
	}

	fmt.Printf("%d bytes, the first are % x\n", stream.Len(), stream.Bytes()[:4])

	r := frame.NewReader(&stream, codec, limits.MaxFrame())
	for {
		b, err := r.Next()
		if err != nil {
			fmt.Println(err)
			return
		}
		if err := codec.Decode(b); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", b.Bytes())
	}

	// Output:
	// 29 bytes, the first are d7 00 0c 61
	// a TLS record
	// and another
	// EOF
}
