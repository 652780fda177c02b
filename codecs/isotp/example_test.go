package isotp_test

import (
	"fmt"

	"github.com/encase-tls/encase/codecs/isotp"
	"github.com/encase-tls/encase/frame"
)

// A message that needs more than one frame waits for the peer's flow control.
func ExampleNew() {
	mk, err := isotp.New(isotp.Options{ClientID: 0x7e0, ServerID: 0x7e8})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := mk(frame.Client)
	if err != nil {
		fmt.Println(err)
		return
	}
	ev, err := m.Send(nil, frame.NewBuf(0, []byte("hello, bus"), 0), true)
	for _, e := range ev {
		fmt.Printf("%v %x\n", e.Kind, e.Buf.Bytes())
	}
	fmt.Println(err, m.(frame.Backlogger).Backlog())
	// Output:
	// out e007000008000000100a68656c6c6f2c
	// <nil> 4
}
