package datagram

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/encase-tls/encase/wrap"
)

// TestServe hands over what waits for Read and then what comes, in order, through codecs of every kind.
func TestServe(t *testing.T) {
	for _, codec := range []string{"", "length:16be", "channeldata:udp", "capwap"} {
		t.Run(codec, func(t *testing.T) {
			client, server := configs(t, codec)
			c, s := connect(t, client, server)
			const early, late = 3, 500
			writeNumbers(t, c, 0, early)
			eventually(t, "the first messages wait", func() bool { return s.Stats().MessagesIn == early })

			var next atomic.Uint32
			ended := make(chan error, 1)
			go func() {
				ended <- s.Serve(func(messages [][]byte) error {
					for _, m := range messages {
						if n := binary.BigEndian.Uint32(m); n != next.Load() {
							return fmt.Errorf("message %d comes where %d belongs", n, next.Load())
						}
						clear(m) // they may be changed
						next.Add(1)
					}
					return nil
				})
			}()
			for i := early; i < early+late; i += 10 {
				writeNumbers(t, c, i, 10)
				eventually(t, "ten more have come", func() bool { return int(next.Load()) >= i+10 || len(ended) > 0 })
			}
			c.Close()
			if err := <-ended; err != io.EOF || next.Load() != early+late {
				t.Errorf("Serve returns %v after %d messages", err, next.Load())
			}
		})
	}
}

func writeNumbers(t *testing.T, c *Conn, from, count int) {
	t.Helper()
	var batch [][]byte
	for i := range count {
		batch = append(batch, binary.BigEndian.AppendUint32(nil, uint32(from+i)))
	}
	if n, err := c.WriteBatch(batch); n != count || err != nil {
		t.Fatalf("WriteBatch: %d, %v", n, err)
	}
}

// TestServeEnds has Serve return what its function returned, or what Read would, and call the function no more.
func TestServeEnds(t *testing.T) {
	client, server := configs(t, "length:16be")
	refusal := errors.New("enough")
	calls := 0
	tests := []struct {
		name string
		end  func(c, s *Conn)
		want error
	}{
		{"its function refuses", func(c, _ *Conn) { c.Write([]byte("one")); c.Write([]byte("two")) }, refusal},
		{"the peer closes", func(c, _ *Conn) { c.Close() }, io.EOF},
		{"it is closed", func(_, s *Conn) { s.Close() }, net.ErrClosed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, s := connect(t, client, server)
			calls = 0
			ended := make(chan error, 1)
			go func() { ended <- s.Serve(func([][]byte) error { calls++; return refusal }) }()
			time.Sleep(10 * time.Millisecond)
			test.end(c, s)
			err := <-ended
			if !errors.Is(err, test.want) || calls > 1 {
				t.Errorf("Serve returns %v after %d calls, want %v", err, calls, test.want)
			}
		})
	}
	server.Handler = func(*Conn, []byte) {}
	_, s := connect(t, client, server)
	if err := s.Serve(nil); err == nil {
		t.Error("Serve goes beside a Handler")
	}
}

// TestReady tells when a Write would wait or fail.
func TestReady(t *testing.T) {
	client, server := configs(t, "")
	h := newHost(t, server)
	sock, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(h.addr()))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Client(wrap.Datagram(sock, nil, 0), client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Ready() {
		t.Error("it is ready before the handshake")
	}
	if err := c.Handshake(); err != nil || !c.Ready() {
		t.Errorf("it is not ready after the handshake: %v", err)
	}
	if c.Close(); c.Ready() {
		t.Error("it is ready after Close")
	}
}
