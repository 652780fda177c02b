package bench

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/codecs"
	_ "github.com/encase-tls/encase/codecs/desc"
	"github.com/encase-tls/encase/wrap/datagram"
	"github.com/encase-tls/encase/wrap/udp"
)

const (
	// header is a description of 8 bytes, as many protocols have them.
	header = "desc:magic 32 = 0x7a1c4e09; flags 16 any 0; length 16 len payload; payload"

	// ahead is how many datagrams may be on the way: as many as a receive buffer holds that nobody has enlarged.
	ahead = 128

	receiveBuffer = 4 << 20
)

// BenchmarkUDP sends messages in one direction over UDP on loopback, with AES-128-GCM, and none may get lost. encase
// puts a header of 8 bytes in front of each record; pion has none. encase-batch: WriteBatch and ReadBatch of 32;
// encase-mmsg: the same without GSO and GRO. encase: Write and Read. pion: Write and Read of pion, over sockets of the
// same kind.
//
// sys-out/op and sys-in/op are the system calls that send and receive one message. Those of encase include calls that
// found nothing, and those that send are counted in the other direction, afterwards; those of pion do not.
func BenchmarkUDP(b *testing.B) {
	runEach(b, []contestant{
		{"encase", func(b *testing.B) { udpEncase(b, 1, udp.OffloadAuto) }},
		{"encase-batch", func(b *testing.B) { udpEncase(b, batchSize, udp.OffloadAuto) }},
		{"encase-mmsg", func(b *testing.B) { udpEncase(b, batchSize, udp.OffloadOff) }},
		{"pion", udpPion},
	})
}

// A transfer moves messages one way.
type transfer struct {
	write func() (n int, err error) // of messages
	read  func() (n int, err error)
}

// run moves count messages, or some more.
func (t transfer) run(b *testing.B, count int) {
	var received atomic.Int64
	moved, failed := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		for n := 0; n < count; {
			m, err := t.read()
			if err != nil {
				failed <- err
				return
			}
			n += m
			received.Add(int64(m))
			select {
			case moved <- struct{}{}:
			default:
			}
		}
		failed <- nil
	}()
	for sent := 0; sent < count; {
		if sent-int(received.Load()) > ahead-batchSize {
			select {
			case <-moved:
			case <-time.After(10 * time.Second):
				b.Fatalf("of %d messages %d have arrived", sent, received.Load())
			}
			continue
		}
		n, err := t.write()
		if sent += n; err != nil {
			b.Fatal(err)
		}
	}
	select {
	case err := <-failed:
		check(b, err)
	case <-time.After(10 * time.Second):
		b.Fatalf("of %d messages %d have arrived", count, received.Load())
	}
}

// measure times a transfer of b.N messages.
func (t transfer) measure(b *testing.B) {
	t.run(b, 10*batchSize)
	b.ResetTimer()
	t.run(b, b.N)
	b.StopTimer()
}

func udpEncase(b *testing.B, many int, offload udp.Offload) {
	client, server, l := dialEncase(b, offload)
	sockets := func() udp.Stats { return l.Stats().Sockets[0] }
	before := sockets()
	between(client, server, many).measure(b)
	received := sockets()
	back := min(b.N, 20_000)
	between(server, client, many).run(b, back)
	b.ReportMetric(rate(received.SyscallsIn-before.SyscallsIn, received.DatagramsIn-before.DatagramsIn), "sys-in/op")
	sent := sockets()
	b.ReportMetric(rate(sent.SyscallsOut-received.SyscallsOut, sent.DatagramsOut-received.DatagramsOut), "sys-out/op")
}

func rate(calls, datagrams uint64) float64 { return float64(calls) / float64(max(datagrams, 1)) }

// between returns what moves messages from one Conn to another, by batches if many is more than one.
func between(from, to *datagram.Conn, many int) transfer {
	messages, room := newBatch(), newBatch()
	if many > 1 {
		return transfer{
			write: func() (int, error) { return from.WriteBatch(messages[:many]) },
			read:  func() (int, error) { return to.ReadBatch(room) },
		}
	}
	return transfer{
		write: func() (int, error) { _, err := from.Write(messages[0]); return 1, err },
		read:  func() (int, error) { _, err := to.Read(room[0]); return 1, err },
	}
}

// dialEncase returns both ends of a connection through a Listener.
func dialEncase(b *testing.B, offload udp.Offload) (client, server *datagram.Conn, l *datagram.Listener) {
	b.Helper()
	c := newCredentials(b)
	codec, err := codecs.Parse(header)
	check(b, err)
	config := func() *datagram.Config {
		return &datagram.Config{
			Stack: dtls.Stack(dtls.Options{}), Codec: codec, MTU: 1472, Queue: 4 * ahead * dtlsMessage,
			Socket: udp.Options{ReadBuffer: receiveBuffer, Offload: offload},
		}
	}
	cc, sc := config(), config()
	cc.TLS, sc.TLS = c.client, c.server
	l, err = datagram.Listen("udp", "127.0.0.1:0", sc, datagram.ListenOptions{})
	check(b, err)
	b.Cleanup(func() { l.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client, err = datagram.Dial(ctx, "udp", l.Addr().String(), cc)
	check(b, err)
	b.Cleanup(func() { client.Close() })
	accepted, err := l.Accept()
	check(b, err)
	return client, accepted.(*datagram.Conn), l
}

func udpPion(b *testing.B) {
	near, far := newCounted(b), newCounted(b)
	client, server := newCredentials(b).pions(b, near, far)
	b.Cleanup(func() { client.Close(); server.Close() })
	p, room := make([]byte, dtlsMessage), make([]byte, 2048)
	t := transfer{
		write: func() (int, error) { _, err := client.Write(p); return 1, err },
		read:  func() (int, error) { _, err := server.Read(room); return 1, err },
	}
	t.measure(b)
	b.ReportMetric(1, "sys-in/op")
	b.ReportMetric(float64(near.writes.Load())/float64(far.datagrams.Load()), "sys-out/op")
}

// A counted is a UDP socket that counts what goes through it.
type counted struct {
	*net.UDPConn
	writes, datagrams atomic.Uint64
}

func newCounted(b *testing.B) *counted {
	b.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	check(b, err)
	check(b, conn.SetReadBuffer(receiveBuffer))
	return &counted{UDPConn: conn}
}

func (c *counted) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := c.UDPConn.ReadFrom(p)
	if err == nil {
		c.datagrams.Add(1)
	}
	return n, from, err
}

func (c *counted) WriteTo(p []byte, to net.Addr) (int, error) {
	c.writes.Add(1)
	return c.UDPConn.WriteTo(p, to)
}
