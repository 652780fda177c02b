package capwap_test

import (
	"fmt"

	"github.com/encase-tls/encase/codecs/capwap"
	"github.com/encase-tls/encase/frame"
)

// On a CAPWAP port DTLS and packets in the clear arrive.
func ExampleMaker() {
	m, err := capwap.Maker(frame.Server)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, packet := range []string{"\x01\x00\x00\x00\x16\xfe\xfd", "\x00\x10\x02\x00\x00\x00\x00\x00\x01"} {
		ev, err := m.Recv(nil, frame.NewBuf(0, []byte(packet), 0))
		fmt.Printf("%v %x %v\n", ev[0].Kind, ev[0].Buf.Bytes(), err)
	}
	// Output:
	// in 16fefd <nil>
	// side 001002000000000001 <nil>
}
