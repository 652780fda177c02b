package cobs_test

import (
	"fmt"

	"github.com/encase-tls/encase/codecs/cobs"
	"github.com/encase-tls/encase/frame"
)

func ExampleNew() {
	mk, err := cobs.New(cobs.Options{})
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
	b := frame.NewBuf(send.Limits().Head, []byte{0x11, 0x22, 0, 0x33}, send.Limits().Tail)
	err = send.Encode(b)
	fmt.Printf("%x %v\n", b.Bytes(), err)
	// Output: 031122023300 <nil>
}
