package radius_test

import (
	"fmt"

	"github.com/encase-tls/encase/codecs/eap"
	"github.com/encase-tls/encase/codecs/radius"
	"github.com/encase-tls/encase/frame"
)

// A server answers the first request of a client with a challenge that names the session.
func ExampleState() {
	secret, _ := radius.NewSecret([]byte("long and random"))
	codec, err := radius.New(radius.Options{Secret: secret, EAP: eap.Options{Identity: "user@example.org"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	client, _ := codec(frame.Client)
	server, _ := codec(frame.Server)

	requests, _ := client.Start(nil)
	request := requests[0].Buf
	fmt.Println("request: code", request.Bytes()[0], "State", radius.State(request.Bytes()) != nil)

	server.Start(nil)
	replies, _ := server.Recv(nil, request)
	reply := replies[0].Buf
	fmt.Println("reply: code", reply.Bytes()[0], "State", radius.State(reply.Bytes()) != nil)
	// Output:
	// request: code 1 State false
	// reply: code 11 State true
}
