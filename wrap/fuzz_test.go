package wrap_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// FuzzServer lets a stranger send anything to a server and end the stream. That is never a handshake, and never a panic,
// a long wait or an end in good order.
func FuzzServer(f *testing.F) {
	specs := []string{"", "length:16be", "length:varint", "websocket"}
	client, _ := configs(f)
	engines, err := bio.TLS(&bio.Config{TLS: client})
	if err != nil {
		f.Fatal(err)
	}
	eng, err := engines(frame.Client)
	if err != nil {
		f.Fatal(err)
	}
	hello, _ := eng.Flush(nil, 0)
	eng.Abort(nil)
	upgrade := "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
	f.Add(uint8(0), hello)
	f.Add(uint8(0), append(bytes.Clone(hello), hello...))
	f.Add(uint8(1), append([]byte{byte(len(hello) >> 8), byte(len(hello))}, hello...))
	f.Add(uint8(2), append([]byte{0x80 | byte(len(hello)&0x7f), byte(len(hello) >> 7)}, hello...))
	f.Add(uint8(3), []byte(upgrade+"\x82\x85\x00\x00\x00\x00\x16\x03\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, which uint8, stream []byte) {
		_, server := wrapConfigs(t, specs[int(which)%len(specs)])
		a, b := bio.Pair(1 << 20)
		s := wrap.Server(wrap.Stream(b), server)
		defer s.Close()
		go io.Copy(io.Discard, a)
		if len(stream) > 1<<20 {
			return
		}
		a.Write(stream)
		a.CloseWrite()
		start := time.Now()
		if err := s.Handshake(); err == nil || err == io.EOF {
			t.Errorf("Handshake: %v", err)
		}
		if took := time.Since(start); took > wrap.DefaultHandshakeTimeout/2 {
			t.Errorf("that took %v", took)
		}
	})
}
