package bio_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/frame"
)

// exampleEngines makes a client and a server that trust a certificate authority made for them.
func exampleEngines() (client, server bio.Engine) {
	authority, err := ephemeral.New("an authority")
	if err != nil {
		log.Fatal(err)
	}
	cert, err := authority.Issue("server.example")
	if err != nil {
		log.Fatal(err)
	}
	clients, err1 := bio.TLS(&bio.Config{TLS: &tls.Config{ServerName: "server.example", RootCAs: authority.Pool()}})
	servers, err2 := bio.TLS(&bio.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	if err := errors.Join(err1, err2); err != nil {
		log.Fatal(err)
	}
	client, err1 = clients(frame.Client)
	server, err2 = servers(frame.Server)
	if err := errors.Join(err1, err2); err != nil {
		log.Fatal(err)
	}
	return client, server
}

// Two engines, wired by hand: what one flushes or seals, the other opens. The carrier, here none at all, may be
// whatever moves bytes in order.
func ExampleEngine() {
	client, server := exampleEngines()

	// Flights go back and forth until neither end has output. A client begins.
	for from, to := client, server; ; from, to = to, from {
		flight, _ := from.Flush(nil, 0)
		if len(flight) == 0 {
			break
		}
		_, st, err := to.Open(nil, flight)
		if err != nil {
			log.Fatal(err) // after sending what Flush still returns: the alert
		}
		if st.Events.Has(bio.EventHandshakeDone) {
			fmt.Println("handshake done,", tls.VersionName(to.State().TLS.Version))
		}
	}

	// A record, with four bytes in front of it for a header of one's own.
	packet, n, err := client.Seal(make([]byte, 4, 128), []byte("hello"))
	if err != nil {
		log.Fatal(err)
	}
	packet[0], packet[3] = 0xed, byte(len(packet)-4)
	fmt.Println(n, "bytes in a packet of", len(packet))

	plain, _, err := server.Open(nil, packet[4:])
	fmt.Printf("%s %v\n", plain, err)
	// Output:
	// handshake done, TLS 1.3
	// handshake done, TLS 1.3
	// 5 bytes in a packet of 31
	// hello <nil>
}

// The calls of OpenSSL, over a pair of memory BIOs in each direction. Here both ends are in one loop; where they are
// not, the program waits for what ErrWantRead and ErrWantWrite say.
func ExampleSession() {
	clientEngine, serverEngine := exampleEngines()
	up, down := bio.NewMemory(0), bio.NewMemory(0)
	client := bio.NewSession(clientEngine, down, up) // SSL_set_bio, SSL_set_connect_state
	server := bio.NewSession(serverEngine, up, down) // SSL_set_bio, SSL_set_accept_state

	for { // SSL_do_handshake
		clientErr, serverErr := client.Handshake(), server.Handshake()
		if clientErr == nil && serverErr == nil {
			break
		}
		for _, err := range []error{clientErr, serverErr} {
			if err != nil && err != bio.ErrWantRead && err != bio.ErrWantWrite {
				log.Fatal(err)
			}
		}
	}
	if _, err := client.Write([]byte("hello")); err != nil { // SSL_write
		log.Fatal(err)
	}
	p := make([]byte, 100)
	n, err := server.Read(p) // SSL_read
	fmt.Printf("%s %v\n", p[:n], err)

	_, err = server.Read(p)
	fmt.Println("again:", err == bio.ErrWantRead)

	client.Shutdown() // SSL_shutdown
	_, err = server.Read(p)
	fmt.Println(err)
	// Output:
	// hello <nil>
	// again: true
	// EOF
}
