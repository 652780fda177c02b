package forward

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/encase-tls/encase/wrap/udp"
)

// BenchmarkDatagrams sends datagrams of 1100 bytes one way through two forwards, each in a process of its own: plain to
// DTLS, and DTLS to plain. No more are on their way than the sockets hold, so that none is lost: a lost one fails.
func BenchmarkDatagrams(b *testing.B) {
	const size, train, ahead = 1100, 40, 160
	var arrived atomic.Int64
	backend := serveUDP(b, func([]byte) []byte { arrived.Add(1); return nil })
	f := certificates(b)
	out := executeConfig(b, forwardTOML("out", anyUDP, f.server("raw"), backend, ""))
	in := executeConfig(b, forwardTOML("in", anyUDP, "", out.address("out"), f.client("raw")))
	s, err := udp.Dial("udp", strings.TrimPrefix(in.address("in"), "udp:"), udp.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	s.WriteBatch([]udp.Packet{{Data: make([]byte, 1)}})
	eventually(b, "the handshake is done", func() bool { return arrived.Load() == 1 })
	data := make([]byte, size*train)
	b.SetBytes(size)
	b.ResetTimer()
	sent := int64(1)
	for range b.N / train {
		s.WriteBatch([]udp.Packet{{Data: data, Segment: size}})
		sent += train
		for sent-arrived.Load() > ahead {
			time.Sleep(20 * time.Microsecond)
		}
	}
	eventually(b, "all have arrived", func() bool { return arrived.Load() == sent })
}
