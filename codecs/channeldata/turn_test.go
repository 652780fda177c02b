package channeldata_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs/dtlstest"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap/needtest"
)

// OpenSSL's DTLS works inside, on a network that loses datagrams.
func TestDTLS(t *testing.T) { dtlstest.Exchange(t, dtlstest.Link(t, parse(t, "udp"))) }

// OpenSSL's DTLS works through coturn, over UDP and over TCP: from s_client in ChannelData to coturn, which unpacks it
// for s_server.
func TestDTLSThroughCoturn(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			dtlstest.Exchange(t, func(server *net.UDPAddr) *net.UDPAddr {
				c := newTurnClient(t, network)
				c.bind(0x4000, server)
				local := dtlstest.Listen(t)
				go c.relay(local)
				return local.LocalAddr().(*net.UDPAddr)
			})
		})
	}
}

// What is sent on a channel that is not bound does not arrive.
func TestUnboundChannel(t *testing.T) {
	c := newTurnClient(t, "udp")
	peer := dtlstest.Listen(t)
	c.bind(0x4000, peer.LocalAddr().(*net.UDPAddr))
	other := newMachine(t, "udp,channel=4001")
	c.send(other, []byte("on 4001"))
	c.send(c.machine, []byte("on 4000"))
	p := make([]byte, 100)
	peer.SetReadDeadline(time.Now().Add(time.Minute))
	n, _, err := peer.ReadFromUDP(p)
	if err != nil || string(p[:n]) != "on 4000" {
		t.Errorf("%q, %v arrives first", p[:n], err)
	}
}

// A turnClient is a client of coturn with one allocation. Everything that comes from coturn goes through the machine.
type turnClient struct {
	t       *testing.T
	conn    net.Conn
	machine frame.Machine
	recv    func() (*frame.Buf, error)
}

// newTurnClient starts coturn and connects.
func newTurnClient(t *testing.T, network string) *turnClient {
	t.Helper()
	conn, err := net.Dial(network, startCoturn(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &turnClient{t: t, conn: conn, machine: newMachine(t, network)}
	if d, ok := c.machine.(frame.Delimiter); ok {
		c.recv = frame.NewReader(conn, d, 0).Next
	} else {
		p := make([]byte, 1<<16)
		c.recv = func() (*frame.Buf, error) {
			n, err := conn.Read(p)
			return frame.NewBuf(0, p[:n], 0), err
		}
	}
	const allocate, requestedTransport = 0x0003, 0x0019
	c.request(allocate, attribute(requestedTransport, []byte{17, 0, 0, 0}))
	return c
}

// startCoturn returns the address on which coturn listens, over UDP and TCP.
func startCoturn(t *testing.T) string {
	t.Helper()
	turnserver := needtest.Program(t, "turnserver", "coturn")
	port := dtlstest.FreePort(t)
	dir := t.TempDir()
	cmd := exec.Command(turnserver, "-n", "--no-auth", "--allow-loopback-peers", "--listening-ip=127.0.0.1",
		"--relay-ip=127.0.0.1", "--listening-port="+strconv.Itoa(port.Port), "--no-cli", "--no-tls", "--no-dtls",
		"--realm=test", "--log-file=stdout", "--pidfile="+filepath.Join(dir, "pid"), "--userdb="+filepath.Join(dir, "db"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		if conn, err := net.Dial("tcp", port.String()); err == nil {
			conn.Close()
			return port.String()
		}
	}
	t.Fatal("coturn does not listen")
	return ""
}

// attribute returns one of STUN.
//
// https://www.rfc-editor.org/rfc/rfc8489.html#section-14
func attribute(kind uint16, value []byte) []byte {
	a := binary.BigEndian.AppendUint16(nil, kind)
	a = binary.BigEndian.AppendUint16(a, uint16(len(value)))
	return append(a, value...)
}

const cookie = 0x2112a442

// request sends a STUN request and waits for its success.
func (c *turnClient) request(method uint16, attributes []byte) {
	c.t.Helper()
	m := binary.BigEndian.AppendUint16(nil, method)
	m = binary.BigEndian.AppendUint16(m, uint16(len(attributes)))
	m = binary.BigEndian.AppendUint32(m, cookie)
	m = append(m, fmt.Sprintf("transaction%c", 'a'+method)...)
	m = append(m, attributes...)
	c.conn.SetReadDeadline(time.Now().Add(time.Minute))
	defer c.conn.SetReadDeadline(time.Time{})
	c.conn.Write(m)
	b, err := c.recv()
	for errors.Is(err, syscall.ECONNREFUSED) { // its UDP port opens a little later than that of TCP
		time.Sleep(20 * time.Millisecond)
		c.conn.Write(m)
		b, err = c.recv()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	ev, err := c.machine.Recv(nil, b)
	if err != nil || len(ev) != 1 || ev[0].Kind != frame.Side {
		c.t.Fatalf("the answer of coturn: %v, %v", ev, err)
	}
	const success = 0x0100
	if got := binary.BigEndian.Uint16(ev[0].Buf.Bytes()); got != method|success {
		c.t.Fatalf("coturn answers %04x to %04x", got, method)
	}
}

// bind makes channel the one of a peer.
//
// https://www.rfc-editor.org/rfc/rfc8656.html#section-12.1
func (c *turnClient) bind(channel uint16, peer *net.UDPAddr) {
	c.t.Helper()
	const channelBind, channelNumber, xorPeerAddress, ipv4 = 0x0009, 0x000c, 0x0012, 1
	number := binary.BigEndian.AppendUint16(nil, channel)
	address := binary.BigEndian.AppendUint16([]byte{0, ipv4}, uint16(peer.Port)^cookie>>16)
	address = binary.BigEndian.AppendUint32(address, binary.BigEndian.Uint32(peer.IP.To4())^cookie)
	c.request(channelBind, append(attribute(channelNumber, append(number, 0, 0)), attribute(xorPeerAddress, address)...))
}

// send sends a datagram in a frame of m.
func (c *turnClient) send(m frame.Machine, datagram []byte) {
	l := m.Limits()
	ev, err := m.Send(nil, frame.NewBuf(l.Head, datagram, l.Tail), true)
	if err != nil {
		c.t.Error(err)
		return
	}
	c.conn.Write(ev[0].Buf.Bytes())
}

// relay carries datagrams between local, which hears one program, and the peer, until the test ends.
func (c *turnClient) relay(local *net.UDPConn) {
	p := make([]byte, 1<<16)
	for first := true; ; first = false {
		n, from, err := local.ReadFromUDP(p)
		if err != nil {
			return
		}
		if first {
			go c.answer(local, from)
		}
		c.send(c.machine, p[:n])
	}
}

func (c *turnClient) answer(local *net.UDPConn, to *net.UDPAddr) {
	for {
		b, err := c.recv()
		if err != nil {
			return // closed with the test
		}
		ev, err := c.machine.Recv(nil, b)
		if err != nil || len(ev) != 1 || ev[0].Kind != frame.In {
			c.t.Errorf("coturn: %v, %v", ev, err)
			return
		}
		local.WriteToUDP(ev[0].Buf.Bytes(), to)
	}
}
