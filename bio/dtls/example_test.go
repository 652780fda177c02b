package dtls_test

import (
	"fmt"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/frame"
)

// Two ends without a network: datagrams go from hand to hand.
func ExampleNew() {
	key := func([]byte) ([]byte, error) { return []byte("a key that both ends know"), nil }
	makeEnd := func(role frame.Role) *dtls.Engine {
		maker, err := dtls.New(&bio.Config{}, dtls.Options{PSK: key, PSKIdentity: []byte("sensor 7")})
		if err != nil {
			panic(err)
		}
		e, err := maker(role)
		if err != nil {
			panic(err)
		}
		return e.(*dtls.Engine)
	}
	client, server := makeEnd(frame.Client), makeEnd(frame.Server)

	// Move what there is; wait when there is nothing, since the handshake answers a little later.
	move := func(from, to *dtls.Engine) {
		for more := true; more; {
			var datagram []byte
			if datagram, more = from.Flush(nil, 0); len(datagram) > 0 {
				if _, _, err := to.Open(nil, datagram); err != nil {
					panic(err)
				}
			}
		}
	}
	for client.State().Phase != bio.PhaseOpen || server.State().Phase != bio.PhaseOpen {
		move(client, server)
		move(server, client)
		select {
		case <-client.Ready():
		case <-server.Ready():
		case <-time.After(10 * time.Second):
			panic("no handshake")
		}
	}
	fmt.Printf("the server knows %q\n", server.PSKIdentity())

	datagram, _, err := client.Seal(nil, []byte("21.5 degrees"))
	if err != nil {
		panic(err)
	}
	for range 2 { // networks repeat datagrams
		message, _, err := server.Open(nil, append([]byte(nil), datagram...))
		fmt.Printf("%q %v\n", message, err)
	}
	fmt.Println("replayed:", server.Stats().Replayed)
	// Output:
	// the server knows "sensor 7"
	// "21.5 degrees" <nil>
	// "" <nil>
	// replayed: 1
}
