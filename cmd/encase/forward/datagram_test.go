package forward

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

const anyUDP = "udp:127.0.0.1:0"

// serveUDP answers each datagram on loopback with what answer makes of it, for the time of a test; nil is no answer.
func serveUDP(t testing.TB, answer func(p []byte) []byte) (address string) {
	t.Helper()
	return serveUDPAt(t, "127.0.0.1:0", answer)
}

func serveUDPAt(t testing.TB, at string, answer func(p []byte) []byte) (address string) {
	t.Helper()
	pc, err := net.ListenPacket("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	pc.(*net.UDPConn).SetReadBuffer(4 << 20)
	var done sync.WaitGroup
	done.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := pc.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			if back := answer(buf[:n]); back != nil {
				pc.WriteTo(back, from)
			}
		}
	})
	t.Cleanup(func() {
		pc.Close()
		done.Wait()
	})
	return "udp:" + pc.LocalAddr().String()
}

func sameBack(p []byte) []byte { return p }

// udp connects to a forward of datagrams.
func (d *daemon) udp(name string) *net.UDPConn {
	d.t.Helper()
	return dialUDP(d.t, d.address(name))
}

func dialUDP(t testing.TB, address string) *net.UDPConn {
	t.Helper()
	c, err := net.Dial("udp", strings.TrimPrefix(address, "udp:"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.(*net.UDPConn).SetReadBuffer(4 << 20)
	return c.(*net.UDPConn)
}

// ask sends a message, again if no answer comes, until there is one that is wanted.
func ask(c net.Conn, message string, wanted func(answer string) bool) (last string, err error) {
	buf := make([]byte, 1<<16)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		c.Write([]byte(message)) // what ICMP says of earlier ones ends nothing
		c.SetReadDeadline(time.Now().Add(2 * time.Second))
		for {
			n, err := c.Read(buf)
			if last = string(buf[:n]); err == nil && wanted(last) {
				return last, nil
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				time.Sleep(20 * time.Millisecond)
				break
			}
		}
	}
	return last, errors.New("no answer")
}

// mustAsk sends a message until it is answered with want.
func mustAsk(t testing.TB, c net.Conn, message, want string) {
	t.Helper()
	if got, err := ask(c, message, func(answer string) bool { return answer == want }); err != nil {
		t.Fatalf("%q is answered with %q, %v, want %q", message, got, err, want)
	}
}

// dtlsPair runs two forwards in a row, plain to DTLS and DTLS to plain, in front of backend; limits are the first one's.
func dtlsPair(t testing.TB, f testFiles, codec, backend, limits string) (in, out *daemon) {
	t.Helper()
	out = run(t, forwardTOML("out", anyUDP, f.server(codec), backend, ""))
	in = run(t, forwardTOML("in", anyUDP, "", out.address("out"), f.client(codec))+limits)
	return in, out
}

// Datagrams pass from plain UDP to DTLS in a codec and back, whole and in both directions, and the log counts them.
func TestDatagrams(t *testing.T) {
	t.Parallel()
	f := certificates(t)
	for _, codec := range []string{"raw", "length:16be", "capwap", "shim:vxlan,vni=42", "channeldata:udp,channel=4000",
		"desc:magic 16 = 0xd71e; length 16 len payload; payload; check 32 crc32c"} {
		t.Run(codec, func(t *testing.T) {
			const short = "[limits]\nidle_timeout = \"1s\"\n"
			in, out := dtlsPair(t, f, codec, serveUDP(t, sameBack), short)
			c := &counted{Conn: in.udp("in")}
			for _, size := range []int{1, 2, 500, 1000, 1100} {
				message := string(random(size))
				mustAsk(t, c, message, message)
			}
			for _, d := range []*daemon{in, out} {
				eventually(t, "all is counted, both ways", func() bool {
					bytes, datagrams := d.sum("from_client"), d.sum("datagrams_from_client")
					return bytes == c.bytes && datagrams == c.datagrams &&
						d.sum("from_server") == bytes && d.sum("datagrams_from_server") == datagrams
				})
			}
			e := in.find(t, 0, "connection closed")
			if got, _ := e["server_tls"].(map[string]any); got["version"] != "DTLS 1.2" || e["reason"] != "idle" {
				t.Errorf("the log says %v", e)
			}
		})
	}
}

// counted counts what is sent: on a busy machine more than once, and after a pause as another client of the forward.
type counted struct {
	net.Conn
	bytes, datagrams int
}

func (c *counted) Write(p []byte) (int, error) {
	c.bytes += len(p)
	c.datagrams++
	return c.Conn.Write(p)
}

// sum adds up what is said of connections that are closed.
func (j *journal) sum(key string) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.matching("connection closed", nil) {
		if count, ok := e[key].(float64); ok {
			n += int(count)
		}
	}
	return n
}

// numbered returns a message that can be told from others.
func numbered(client, i int) []byte {
	p := bytes.Repeat([]byte{byte(client), byte(i)}, 200)
	binary.BigEndian.PutUint32(p, uint32(client))
	binary.BigEndian.PutUint32(p[4:], uint32(i))
	return p
}

// Many clients at once each get what is theirs.
func TestManyUDPClients(t *testing.T) {
	f := certificates(t)
	in, out := dtlsPair(t, f, "length:16be", serveUDP(t, sameBack), "")
	const clients, each = 300, 5
	var all sync.WaitGroup
	began := time.Now()
	for id := range clients {
		c := in.udp("in")
		all.Go(func() {
			for i := range each {
				message := string(numbered(id, i))
				if _, err := ask(c, message, func(answer string) bool { return answer == message }); err != nil {
					t.Errorf("client %d, message %d: %v", id, i, err)
					return
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d clients, %d messages each: %v", clients, each, time.Since(began).Round(time.Millisecond))
	eventually(t, "all are connected", func() bool { return in.count("connected") >= clients })
	if n := in.count("connection failed") + out.count("connection failed"); n > 0 {
		t.Errorf("%d connections failed", n)
	}
}
