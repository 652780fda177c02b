package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs/dtlstest"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap/datagram/lossy"
)

// stunMessage returns a STUN message of a type, with contents.
func stunMessage(kind uint16, contents string) []byte {
	m := binary.BigEndian.AppendUint16(nil, kind)
	m = binary.BigEndian.AppendUint16(m, uint16(len(contents)))
	m = binary.BigEndian.AppendUint32(m, stunCookie)
	return append(append(m, "transaction "...), contents...)
}

// TestStrangers has somebody send what he likes as if it came from the server. The connection goes on, and so does the
// control: another peer can be bound.
func TestStrangers(t *testing.T) {
	user := Credentials{"alice", "secret"}
	server, addresses, err := turnServer(user)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	network, err := lossy.New(netip.MustParseAddrPort(addresses["udp"]), lossy.Conditions{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer network.Close()
	c := newCertificates(t)
	relay, conn := c.connect(t, network.Addr().String(), user)
	defer relay.Close()
	defer conn.Close()
	for _, garbage := range [][]byte{
		nil, {0}, {0x40}, {0x40, 0, 0}, {0x40, 0, 0xff, 0xff}, {0x40, 0, 0, 0}, {0x40, 0, 0, 1, 22}, {0x4f, 0xff, 0, 0},
		[]byte("\x16\xfe\xfd and so on"), {0x80}, {0xff}, bytes.Repeat([]byte{0x40}, 60000),
		stunMessage(0x0001, ""),                                                 // a request
		stunMessage(0x0101, "\x00\x20\xff\xff"),                                 // an attribute longer than the message
		stunMessage(0x0101, "")[:stunHeader-1],                                  // cut
		stunMessage(0x0017, ""),                                                 // a Data indication of nothing
		stunMessage(0x0017, "\x00\x12\x00\x08\x00\x02\x00\x00\x00\x00\x00\x00"), // from an address of IPv6 that is short
	} {
		network.ToClients(garbage)
	}
	for range 1000 { // more than there is room for
		network.ToClients(stunMessage(0x0001, ""))
		network.ToClients([]byte{0x4f, 0xff, 0, 0})
	}
	for _, conn := range []net.Conn{conn, c.client(t, relay, c.listener(t))} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if answer, err := exchange(ctx, conn, "hello"); answer != "hello" || err != nil {
			t.Errorf("%q, %v", answer, err)
		}
		conn.Close()
	}
	if n := relay.Ignored(); n < 100 {
		t.Errorf("%d messages are ignored", n)
	}
}

// fakeServer accepts one connection over TCP and says something, at once or when it has heard something.
func fakeServer(t *testing.T, says string) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		conn.Read(make([]byte, 1000))
		io.WriteString(conn, says)
	}()
	return l.Addr().String()
}

// TestServersThatAreNone: the error says what is wrong, and comes before patience ends; that of a silent server then.
func TestServersThatAreNone(t *testing.T) {
	user := Credentials{"alice", "secret"}
	server, addresses, err := turnServer(user)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	silent := dtlstest.Listen(t).LocalAddr().String()
	for _, c := range []struct {
		name, proto, address string
		user                 Credentials
		want                 func(error) bool
	}{
		{"something else", "tcp", fakeServer(t, "\xff\xfb\x01\xff"), user, is(frame.ErrMalformed)},
		{"gone", "tcp", fakeServer(t, ""), user, says("has ended the connection")},
		{"half a message", "tcp", fakeServer(t, "\x01\x13\x00\x08"), user, is(io.ErrUnexpectedEOF)},
		{"silent", "udp", silent, user, is(context.DeadlineExceeded)},
		{"wrong password", "udp", addresses["udp"], Credentials{"alice", "guess"}, says("Allocate error")},
		{"no credentials", "tcp", addresses["tcp"], Credentials{}, says("Allocate error")},
	} {
		most := patience
		if c.address == silent {
			most = time.Second
		}
		ctx, cancel := context.WithTimeout(t.Context(), most)
		began := time.Now()
		relay, err := Dial(ctx, c.proto, c.address, c.user)
		if relay != nil || err == nil || !c.want(err) || time.Since(began) > patience {
			t.Errorf("%s: %v, after %v", c.name, err, time.Since(began))
		}
		cancel()
	}
}

// TestServerDies: over TCP, a connection ends when the server does, and says so.
func TestServerDies(t *testing.T) {
	user := Credentials{"alice", "secret"}
	server, addresses, err := turnServer(user)
	if err != nil {
		t.Fatal(err)
	}
	c := newCertificates(t)
	conn, err := net.Dial("tcp", addresses["tcp"])
	if err != nil {
		t.Fatal(err)
	}
	relay, err := New(t.Context(), conn, user)
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	peer := c.listener(t)
	dtls := c.client(t, relay, peer)
	defer dtls.Close()
	server.Close()
	conn.(*net.TCPConn).CloseRead()
	dtls.SetReadDeadline(time.Now().Add(patience))
	if _, err := dtls.Read(make([]byte, 100)); err == nil || err == io.EOF || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read: %v", err)
	}
	began := time.Now()
	_, err = relay.Bind(t.Context(), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(peer)))
	if err == nil || time.Since(began) > patience/2 {
		t.Errorf("Bind: %v, after %v", err, time.Since(began))
	}
}

// FuzzSort: whatever comes, a channel gets what has its number, and the control what may be STUN.
func FuzzSort(f *testing.F) {
	for _, m := range [][]byte{nil, {0x40, 0, 0, 0}, {0x40, 1, 0, 1, 22}, []byte("\x16\xfe\xfd"),
		stunMessage(0x0113, "\x00\x09\x00\x04\x00\x00\x04\x01"), stunMessage(0x0017, "")} {
		f.Add(m)
	}
	near, far := net.Pipe()
	f.Cleanup(func() { far.Close() })
	f.Fuzz(func(t *testing.T, message []byte) {
		r := &Relay{conn: near, stream: true, channels: map[uint16]*Channel{}}
		r.control = newControl(r.send, near, false)
		c, err := r.open(0x4000, &net.UDPAddr{})
		if err != nil {
			t.Fatal(err)
		}
		r.sort(message)
		ours := len(message) >= 4 && message[0] == 0x40 && message[1] == 0
		if got := len(c.queue) == 1; got != ours {
			t.Errorf("the channel gets it: %v", got)
		}
		if got := len(r.control.in) == 1; got != (len(message) > 0 && message[0] < 4) {
			t.Errorf("the control gets it: %v", got)
		}
		if len(c.queue)+len(r.control.in)+int(r.Ignored()) != 1 {
			t.Error("it gets lost, or comes twice")
		}
	})
}

func is(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }

func says(what string) func(error) bool {
	return func(err error) bool { return strings.Contains(err.Error(), what) }
}

// TestChannel is what a carrier promises, and what it does not hold.
func TestChannel(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	r := &Relay{conn: near, stream: true, channels: map[uint16]*Channel{}}
	c, err := r.open(0x4000, &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.open(0x4000, &net.UDPAddr{}); err != errBound {
		t.Errorf("a second time: %v", err)
	}
	message := append([]byte{0x40, 0, 0x10, 0}, make([]byte, 0x1000)...)
	for range 1000 {
		r.sort(message)
	}
	if c.size > channelRoom || r.Ignored() == 0 || int(r.Ignored()) != 1000-len(c.queue) {
		t.Errorf("%d bytes wait, %d messages were ignored", c.size, r.Ignored())
	}
	for range len(c.queue) {
		if b, err := c.Recv(); err != nil || !bytes.Equal(b.Bytes(), message) {
			t.Fatalf("%d bytes, %v", b.Len(), err)
		}
	}
	if c.size != 0 {
		t.Errorf("%d bytes wait in an empty queue", c.size)
	}
	go c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := c.Recv(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
	c.SetReadDeadline(time.Time{})
	go c.Close()
	if _, err := c.Recv(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	b := frame.NewBuf(0, []byte("message"), 0)
	if n, err := c.Send([]*frame.Buf{b}); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send after Close: %d, %v", n, err)
	}
	if _, err := r.open(0x4000, &net.UDPAddr{}); err != nil {
		t.Errorf("after Close: %v", err)
	}
}
