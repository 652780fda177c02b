package datagram

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// byUDP returns carriers of two sockets.
func byUDP(t *testing.T) (client, server wrap.Carrier) {
	t.Helper()
	a, b := udpSocket(t), udpSocket(t)
	return wrap.Datagram(a, b.LocalAddr(), 0), wrap.Datagram(b, a.LocalAddr(), 0)
}

func udpSocket(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadBuffer(8 << 20)
	t.Cleanup(func() { c.Close() })
	return c
}

// byTCP returns carriers of the two ends of a TCP connection.
func byTCP(t *testing.T) (client, server wrap.Carrier) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return wrap.Stream(a), wrap.Stream(b)
}

// demo describes frames with a type, a length, a counter and a checksum.
const demo = "desc:magic 16 = 0xd71e; type 8 client = 1 server = 2; length 16 len payload; seq 32 count; payload; check 32 crc32c"

// TestCodecs moves messages of all sizes both ways, through each kind of codec over each carrier that it can be used
// over, and says goodbye.
func TestCodecs(t *testing.T) {
	tests := []struct {
		codec string
		tcp   bool
	}{
		{codec: ""},
		{codec: "length:16be"},
		{codec: demo},
		{codec: "channeldata:udp"},
		{codec: "capwap"},
		{codec: "length:16be", tcp: true},
		{codec: demo, tcp: true},
		{codec: "channeldata:tcp", tcp: true},
	}
	for _, test := range tests {
		carriers, name := byUDP, "udp/"+strings.SplitN(test.codec, ";", 2)[0]
		if test.tcp {
			carriers, name = byTCP, "tcp"+name[3:]
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, server := configs(t, test.codec)
			a, b := carriers(t)
			c, s := overCarriers(t, a, b, client, server)
			both(t, c, s, 100, nil)
			testTooLong(t, c)
			testTooLong(t, s)
			goodbye(t, c, s)
		})
	}
}

// overCarriers returns both ends of a connection whose handshake is done.
func overCarriers(t *testing.T, a, b wrap.Carrier, client, server *Config) (c, s *Conn) {
	t.Helper()
	c, err := Client(a, client)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if s, err = Server(b, server); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	failed := make(chan error, 1)
	go func() { failed <- s.Handshake() }()
	if err := errors.Join(c.Handshake(), <-failed); err != nil {
		t.Fatal(err)
	}
	return c, s
}

// testTooLong writes a message that is a byte too long: it is refused with the limit, and the next is not.
func testTooLong(t *testing.T, c *Conn) {
	t.Helper()
	var long *bio.TooLongError
	most := c.MTU()
	_, err := c.Write(make([]byte, most+1))
	if !errors.As(err, &long) || long.Limit != most || !errors.Is(err, frame.ErrTooLarge) {
		t.Errorf("Write of %d bytes: %v", most+1, err)
	}
	if n, err := c.WriteBatch([][]byte{make([]byte, most), make([]byte, most+1)}); n != 1 || !errors.As(err, &long) {
		t.Errorf("WriteBatch: %d, %v", n, err)
	}
	if n, err := c.WriteBatch([][]byte{nil, {}, make([]byte, 10), nil}); n != 4 || err != nil {
		t.Errorf("WriteBatch with empty messages: %d, %v", n, err)
	}
}

// TestUnusable makes connections that cannot work.
func TestUnusable(t *testing.T) {
	tests := []struct {
		name, codec string
		tcp         bool
		change      func(cfg *Config)
		want        string
	}{
		{"no framing over a stream", "", true, func(*Config) {}, "cannot be told apart"},
		{"a dialogue first", "websocket:host=server.test", true, func(*Config) {}, "frame.Preamble"},
		{"an MTU without room", "length:16be", false, func(c *Config) { c.MTU = 60 }, "leave 58 bytes"},
		{"an MTU that DTLS cannot use", "", false, func(c *Config) { c.MTU = 200 }, "MTU"},
		{"a stack for streams", "", false, func(c *Config) { c.Stack = bio.Stack{Name: "tls"} }, "for streams"},
		{"a stack that is not there", "", false, func(c *Config) { c.Stack = bio.Stack{Name: "x"} }, "forgotten import"},
		{"no credentials", "", false, func(c *Config) { c.TLS = nil }, "Config.TLS"},
	}
	for _, test := range tests {
		client, _ := configs(t, test.codec)
		test.change(client)
		carriers := byUDP
		if test.tcp {
			carriers = byTCP
		}
		a, b := carriers(t)
		defer a.Close()
		defer b.Close()
		if _, err := Client(a, client); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
	if _, err := Client(nil, nil); err == nil {
		t.Error("a Conn without a Config")
	}
}

// TestTruncation ends a stream without close_notify: datagrams that were sent may be missing.
func TestTruncation(t *testing.T) {
	client, server := configs(t, "length:16be")
	a, b := byTCP(t)
	c, s := overCarriers(t, a, b, client, server)
	if _, err := c.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has arrived", func() bool { return s.Stats().MessagesIn == 1 })
	a.Close()
	buf := make([]byte, 100)
	if n, err := s.Read(buf); err != nil || string(buf[:n]) != "last words" {
		t.Errorf("Read: %q, %v", buf[:n], err)
	}
	if _, err := s.Read(buf); !errors.Is(err, bio.ErrTruncated) {
		t.Errorf("Read at the end: %v", err)
	}
}

// TestStreamPressure writes to a peer that does not read: over a stream, Write waits, within its deadline, and nothing
// is lost.
func TestStreamPressure(t *testing.T) {
	client, server := configs(t, "length:16be")
	server.Queue = 10 << 10
	a, b := byTCP(t)
	c, s := overCarriers(t, a, b, client, server)
	message := make([]byte, 10000)
	c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	sent := 0
	var err error
	for err == nil {
		if _, err = c.Write(message); err == nil {
			sent++
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("Write to a peer that does not read: %v", err)
	}
	got := 0
	for got < sent {
		s.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, err := s.Read(message); err != nil || n != len(message) {
			t.Fatalf("message %d of %d: %d bytes, %v", got, sent, n, err)
		}
		got++
	}
	c.SetWriteDeadline(time.Time{})
	both(t, c, s, 100, nil)
}
