package tpkt_test

import (
	"fmt"

	"github.com/encase-tls/encase/codecs/tpkt"
	"github.com/encase-tls/encase/frame"
)

// A flight of 300 bytes in TPDUs of 128.
func ExampleNew() {
	mk, err := tpkt.New(tpkt.Options{Called: []byte("SIMATIC-ROOT-HMI"), Size: 128})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := mk(frame.Client)
	if err != nil {
		fmt.Println(err)
		return
	}
	ev, err := m.Send(nil, frame.NewBuf(m.Limits().Head, make([]byte, 300), 0), true)
	for _, e := range ev {
		fmt.Printf("%v %x, %d bytes\n", e.Kind, e.Buf.Bytes()[:7], e.Buf.Len())
	}
	fmt.Println(err)
	// Output:
	// out 0300008402f000, 132 bytes
	// out 0300008402f000, 132 bytes
	// out 0300003902f080, 57 bytes
	// <nil>
}
