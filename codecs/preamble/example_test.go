package preamble_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// A client goes through a web proxy to a mail server, and speaks TLS with it. Here one server plays both.
func Example() {
	ca, err := ephemeral.New("example CA")
	if err != nil {
		fmt.Println(err)
		return
	}
	cert, err := ca.Issue("mail.example")
	if err != nil {
		fmt.Println(err)
		return
	}
	there, here := net.Pipe()

	server := wrap.Server(wrap.Stream(there), &wrap.Config{
		TLS:       &tls.Config{Certificates: []tls.Certificate{cert}},
		Preambles: []frame.Preamble{preamble.Connect{}, preamble.SMTP{Name: "mail.example"}},
	})
	go func() {
		defer server.Close()
		fmt.Fprintln(server, "250 this is private")
	}()

	client := wrap.Client(wrap.Stream(here), &wrap.Config{
		TLS:       &tls.Config{RootCAs: ca.Pool(), ServerName: "mail.example"},
		Preambles: []frame.Preamble{preamble.Connect{Target: "mail.example:25"}, preamble.SMTP{}},
	})
	defer client.Close()
	said, err := io.ReadAll(client)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s", said)
	// Output: 250 this is private
}

// A preamble is chosen by name.
func ExampleParse() {
	p, err := preamble.Parse("connect:db.example:5432")
	fmt.Printf("%T %v\n", p, err)
	_, err = preamble.Parse("connect:db.example")
	fmt.Println(err)
	// Output:
	// preamble.Connect <nil>
	// connect: bad target "db.example" (allowed: HOST:PORT with a name or an address, and a number)
}
