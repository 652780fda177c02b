package frame

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"
)

// makeFrames returns count frames from the pool, each of size bytes that no other frame has, and the stream they make.
func makeFrames(count, size int) (frames []*Buf, stream []byte) {
	for i := range count {
		b := Get(8, size)
		p := b.Append(size)
		for k := range p {
			p[k] = byte(i + k>>8 + 3*k)
		}
		frames = append(frames, b)
		stream = append(stream, p...)
	}
	return frames, stream
}

// recorder is a stream that keeps every Write apart.
type recorder struct{ writes [][]byte }

func (r *recorder) Write(p []byte) (int, error) {
	r.writes = append(r.writes, bytes.Clone(p))
	return len(p), nil
}

func TestWriterOneWritePerFrame(t *testing.T) {
	rec := new(recorder)
	w := NewWriter(rec)
	frames, stream := makeFrames(5, 100)
	frames = slices.Insert(frames, 2, Get(0, 1)) // empty: nothing to write
	sent, err := w.Write(frames)
	if sent != 6 || err != nil {
		t.Fatalf("%d sent, %v", sent, err)
	}
	if len(rec.writes) != 5 || !bytes.Equal(slices.Concat(rec.writes...), stream) {
		t.Errorf("%d writes, want one per frame that is not empty, with its bytes", len(rec.writes))
	}
	for i, b := range frames {
		if !b.released {
			t.Errorf("frame %d was not released", i)
		}
	}
	if sent, err := w.Write(nil); sent != 0 || err != nil {
		t.Errorf("no frames: %d sent, %v", sent, err)
	}
}

// faulty is a stream that accepts a random part of some writes, and sometimes does not even admit it.
type faulty struct {
	bytes.Buffer
	rnd  *rand.Rand
	deny bool // write short without an error
}

var errFaulty = errors.New("test: the stream has a fault")

func (f *faulty) Write(p []byte) (int, error) {
	switch f.rnd.IntN(5) {
	case 0: // nothing, or all of it, or what lies between
		n, _ := f.Buffer.Write(p[:f.rnd.IntN(len(p)+1)])
		return n, errFaulty
	case 1:
		if f.deny {
			return f.Buffer.Write(p[:f.rnd.IntN(len(p))])
		}
	}
	return f.Buffer.Write(p)
}

// TestWriterResumes writes over streams that fail at random and goes on with what is left, until all is written.
func TestWriterResumes(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		dst := &faulty{rnd: rnd, deny: seed%2 == 0}
		frames, stream := makeFrames(1+rnd.IntN(12), 1+rnd.IntN(300))
		all := slices.Clone(frames)
		w := NewWriter(dst)
		for tries := 0; len(frames) > 0; tries++ {
			sent, err := w.Write(frames)
			if err != nil && !errors.Is(err, errFaulty) && err != io.ErrShortWrite || tries == 1000 {
				t.Fatalf("seed %d, try %d: %v", seed, tries, err)
			}
			if err == nil && sent != len(frames) {
				t.Fatalf("seed %d: %d of %d frames sent, and no error", seed, sent, len(frames))
			}
			frames = frames[sent:]
			for i, b := range all {
				if want := i < len(all)-len(frames); b.released != want {
					t.Fatalf("seed %d: frame %d released: %v, want %v", seed, i, b.released, want)
				}
			}
		}
		if !bytes.Equal(dst.Bytes(), stream) {
			t.Fatalf("seed %d: the stream differs from the frames", seed)
		}
	}
}

type writeFunc func(p []byte) (int, error)

func (f writeFunc) Write(p []byte) (int, error) { return f(p) }

func TestWriterImpossibleCount(t *testing.T) {
	for _, wrong := range []int{-1, 101} {
		w := NewWriter(writeFunc(func(p []byte) (int, error) { return wrong, nil }))
		frames, stream := makeFrames(2, 100)
		sent, err := w.Write(frames)
		if sent != 0 || err == nil || !bytes.Equal(frames[0].Bytes(), stream[:100]) {
			t.Errorf("count %d of 100: %d sent, %v", wrong, sent, err)
		}
	}
}

// connect returns both ends of a connection over the network's loopback, or a socket file.
func connect(t *testing.T, network string) (client, server net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network != "tcp" {
		address = filepath.Join(t.TempDir(), "socket")
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err = net.Dial(network, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	server, err = ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	limit := time.Now().Add(time.Minute)
	client.SetDeadline(limit)
	server.SetDeadline(limit)
	return client, server
}

func TestWriterOverSockets(t *testing.T) {
	tests := []struct{ count, size int }{
		{1, 1350},
		{300, 1350},
		{1025, 10}, // one more than fit into a writev
		{3000, 100},
		{40, 100_000},
	}
	for _, network := range []string{"tcp", "unix"} {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s/%dx%d", network, tt.count, tt.size), func(t *testing.T) {
				client, server := connect(t, network)
				frames, stream := makeFrames(tt.count, tt.size)
				received := receive(server)
				sent, err := NewWriter(client).Write(frames)
				if sent != tt.count || err != nil {
					t.Fatalf("%d of %d sent, %v", sent, tt.count, err)
				}
				client.Close()
				if !bytes.Equal(<-received, stream) {
					t.Error("the stream differs from the frames")
				}
			})
		}
	}
}

// receive reads conn to its end and tells what it read.
func receive(conn net.Conn) <-chan []byte {
	done := make(chan []byte, 1)
	go func() {
		p, _ := io.ReadAll(conn)
		done <- p
	}()
	return done
}

// TestWriterOneSystemCall writes to a socket that keeps every system call apart.
func TestWriterOneSystemCall(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has sequenced packets on Unix sockets")
	}
	client, server := connect(t, "unixpacket")
	frames, stream := makeFrames(300, 50)
	if sent, err := NewWriter(client).Write(frames); sent != 300 || err != nil {
		t.Fatalf("%d of 300 sent, %v", sent, err)
	}
	p := make([]byte, 2*len(stream))
	n, err := server.Read(p)
	if err != nil || !bytes.Equal(p[:n], stream) {
		t.Errorf("the first packet has %d of %d bytes, %v", n, len(stream), err)
	}
}

// masked is a connection that changes what is written. By embedding it has the methods of net.TCPConn, also the hidden
// one that net.Buffers looks for.
type masked struct{ *net.TCPConn }

func (m masked) Write(p []byte) (int, error) {
	p = bytes.Clone(p)
	for i := range p {
		p[i] ^= 0x5a
	}
	return m.TCPConn.Write(p)
}

func TestWriterRespectsEmbedding(t *testing.T) {
	client, server := connect(t, "tcp")
	frames, stream := makeFrames(3, 100)
	received := receive(server)
	if sent, err := NewWriter(masked{client.(*net.TCPConn)}).Write(frames); sent != 3 || err != nil {
		t.Fatalf("%d of 3 sent, %v", sent, err)
	}
	client.Close()
	got := <-received
	for i := range got {
		got[i] ^= 0x5a
	}
	if !bytes.Equal(got, stream) {
		t.Error("the Writer has passed by the Write of the stream")
	}
}

// TestWriterResumesOverTCP lets writes time out in the middle of a frame while the peer reads slowly.
func TestWriterResumesOverTCP(t *testing.T) {
	client, server := connect(t, "tcp")
	client.(*net.TCPConn).SetWriteBuffer(16 << 10)
	server.(*net.TCPConn).SetReadBuffer(16 << 10)
	frames, stream := makeFrames(60, 100_000)
	w := NewWriter(client)
	var received <-chan []byte
	cuts := 0
	for end := time.Now().Add(time.Minute); len(frames) > 0; {
		client.SetWriteDeadline(time.Now().Add(3 * time.Millisecond))
		sent, err := w.Write(frames)
		frames = frames[sent:]
		if err == nil {
			continue
		}
		wantError(t, err, os.ErrDeadlineExceeded)
		if frames[0].Len() < 100_000 {
			cuts++
		}
		if received == nil {
			received = receive(server)
		}
		if time.Now().After(end) {
			t.Fatal("no end of timeouts")
		}
	}
	client.Close()
	if cuts == 0 {
		t.Error("no write was cut inside a frame: the test has tested nothing")
	}
	if !bytes.Equal(<-received, stream) {
		t.Error("the stream differs from the frames")
	}
}

func TestWriterAllocates(t *testing.T) {
	quick(t)
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	client, server := connect(t, "unix")
	go drain(server)
	for name, dst := range map[string]io.Writer{"any stream": io.Discard, "socket": client} {
		t.Run(name, func(t *testing.T) {
			w := NewWriter(dst)
			frames := make([]*Buf, 20)
			write := func() {
				for range 50 {
					for i := range frames {
						frames[i] = Get(8, 100)
						frames[i].Append(100)
					}
					if _, err := w.Write(frames); err != nil {
						t.Fatal(err)
					}
				}
			}
			write()
			wantNoAllocs(t, 10, write)
		})
	}
}

func drain(conn net.Conn) {
	p := make([]byte, 64<<10)
	for {
		if _, err := conn.Read(p); err != nil {
			return
		}
	}
}

// buffersWriter counts what it is given at once.
type buffersWriter struct {
	bytes.Buffer
	calls []int
}

func (w *buffersWriter) WriteBuffers(bufs *net.Buffers) (int64, error) {
	w.calls = append(w.calls, len(*bufs))
	return bufs.WriteTo(&w.Buffer)
}

func TestWriterToBuffersWriter(t *testing.T) {
	var dst buffersWriter
	frames := []*Buf{NewBuf(0, []byte("one "), 0), NewBuf(0, []byte("two "), 0), NewBuf(0, []byte("three"), 0)}
	if n, err := NewWriter(&dst).Write(frames); n != len(frames) || err != nil {
		t.Fatalf("%d frames, %v", n, err)
	}
	if got := dst.String(); got != "one two three" || len(dst.calls) != 1 || dst.calls[0] != 3 {
		t.Errorf("%q in calls of %v frames, want all three in one", got, dst.calls)
	}
}
