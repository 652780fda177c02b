package eapol_test

import (
	"fmt"

	"github.com/encase-tls/encase/codecs/eapol"
	"github.com/encase-tls/encase/frame"
)

// A client asks to begin, and says who it is when it is asked.
func Example() {
	codec, err := eapol.Parse("identity=@example.org")
	if err != nil {
		fmt.Println(err)
		return
	}
	client, _ := codec(frame.Client)
	events, _ := client.Start(nil)
	fmt.Printf("%x\n", events[0].Buf.Bytes())

	request := frame.NewBuf(0, []byte{2, 0, 0, 5, 1, 1, 0, 5, 1}, 0)
	events, _ = client.Recv(nil, request)
	fmt.Printf("%x\n", events[0].Buf.Bytes())
	// Output:
	// 02010000
	// 020000110201001101406578616d706c652e6f7267
}
