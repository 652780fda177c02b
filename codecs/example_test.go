package codecs_test

import (
	"fmt"

	"github.com/encase-tls/encase/codecs"
	_ "github.com/encase-tls/encase/codecs/length"
	"github.com/encase-tls/encase/frame"
)

// A codec is chosen by name, and makes a frame in the buffer that holds the payload.
func ExampleParse() {
	mk, err := codecs.Parse("length:16be,prefix=0300,incl")
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := mk(frame.Client)
	if err != nil {
		fmt.Println(err)
		return
	}
	l := m.Limits()
	b := frame.Get(l.Head, 100+l.Tail)
	copy(b.Append(5), "hello")
	events, err := m.Send(nil, b, true)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range events {
		fmt.Printf("%v: % x\n", e.Kind, e.Buf.Bytes())
		e.Buf.Release()
	}
	// Output: out: 03 00 00 09 68 65 6c 6c 6f
}
