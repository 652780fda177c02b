package check_test

import (
	"fmt"

	"github.com/encase-tls/encase/codecs/check"
	"github.com/encase-tls/encase/frame"
)

// A header of one byte that nobody looks at when it comes back.
type careless struct{}

func (careless) Limits() frame.Limits { return frame.Limits{Head: 1, Max: 1400} }

func (careless) Encode(b *frame.Buf) error {
	if b.Len() > 1400 {
		return frame.ErrTooLarge
	}
	b.Prepend(1)[0] = 0x17
	return nil
}

func (careless) Decode(b *frame.Buf) error {
	b.TrimFront(1)
	return nil
}

func ExampleCodec() {
	err := check.Codec(frame.Symmetric(func() frame.Codec { return careless{} }))
	fmt.Println(err != nil)
	for _, r := range check.Rules() {
		if r.Name == "Noise" {
			fmt.Println(r.Contract)
		}
	}
	// Output:
	// true
	// Whatever bytes arrive, nothing panics, and what is refused is refused with an error that wraps ErrMalformed.
}
