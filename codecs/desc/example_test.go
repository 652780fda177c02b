package desc_test

import (
	"fmt"

	"github.com/encase-tls/encase/codecs/desc"
	"github.com/encase-tls/encase/frame"
)

// A configuration may hold the description itself.
func Example() {
	d, err := desc.Parse("demo", []byte(`
		magic    16  = 0xd71e
		length   16  len payload
		session  32  value session
		payload
		check    32  crc32c
	`), map[string]string{"session": "0xcafe"})
	if err != nil {
		fmt.Println(err)
		return
	}
	machine, err := d.Maker()(frame.Client)
	if err != nil {
		fmt.Println(err)
		return
	}
	room := machine.Limits()
	events, err := machine.Send(nil, frame.NewBuf(room.Head, []byte("hello"), room.Tail), true)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, v := range d.Explain(events[0].Buf.Bytes()) {
		fmt.Printf("%-8s %#x\n", v.Name, v.Value)
	}
	// Output:
	// magic    0xd71e
	// length   0x5
	// session  0xcafe
	// payload  0x5
	// check    0x71b85279
}

func ExampleDescription_Diagram() {
	d, err := desc.Parse("vxlan", []byte(`
		reserved   4  any 0
		valid      1  = 1
		reserved2  3  any 0
		reserved3 24  any 0
		vni       24  = 42
		reserved4  8  any 0
		payload
	`), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(d.Diagram())
	// Output:
	//  0                   1                   2                   3
	//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
	// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
	// |   a   |b|  c  |                   reserved3                   |
	// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
	// |                      vni                      |   reserved4   |
	// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
	// |                                                               |
	// ~                            payload                            ~
	// |                                                               |
	// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
	//
	// a  reserved
	// b  valid
	// c  reserved2
}
