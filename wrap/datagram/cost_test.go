package datagram

import (
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/frame"
)

// A wire is an output in memory: what one Conn sends the other gets, from a goroutine.
type wire struct {
	to   *Conn
	work chan []byte
	quit chan struct{}
}

func newWire() *wire { return &wire{work: make(chan []byte, 100), quit: make(chan struct{})} }

func (w *wire) limits() frame.Limits { return frame.Limits{Max: maxPayload} }
func (w *wire) start(*Conn)          {}
func (w *wire) full() bool           { return false }
func (w *wire) taken()               {}
func (w *wire) end(*Conn) error      { return nil }
func (w *wire) stop()                { close(w.quit) }

func (w *wire) send(_ *Conn, frames []*frame.Buf) error {
	for _, b := range frames {
		select {
		case w.work <- append([]byte(nil), b.Bytes()...):
		case <-w.quit:
		}
	}
	releaseAll(frames)
	return nil
}

func (w *wire) run() {
	for {
		select {
		case d := <-w.work:
			w.to.deliver(d, 0, endpoint{})
		case <-w.quit:
			return
		}
	}
}

type wireAddr struct{}

func (wireAddr) LocalAddr() net.Addr  { return &net.UDPAddr{} }
func (wireAddr) RemoteAddr() net.Addr { return &net.UDPAddr{} }

// TestIdleMemory makes connections and forgets their clients: what a server pays for one that waits.
func TestIdleMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has memory of its own")
	}
	const count, most = 500, 6 << 10
	for _, codec := range []string{"", "length:16be", "channeldata:udp"} {
		client, server := configs(t, codec)
		client.Stack = pskStack(dtls.Options{CIDLen: 8})
		server.Stack = pskStack(dtls.Options{CIDLen: 8})
		client.TLS, server.TLS = nil, nil
		table := make(map[netip.AddrPort]*Conn)
		idleServer(t, client, server)
		before, goroutines := heapInUse(), runtime.NumGoroutine()
		for i := range count {
			addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 5684)
			table[addr] = idleServer(t, client, server)
		}
		deadline := time.Now().Add(5 * time.Second)
		for runtime.NumGoroutine() > goroutines && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
		each := (heapInUse() - before) / count
		t.Logf("codec %q: %d bytes for each connection", codec, each)
		if each > most {
			t.Errorf("codec %q: %d bytes for a connection that waits, want at most %d", codec, each, most)
		}
		if n := runtime.NumGoroutine() - goroutines; n > 0 {
			t.Errorf("codec %q: %d goroutines for %d connections", codec, n, count)
		}
		runtime.KeepAlive(table)
	}
}

// TestIdleDialed: a dialled Conn that waits has no room to receive into; what its socket does can be seen.
func TestIdleDialed(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has memory of its own")
	}
	if runtime.GOOS != "linux" {
		t.Skip("only Linux gives back what was lent while it waits")
	}
	const count, most = 100, 24 << 10 // half of which is the stack of the goroutine that receives
	client, server := configs(t, "")
	server.Handler = echo
	l := listen(t, server, ListenOptions{})
	mustEcho(t, dial(t, l, client), "what is made once")
	before := settled()
	conns := make([]*Conn, count)
	for i := range conns {
		conns[i] = dial(t, l, client)
		mustEcho(t, conns[i], "hello")
	}
	each := int(settled().memory-before.memory) / count
	t.Logf("%d bytes for both ends of a connection", each)
	if each > most {
		t.Errorf("%d bytes for both ends of a connection that waits, want at most %d", each, most)
	}
	for _, c := range conns {
		if s := c.Stats().Socket; s.DatagramsIn < 2 || s.DatagramsOut < 3 || s.BytesOut == 0 {
			t.Fatalf("its socket has counted %+v", s)
		}
	}
}

// idleServer returns the server's end of a connection that has moved a message.
func idleServer(t *testing.T, client, server *Config) *Conn {
	t.Helper()
	wc, ws := newWire(), newWire()
	c, err := newConn(client, frame.Client, wc, wireAddr{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newConn(server, frame.Server, ws, wireAddr{}, nil, &endpoint{})
	if err != nil {
		t.Fatal(err)
	}
	wc.to, ws.to = s, c
	go wc.run()
	go ws.run()
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	c.Write([]byte("ping"))
	if n, err := s.Read(buf); err != nil || string(buf[:n]) != "ping" {
		t.Fatal(n, err)
	}
	c.closed.Store(true) // it is gone, and does not say so
	wc.stop()
	ws.stop()
	s.out = &wire{} // without a channel
	return s
}

func heapInUse() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// TestAllocations: in steady state nothing is allocated for a message, in batches nor one by one.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, codec := range []string{"", "length:16be", "channeldata:udp"} {
		client, server := configs(t, codec)
		c, s := connect(t, client, server)
		message, buf := noise(1000, 1), make([]byte, 2000)
		t.Run("one by one/"+codec, func(t *testing.T) {
			allocates(t, func() {
				if _, err := c.Write(message); err != nil {
					t.Fatal(err)
				}
				if _, err := s.Read(buf); err != nil {
					t.Fatal(err)
				}
			})
		})
		t.Run("batches/"+codec, func(t *testing.T) {
			batch, got := make([][]byte, 10), make([][]byte, 10)
			for i := range batch {
				batch[i], got[i] = message, make([]byte, 2000)
			}
			allocates(t, func() {
				if _, err := c.WriteBatch(batch); err != nil {
					t.Fatal(err)
				}
				for n := 0; n < len(batch); {
					m, err := s.ReadBatch(got)
					if err != nil {
						t.Fatal(err)
					}
					n += m
				}
			})
		})
	}
}

// allocates fails if f does, which is called often; now and then the garbage collector empties a pool.
func allocates(t *testing.T, f func()) {
	t.Helper()
	for range 10 {
		f()
	}
	if n := testing.AllocsPerRun(300, f); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}
