package shim_test

import (
	"fmt"

	"github.com/encase-tls/encase/codecs/shim"
	"github.com/encase-tls/encase/frame"
)

func ExampleNew() {
	mk, err := shim.New(shim.Options{Kind: shim.VXLAN, VNI: 4242})
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
	b := frame.NewBuf(send.Limits().Head, []byte{0x16, 0xfe, 0xfd}, 0)
	err = send.Encode(b)
	fmt.Printf("%x %v\n", b.Bytes(), err)
	// Output: 080000000010920016fefd <nil>
}
