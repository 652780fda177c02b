package slip_test

import (
	"fmt"

	"github.com/encase-tls/encase/codecs/slip"
	"github.com/encase-tls/encase/frame"
)

func ExampleNew() {
	mk, err := slip.New(slip.Options{Max: 1500})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := mk(frame.Client)
	if err != nil {
		fmt.Println(err)
		return
	}
	send, _, _ := frame.CodecsOf(m)
	b := frame.NewBuf(send.Limits().Head, []byte{0xc0, 1, 0xdb}, send.Limits().Tail)
	err = send.Encode(b)
	fmt.Printf("%x %v\n", b.Bytes(), err)
	// Output: c0dbdc01dbddc0 <nil>
}
