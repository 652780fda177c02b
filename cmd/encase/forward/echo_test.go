package forward

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"testing"
)

func random(n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(p)
	return p
}

// pair runs two forwards in a row, plain to wrapped and wrapped to plain, in front of backend.
func pair(t testing.TB, f testFiles, codec, backend string, limits string) (d *daemon, entrance string) {
	t.Helper()
	out := run(t, forwardTOML("out", anyPort, f.server(codec), backend, "")+limits)
	d = run(t, forwardTOML("in", anyPort, "", out.address("out"), f.client(codec))+limits)
	return d, d.address("in")
}

// Everything that a client sends through two forwards comes back, and the ends of both directions with it.
func TestEcho(t *testing.T) {
	f := certificates(t)
	for _, codec := range []string{"raw", "length:16be", "length:varint", "websocket", "slip", "cobs"} {
		for _, size := range []int{0, 1, 1400, 16384, 16385, 300_000, 2_000_000} {
			t.Run(fmt.Sprintf("%s/%d", codec, size), func(t *testing.T) {
				d, entrance := pair(t, f, codec, serveTCP(t, echo), "")
				data := random(size)
				back, err := roundTrip(dial(t, entrance), data)
				if err != nil || !bytes.Equal(back, data) {
					t.Fatalf("%d bytes came back, %v; want the %d that were sent", len(back), err, size)
				}
				e := d.find(t, 0, "connection closed", "forward", "in")
				if e.text("from_client") != fmt.Sprint(float64(size)) || e.text("from_server") != fmt.Sprint(float64(size)) ||
					e.text("by") != "client" {
					t.Errorf("the log says %v; want %d bytes each way and an end by the client", e, size)
				}
			})
		}
	}
}

// Short messages go back and forth without waiting for more.
func TestPingPong(t *testing.T) {
	f := certificates(t)
	_, entrance := pair(t, f, "length:16be", serveTCP(t, echo), "")
	c := dial(t, entrance)
	for i := range 200 {
		line := fmt.Sprint("line ", i)
		if got := sayLine(t, c, line); got != line {
			t.Fatalf("%q came back for %q", got, line)
		}
	}
}

func TestEchoUnix(t *testing.T) {
	f := certificates(t)
	dir := t.TempDir()
	sock := func(name string) string { return filepath.Join(dir, name) }
	backend, err := net.Listen("unix", sock("backend"))
	if err != nil {
		t.Fatal(err)
	}
	serveListener(t, backend, echo)
	const codec = "length:32le"
	run(t, forwardTOML("in", "unix:"+sock("in"), "", "unix:"+sock("middle"), f.client(codec))+
		forwardTOML("out", "unix:"+sock("middle"), f.server(codec), "unix:"+sock("backend"), ""))
	data := random(1_000_000)
	back, err := roundTrip(dial(t, sock("in")), data)
	if err != nil || !bytes.Equal(back, data) {
		t.Fatalf("%d bytes came back, %v; want the %d that were sent", len(back), err, len(data))
	}
}

// One side ends; the other goes on for as long as it likes.
func TestHalfClose(t *testing.T) {
	f := certificates(t)
	ended := make(chan struct{})
	_, entrance := pair(t, f, "length:16be", serveTCP(t, func(c net.Conn) {
		defer c.Close()
		if _, err := bytes.NewBuffer(nil).ReadFrom(c); err != nil {
			t.Errorf("the server got %v, want the client's end", err)
		}
		close(ended)
		c.Write([]byte("said after the client's end"))
	}), "")
	c := dial(t, entrance).(*net.TCPConn)
	c.CloseWrite()
	<-ended
	var got bytes.Buffer
	if _, err := got.ReadFrom(c); err != nil || got.String() != "said after the client's end" {
		t.Fatalf("the client got %q, %v", got.String(), err)
	}
}

// Many connections at once keep their data apart.
func TestManyConnections(t *testing.T) {
	f := certificates(t)
	_, entrance := pair(t, f, "length:16be", serveTCP(t, echo), "")
	var all sync.WaitGroup
	for i := range 50 {
		c := dial(t, entrance)
		all.Go(func() {
			data := random(10_000 + i)
			if back, err := roundTrip(c, data); err != nil || !bytes.Equal(back, data) {
				t.Errorf("connection %d: %d bytes came back, %v", i, len(back), err)
			}
		})
	}
	all.Wait()
}

// Wrapped to wrapped: TLS in one framing goes on as TLS in another.
func TestRewrap(t *testing.T) {
	f := certificates(t)
	d := run(t, forwardTOML("out", anyPort, f.server("slip"), serveTCP(t, echo), ""))
	middle := run(t, forwardTOML("middle", anyPort, f.server("length:16be"), d.address("out"), f.client("slip")))
	in := run(t, forwardTOML("in", anyPort, "", middle.address("middle"), f.client("length:16be")))
	data := random(1_000_000)
	back, err := roundTrip(in.dial("in"), data)
	if err != nil || !bytes.Equal(back, data) {
		t.Fatalf("%d bytes came back, %v; want the %d that were sent", len(back), err, len(data))
	}
	e := middle.find(t, 0, "connection closed")
	for _, side := range []string{"client_tls", "server_tls"} {
		if tls, _ := e[side].(map[string]any); tls["version"] != "TLS 1.3" {
			t.Errorf("%s in the log is %v, want TLS 1.3", side, e[side])
		}
	}
}
