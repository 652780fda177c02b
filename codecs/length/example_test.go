package length_test

import (
	"fmt"

	"github.com/encase-tls/encase/codecs/length"
	"github.com/encase-tls/encase/frame"
)

// A program that knows its codec when it is compiled needs no name for it.
func ExampleNew() {
	mk, err := length.New(length.Options{Width: 32, LittleEndian: true, Max: 4096})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := mk(frame.Server)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%+v\n", m.Limits())
	// Output: {Head:4 Tail:0 Max:4096}
}
