package forward

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/encase-tls/encase/wrap/datagram/lossy"
	"github.com/encase-tls/encase/wrap/porttest"
)

func addrPort(t testing.TB, address string) netip.AddrPort {
	t.Helper()
	a, err := netip.ParseAddrPort(strings.TrimPrefix(address, "udp:"))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// badNetwork returns a relay in front of an address, and the relay's.
func badNetwork(t testing.TB, address string, c lossy.Conditions) (r *lossy.Relay, front string) {
	t.Helper()
	r, err := lossy.New(addrPort(t, address), c, 7)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, "udp:" + r.Addr().String()
}

// A file is moved in numbered chunks that are repeated until they have come back: what two plain programs do that want
// all of it.
type chunks struct {
	conn        *net.UDPConn
	size, count int
	sent        []time.Time
	done        []bool
	repeated    int
}

// echoed sends every chunk until it has come back as it was.
func (c *chunks) echoed(limit time.Duration) error {
	const window, patience = 250, 30 * time.Millisecond
	c.sent, c.done = make([]time.Time, c.count), make([]bool, c.count)
	buf := make([]byte, 1<<16)
	for first, end := 0, time.Now().Add(limit); first < c.count; {
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d chunks have come back", first, c.count)
		}
		for i := first; i < min(first+window, c.count); i++ {
			if !c.done[i] && time.Since(c.sent[i]) > patience {
				if !c.sent[i].IsZero() {
					c.repeated++
				}
				c.sent[i] = time.Now()
				c.conn.Write(c.chunk(i))
			}
		}
		c.conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		n, err := c.conn.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) || err != nil {
			continue
		}
		i := int(binary.BigEndian.Uint32(buf))
		if n < 4 || i >= c.count || string(buf[:n]) != string(c.chunk(i)) {
			return fmt.Errorf("%d bytes come back that were not sent", n)
		}
		c.done[i] = true
		for first < c.count && c.done[first] {
			first++
		}
	}
	return nil
}

func (c *chunks) chunk(i int) []byte {
	p := make([]byte, c.size)
	for at := 0; at+8 <= len(p); at += 8 {
		binary.BigEndian.PutUint64(p[at:], uint64(i)*2654435761+uint64(at))
	}
	binary.BigEndian.PutUint32(p, uint32(i))
	return p
}

// 10 MB each way between plain programs, over networks that lose, repeat and reorder what travels in DTLS.
func TestDatagramBulk(t *testing.T) {
	t.Parallel()
	f := certificates(t)
	for name, c := range map[string]lossy.Conditions{
		"good":    {},
		"10% bad": {Loss: 0.1, Duplicate: 0.1, Reorder: 0.1},
	} {
		t.Run(name, func(t *testing.T) {
			out := run(t, forwardTOML("out", anyUDP, f.server("length:16be"), serveUDP(t, sameBack), ""))
			relay, front := badNetwork(t, out.address("out"), c)
			in := run(t, forwardTOML("in", anyUDP, "", front, f.client("length:16be")))
			total := 10 << 20
			if raceEnabled {
				total = 1 << 20
			}
			x := chunks{conn: in.udp("in"), size: 1000, count: total / 1000}
			began := time.Now()
			if err := x.echoed(2 * time.Minute); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d MiB each way in %v, %d chunks repeated; %+v", total>>20, time.Since(began).Round(time.Millisecond),
				x.repeated, relay.Stats())
		})
	}
}

// A path that carries 600 bytes: the handshake is cut for it, and what does not fit is counted, with a remedy.
func TestDatagramMTU(t *testing.T) {
	t.Parallel()
	f := certificates(t)
	const mtu = "mtu = 600\n"
	out := run(t, forwardTOML("out", anyUDP, f.server("length:16be")+mtu, serveUDP(t, sameBack), ""))
	relay, front := badNetwork(t, out.address("out"), lossy.Conditions{MTU: 600})
	in := run(t, forwardTOML("in", anyUDP, "", front, f.client("length:16be")+mtu)+"[limits]\nidle_timeout = \"500ms\"\n")
	c := in.udp("in")
	for _, size := range []int{1, 300, 550} {
		message := string(random(size))
		mustAsk(t, c, message, message)
	}
	c.Write(random(900))
	mustAsk(t, c, "still there?", "still there?")
	e := in.find(t, 0, "connection closed", "reason", "idle", "too_long", "1")
	if e.text("too_long") != "1" || !strings.Contains(e.text("remedy"), "up to 900 bytes") {
		t.Errorf("the log says %v", e)
	}
	if n := relay.Stats().TooLong; n > 0 {
		t.Errorf("%d datagrams were longer than 600 bytes", n)
	}
}

// A client that says nothing for a while is forgotten; when it speaks again, it begins anew.
func TestDatagramIdle(t *testing.T) {
	t.Parallel()
	f := certificates(t)
	in, out := dtlsPair(t, f, "raw", serveUDP(t, sameBack), "[limits]\nidle_timeout = \"400ms\"\n")
	c := in.udp("in")
	for i := range 2 {
		mustAsk(t, c, "hello", "hello")
		e := in.find(t, i, "connection closed", "reason", "idle", "by", "encase")
		out.find(t, i, "connection closed")
		if got, _ := e["server_tls"].(map[string]any); got["resumed"] != (i > 0) {
			t.Errorf("connection %d: %v", i, got)
		}
	}
	if n := in.count("connection cut") + out.count("connection cut"); n > 0 {
		t.Errorf("%d connections were cut", n)
	}
}

// Whichever program is killed and started anew, datagrams pass again.
func TestDatagramKilled(t *testing.T) {
	t.Parallel()
	f := certificates(t)
	port := "udp:" + porttest.Free(t)
	outConfig := forwardTOML("out", port, f.server("length:16be"), serveUDP(t, sameBack), "")
	entrance := "udp:" + porttest.Free(t)
	inConfig := forwardTOML("in", entrance, "", port, f.client("length:16be")+"answer_timeout = \"1s\"\n")
	out, in := executeConfig(t, outConfig), executeConfig(t, inConfig)
	out.address("out")
	in.address("in")
	c := dialUDP(t, entrance)
	mustAsk(t, c, "one", "one")

	out.send(syscall.SIGKILL)
	out.wait()
	c.Write([]byte("nobody hears this"))
	out = executeConfig(t, outConfig)
	out.address("out")
	began := time.Now()
	mustAsk(t, c, "two", "two")
	t.Logf("the server was killed: an answer after %v", time.Since(began).Round(time.Millisecond))
	in.find(t, 0, "connection cut", "reason", "silent", "remedy", "begins anew")

	in.send(syscall.SIGKILL)
	in.wait()
	in = executeConfig(t, inConfig)
	in.address("in")
	began = time.Now()
	mustAsk(t, c, "three", "three")
	t.Logf("the client was killed: an answer after %v", time.Since(began).Round(time.Millisecond))
}

// A plain server that is not there yet, or has gone, ends nothing.
func TestDatagramPlainServerAway(t *testing.T) {
	f := certificates(t)
	at := porttest.Free(t)
	in, out := dtlsPair(t, f, "raw", "udp:"+at, "")
	c := in.udp("in")
	for range 10 {
		c.Write([]byte("nobody hears this"))
		time.Sleep(10 * time.Millisecond)
	}
	serveUDPAt(t, at, sameBack)
	mustAsk(t, c, "hello", "hello")
	if n := in.count("connection cut") + out.count("connection cut") + out.count("connection failed"); n > 0 {
		t.Errorf("%d connections ended", n)
	}
}

// What strangers send is counted and changes nothing.
func TestDatagramHostile(t *testing.T) {
	f := certificates(t)
	out := run(t, forwardTOML("out", anyUDP, f.server("length:16be"), serveUDP(t, sameBack), ""))
	relay, front := badNetwork(t, out.address("out"), lossy.Conditions{})
	in := run(t, forwardTOML("in", anyUDP, "", front, f.client("length:16be")))
	c := in.udp("in")
	mustAsk(t, c, "hello", "hello")
	var kept atomic.Pointer[[]byte]
	relay.Tap(func(toServer bool, p []byte) {
		if toServer {
			d := append([]byte(nil), p...)
			kept.Store(&d)
		}
	})
	mustAsk(t, c, "tap", "tap")
	replayed := *kept.Load()
	forged := append([]byte(nil), replayed...)
	forged[len(forged)-1] ^= 1
	binary.BigEndian.PutUint32(forged[9:], 1<<20) // a number that has not come
	alert := []byte{0, 15, 21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40}
	stranger := dialUDP(t, out.address("out"))
	for range 20 {
		for _, p := range [][]byte{replayed, forged, alert, {0, 1}, []byte("what is this?")} {
			relay.ToServer(p)
			stranger.Write(p)
		}
		noise := make([]byte, 300)
		rand.Read(noise)
		stranger.Write(noise)
		relay.ToClients(alert)
		relay.ToClients(noise)
	}
	mustAsk(t, c, "still there?", "still there?")
	if in.count("connection cut")+out.count("connection cut") > 0 {
		t.Error("a connection was cut")
	}
	in.kill()
	e := out.find(t, 0, "connection closed")
	got, _ := e["client_tls"].(map[string]any)
	for _, key := range []string{"forged", "replayed", "plaintext"} {
		if n, _ := got[key].(float64); n < 15 {
			t.Errorf("%s: %v are counted: %v", key, got[key], got)
		}
	}
	out.kill()
	if e := out.find(t, 0, "port closed"); e["not_dtls"] == nil {
		t.Errorf("the log says %v", e)
	}
}

// A client behind a NAT that gives it another address goes on, by its connection ID.
func TestDatagramMoves(t *testing.T) {
	t.Parallel()
	f := certificates(t)
	for ids, connections := range map[bool]int{true: 1, false: 2} {
		t.Run(fmt.Sprint(ids), func(t *testing.T) {
			keys := fmt.Sprintf("connection_ids = %v\n", ids)
			out := run(t, forwardTOML("out", anyUDP, f.server("raw")+keys, serveUDP(t, sameBack), ""))
			relay, front := badNetwork(t, out.address("out"), lossy.Conditions{})
			in := run(t, forwardTOML("in", anyUDP, "", front, f.client("raw")+keys+"answer_timeout = \"500ms\"\n"))
			c := in.udp("in")
			mustAsk(t, c, "before", "before")
			if err := relay.Rebind(); err != nil {
				t.Fatal(err)
			}
			mustAsk(t, c, "after", "after")
			if n := out.count("accepted"); n != connections {
				t.Errorf("%d connections, want %d", n, connections)
			}
		})
	}
}

// Datagrams in, DTLS over TCP in a framing, datagrams out; and DTLS from one framing to another.
func TestDatagramsOverStream(t *testing.T) {
	t.Parallel()
	f := certificates(t)
	const dtls = "dtls = true\n"
	out := run(t, forwardTOML("out", anyPort, dtls+f.server("length:16be"), serveUDP(t, sameBack), ""))
	in := run(t, forwardTOML("in", anyUDP, "", out.address("out"), dtls+f.client("length:16be"))+
		"[limits]\nidle_timeout = \"500ms\"\n")
	c := in.udp("in")
	for _, size := range []int{1, 1200, 9000, 16000} {
		message := string(random(size))
		mustAsk(t, c, message, message)
	}
	x := chunks{conn: c, size: 1000, count: 1000}
	if err := x.echoed(patience); err != nil {
		t.Error(err)
	}
	in.find(t, 0, "connection closed", "reason", "idle")
	e := out.find(t, 0, "connection closed", "by", "client")
	if got, _ := e["client_tls"].(map[string]any); got["version"] != "DTLS 1.2" {
		t.Errorf("the log says %v", e)
	}
}

func TestDTLSRewrap(t *testing.T) {
	f := certificates(t)
	out := run(t, forwardTOML("out", anyUDP, f.server("shim:vxlan,vni=42"), serveUDP(t, sameBack), ""))
	middle := run(t, forwardTOML("middle", anyUDP, f.server("capwap"), out.address("out"), f.client("shim:vxlan,vni=42")))
	in := run(t, forwardTOML("in", anyUDP, "", middle.address("middle"), f.client("capwap")))
	mustAsk(t, in.udp("in"), "hello", "hello")
	in.kill()
	e := middle.find(t, 0, "connection closed", "by", "client")
	if e["client_tls"] == nil || e["server_tls"] == nil {
		t.Errorf("the log says %v", e)
	}
	out.find(t, 0, "connection closed", "by", "client")
}

// More clients than are allowed get nothing, and the log says which limit to raise.
func TestDatagramLimit(t *testing.T) {
	t.Parallel()
	f := certificates(t)
	for name, keys := range map[string]string{"plain": "", "dtls": f.server("raw")} {
		t.Run(name, func(t *testing.T) {
			d := run(t, forwardTOML("a", anyUDP, keys, serveUDP(t, sameBack), "")+
				"[forward.limits]\nmax_connections = 2\nidle_timeout = \"1s\"\n")
			entrance := d
			if name == "dtls" {
				entrance = run(t, forwardTOML("a", anyUDP, "", d.address("a"), f.client("raw"))+
					"[limits]\nidle_timeout = \"1s\"\n")
			}
			one, two, three := entrance.udp("a"), entrance.udp("a"), entrance.udp("a")
			eventually(t, "a third is too many", func() bool { // while the others are there, on a busy machine, too
				mustAsk(t, one, "one", "one")
				mustAsk(t, two, "two", "two")
				three.Write([]byte("three"))
				return d.count("too many connections") > 0
			})
			d.find(t, 0, "too many connections", "limit", "forward.limits.max_connections", "most", "2")
			mustAsk(t, three, "three", "three") // when one has gone
		})
	}
}

// A reload changes what new clients get; those who are there go on.
func TestDatagramReload(t *testing.T) {
	f := certificates(t)
	says := func(word string) string { return serveUDP(t, func([]byte) []byte { return []byte(word) }) }
	red, green := says("red"), says("green")
	text := func(backend string) string { return forwardTOML("out", anyUDP, f.server("raw"), backend, "") }
	d := run(t, text(red))
	in := run(t, forwardTOML("in", anyUDP, "", d.address("out"), f.client("raw")))
	old := in.udp("in")
	mustAsk(t, old, "hello", "red")
	f.issue(t, "server")
	other := certificates(t)
	d.reloadWith(t, text(green))
	mustAsk(t, in.udp("in"), "hello", "green")
	mustAsk(t, old, "hello", "red")

	d.reloadWith(t, forwardTOML("out", anyUDP, other.server("raw"), green, ""))
	in.udp("in").Write([]byte("hello"))
	in.find(t, 0, "connection failed", "remedy", "forward.connect.ca")

	d.reloadWith(t, forwardTOML("out", anyUDP, f.server("length:16be"), green, ""))
	d.find(t, 0, "not reloaded: everything goes on as it was", "error",
		"codec and connection_ids of a UDP address cannot change")
	mustAsk(t, old, "hello", "red")

	d.reloadWith(t, forwardTOML("another", anyUDP, f.server("raw"), green, ""))
	d.find(t, 0, "listening no more", "forward", "out")
	mustAsk(t, old, "hello", "red")
	before := in.count("connected")
	in.udp("in").Write([]byte("hello"))
	time.Sleep(100 * time.Millisecond)
	if in.count("connected") > before {
		t.Error("somebody was let in where nobody listens any more")
	}
}

// After SIGTERM nobody new is let in, and clients that have stopped talking keep nobody waiting.
func TestDatagramDrain(t *testing.T) {
	t.Parallel()
	f := certificates(t)
	d := executeConfig(t, forwardTOML("plain", anyUDP, "", serveUDP(t, sameBack), "")+
		forwardTOML("dtls", anyUDP, f.server("raw"), serveUDP(t, sameBack), ""))
	in := run(t, forwardTOML("in", anyUDP, "", d.address("dtls"), f.client("raw")))
	a, b := d.udp("plain"), in.udp("in")
	mustAsk(t, a, "a", "a")
	mustAsk(t, b, "b", "b")
	d.send(syscall.SIGTERM)
	d.find(t, 0, "stopping", "connections", "2")
	mustAsk(t, a, "again", "again")
	mustAsk(t, b, "again", "again")
	began := time.Now()
	late := d.udp("plain")
	late.Write([]byte("late"))
	d.wait()
	if took := time.Since(began); took > defaultDrain-drainQuiet || d.status != 0 {
		t.Errorf("ended after %v with status %d", took, d.status)
	}
	if d.count("connection cut") > 0 || d.count("accepted") != 2 {
		t.Errorf("a connection was cut, or somebody was let in late")
	}
}

// Who has the port already keeps it alone.
func TestDatagramPortTaken(t *testing.T) {
	f := certificates(t)
	for name, keys := range map[string]string{"plain": "", "dtls": f.server("raw")} {
		t.Run(name, func(t *testing.T) {
			d := run(t, forwardTOML("a", anyUDP, keys, serveUDP(t, sameBack), ""))
			err := tryRun(t, forwardTOML("b", d.address("a"), keys, "udp:127.0.0.1:1", ""))
			if err == nil || !strings.Contains(err.Error(), "ss -lunp shows which (forward \"b\")") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// The flags make the same as a file does.
func TestDatagramFlags(t *testing.T) {
	keys := keyFile(t, "one", "0123456789abcdef", "two", "abcdefghijklmnop")
	out := execute(t, "--accept", anyUDP, "--connect", serveUDP(t, sameBack), "--accept-dtls", "--psk-file", keys,
		"--mtu", "1400")
	in := execute(t, "--accept", anyUDP, "--connect", out.address("forward"), "--connect-dtls", "--psk-file", keys,
		"--psk-identity", "two", "--ciphers", "PSK-AES128-CCM8,PSK-AES128-GCM-SHA256", "--connection-ids=false",
		"--idle-timeout", "300ms")
	mustAsk(t, in.udp("forward"), "hello", "hello")
	in.find(t, 0, "connection closed", "reason", "idle")
	e := out.find(t, 0, "connection closed", "client_tls", "identity:two")
	t.Log(e)
}
