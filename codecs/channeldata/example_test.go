package channeldata_test

import (
	"fmt"

	"github.com/encase-tls/encase/codecs/channeldata"
	"github.com/encase-tls/encase/frame"
)

// Over TCP the data of the channel is for DTLS; what comes on another channel is side traffic.
func ExampleNew() {
	mk, err := channeldata.New(channeldata.Options{Stream: true, Channel: 0x4001})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := mk(frame.Client)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, message := range []string{"\x40\x01\x00\x03\x16\xfe\xfd\x00", "\x40\x02\x00\x02hi\x00\x00"} {
		ev, err := m.Recv(nil, frame.NewBuf(0, []byte(message), 0))
		fmt.Printf("%v %x %v\n", ev[0].Kind, ev[0].Buf.Bytes(), err)
	}
	// Output:
	// in 16fefd <nil>
	// side 4002000268690000 <nil>
}
