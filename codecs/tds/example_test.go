package tds_test

import (
	"fmt"

	"github.com/encase-tls/encase/codecs/tds"
	"github.com/encase-tls/encase/frame"
)

// A flight of 5000 bytes in packets of 4096, behind a PRELOGIN that has been exchanged elsewhere.
func ExampleNew() {
	mk, err := tds.New(tds.Options{Exchanged: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := mk(frame.Server)
	if err != nil {
		fmt.Println(err)
		return
	}
	ev, err := m.Send(nil, frame.NewBuf(m.Limits().Head, make([]byte, 5000), 0), true)
	for _, e := range ev {
		fmt.Printf("%v % x, %d bytes\n", e.Kind, e.Buf.Bytes()[:8], e.Buf.Len())
	}
	fmt.Println(err)
	// Output:
	// out 12 00 10 00 00 00 01 00, 4096 bytes
	// out 12 01 03 98 00 00 02 00, 920 bytes
	// <nil>
}

// What a client says in clear before TLS.
func ExamplePrelogin_Append() {
	pre := tds.Prelogin{Version: tds.Version{Major: 9}, Encryption: tds.On, ThreadID: []byte{0, 0, 0, 1}}
	p, err := pre.Append(nil)
	fmt.Printf("% x\n% x\n%v\n", p[:26], p[26:], err)
	// Output:
	// 00 00 1a 00 06 01 00 20 00 01 02 00 21 00 01 03 00 22 00 04 04 00 26 00 01 ff
	// 09 00 00 00 00 00 01 00 00 00 00 01 00
	// <nil>
}
