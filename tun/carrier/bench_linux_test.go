package carrier

import (
	"context"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/tun/tuntest"
	"github.com/encase-tls/encase/wrap/datagram"
	"github.com/encase-tls/encase/wrap/udp"
)

// BenchmarkOneWay moves messages of DTLS through a router, over UDP and in frames as IP packets. Few are on the way at
// a time, so none gets lost.
func BenchmarkOneWay(b *testing.B) {
	frame.PoisonReleased(false) // it costs time
	defer frame.PoisonReleased(true)
	for _, c := range []struct {
		name string
		make func(*rig) session
	}{
		{"udp", func(r *rig) session { return r.overUDP(udp.OffloadAuto) }},
		{"udp without offloads", func(r *rig) session { return r.overUDP(udp.OffloadOff) }},
		{"frames", func(r *rig) session { a, b := r.both(); return r.session(a, b, b4) }},
	} {
		b.Run(c.name, func(b *testing.B) { oneWay(b, c.make(newRig(b))) })
	}
}

// overUDP is session over UDP, on the same way.
func (r *rig) overUDP(offload udp.Offload) session {
	r.t.Helper()
	clientCfg, serverCfg := r.configs()
	options := udp.Options{Offload: offload, ReadBuffer: DefaultQueue, WriteBuffer: DefaultQueue}
	clientCfg.Socket, serverCfg.Socket = options, options
	var l *datagram.Listener
	r.b.Do(func() (err error) {
		l, err = datagram.Listen("udp", "10.2.0.2:4433", serverCfg, datagram.ListenOptions{})
		return err
	})
	r.t.Cleanup(func() { l.Close() })
	var client net.Conn
	r.a.Do(func() (err error) {
		ctx, cancel := context.WithTimeout(context.Background(), tuntest.Patience)
		defer cancel()
		client, err = datagram.Dial(ctx, "udp", "10.2.0.2:4433", clientCfg)
		return err
	})
	r.t.Cleanup(func() { client.Close() })
	server, err := l.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	return session{client, server}
}

func oneWay(b *testing.B, s session) {
	const size, many, ahead = 1300, 32, 128
	c, r := s.client.(*datagram.Conn), s.server.(*datagram.Conn)
	c.SetDeadline(time.Time{})
	r.SetDeadline(time.Now().Add(time.Minute))
	batch := make([][]byte, many)
	for i := range batch {
		batch[i] = make([]byte, size)
	}
	total := (b.N + many - 1) / many * many
	tokens := make(chan struct{}, ahead/many)
	done := make(chan int)
	go func() {
		room := make([][]byte, 64)
		for i := range room {
			room[i] = make([]byte, size)
		}
		n := 0
		for n < total {
			m, err := r.ReadBatch(room)
			if err != nil {
				break
			}
			for range (n+m)/many - n/many {
				<-tokens
			}
			n += m
		}
		done <- n
	}()
	b.SetBytes(size)
	b.ResetTimer()
	before := cpuTime()
	for n := 0; n < total; n += many {
		tokens <- struct{}{}
		if _, err := c.WriteBatch(batch); err != nil {
			b.Fatal(err)
		}
	}
	n := <-done
	b.ReportMetric(float64(cpuTime()-before)/float64(total), "cpu-ns/op")
	if n != total {
		b.Fatalf("%d messages of %d arrive", n, total)
	}
}

// cpuTime returns what this process has used, in the kernel, too, where packets are routed on its behalf.
func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(unix.TimevalToNsec(u.Utime) + unix.TimevalToNsec(u.Stime))
}
