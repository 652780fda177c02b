package tsharktest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/frame"
)

// A Message is what one end of a connection sends at once.
type Message struct {
	From frame.Role
	Data []byte
}

const (
	flagSYN     = 0x02
	flagACK     = 0x10
	serverStart = 1 << 31 // sequence number: no test takes one of the server for one of the client
)

// Conversation returns a Capture of a connection over TCP to a port, from its first packet, a segment for each message.
// It does not end.
func Conversation(port uint16, messages ...Message) Capture {
	c := Capture{LinkType: Raw}
	next := [2]uint32{1000, serverStart} // by role
	segment := func(from frame.Role, flags byte, data []byte) {
		ports := [2]uint16{clientPort, port}
		header := binary.BigEndian.AppendUint16(nil, ports[from])
		header = binary.BigEndian.AppendUint16(header, ports[from.Peer()])
		header = binary.BigEndian.AppendUint32(header, next[from])
		acknowledged := next[from.Peer()]
		if flags&flagACK == 0 {
			acknowledged = 0
		}
		header = binary.BigEndian.AppendUint32(header, acknowledged)
		header = append(header, tcpLen/4<<4, flags, 0x40, 0, 0, 0, 0, 0)
		p := ip(protocolTCP, header, data)
		if from == frame.Server {
			p[15], p[19] = p[19], p[15] // the last bytes of the addresses
		}
		c.Packets = append(c.Packets, p)
		next[from] += uint32(len(data))
	}
	segment(frame.Client, flagSYN, nil)
	next[frame.Client]++
	segment(frame.Server, flagSYN|flagACK, nil)
	next[frame.Server]++
	segment(frame.Client, flagACK, nil)
	for _, m := range messages {
		segment(m.From, pushAck, m.Data)
	}
	return c
}

// File returns the capture in the form of pcap.
func (c Capture) File() []byte { return c.pcap() }

// Handshake returns what the two ends of a TLS connection say to each other: a handshake with the name demo.example, a
// line each way, and the end.
func Handshake(t testing.TB, version uint16) []Message {
	t.Helper()
	certificate := selfSigned(t)
	left, right := net.Pipe()
	var r recorder
	client := tls.Client(&recorded{left, &r, frame.Client}, &tls.Config{
		ServerName: "demo.example", InsecureSkipVerify: true, MinVersion: version, MaxVersion: version,
		CurvePreferences: []tls.CurveID{tls.X25519}, // a short ClientHello
	})
	server := tls.Server(&recorded{right, &r, frame.Server}, &tls.Config{
		Certificates: []tls.Certificate{certificate}, SessionTicketsDisabled: true,
	})
	served := make(chan error, 1)
	go func() {
		defer right.Close()
		_, err := io.CopyN(server, server, 5)
		served <- err
	}()
	left.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(client, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	left.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.messages
}

type recorder struct {
	mu       sync.Mutex
	messages []Message
}

// recorded is one end of a connection, whose writes are recorded.
type recorded struct {
	net.Conn
	to   *recorder
	from frame.Role
}

func (c *recorded) Write(p []byte) (int, error) {
	c.to.mu.Lock()
	c.to.messages = append(c.to.messages, Message{c.from, slices.Clone(p)})
	c.to.mu.Unlock()
	return c.Conn.Write(p)
}

func selfSigned(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"demo.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
