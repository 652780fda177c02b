package datagram_test

import (
	"fmt"
	"log"
	"net"

	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/codecs/channeldata"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/datagram"
)

// DTLS over a stream, in the messages that TURN has for that: one message is one record is one frame.
func ExampleClient() {
	codec, err := channeldata.New(channeldata.Options{Stream: true})
	if err != nil {
		log.Fatal(err)
	}
	cfg := &datagram.Config{
		Codec: codec,
		Stack: dtls.Stack(dtls.Options{
			PSK:         func([]byte) ([]byte, error) { return []byte("sixteen bytes ..."), nil },
			PSKIdentity: []byte("device 7"),
		}),
	}
	near, far := net.Pipe()
	go echo(far, cfg)

	conn, err := datagram.Client(wrap.Stream(near), cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	buf := make([]byte, 100)
	for _, message := range []string{"one", "two"} {
		if _, err := conn.Write([]byte(message)); err != nil {
			log.Fatal(err)
		}
		n, err := conn.Read(buf)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%q\n", buf[:n])
	}
	// Output:
	// "one"
	// "two"
}

// echo is a server of one connection.
func echo(stream net.Conn, cfg *datagram.Config) {
	conn, err := datagram.Server(wrap.Stream(stream), cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	buf := make([]byte, 100)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return // io.EOF: the client has said goodbye
		}
		conn.Write(buf[:n])
	}
}
