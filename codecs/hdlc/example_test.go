package hdlc_test

import (
	"fmt"

	"github.com/encase-tls/encase/codecs/hdlc"
	"github.com/encase-tls/encase/frame"
)

// A line on which XON and XOFF stop and start the sender.
func ExampleNew() {
	mk, err := hdlc.New(hdlc.Options{ACCM: 1<<0x11 | 1<<0x13})
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
	b := frame.NewBuf(send.Limits().Head, []byte{0x11, 0x12, 0x13}, send.Limits().Tail)
	err = send.Encode(b)
	fmt.Printf("%x %v\n", b.Bytes(), err)
	// Output: 7eff037d31127d3392447e <nil>
}
