package bio_test

import (
	"bytes"
	"crypto/tls"
	"strings"
	"testing"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// FuzzOpen overwrites a part of what a good peer sends, from byte at on, and gives that to an engine in pieces. how
// chooses the role and the version of the engine, whether the handshake is done, and the pieces.
func FuzzOpen(f *testing.F) {
	for how := range uint8(8) {
		f.Add(how, uint16(0), []byte{})
		f.Add(how, uint16(5), []byte{0})
		f.Add(how, uint16(0), []byte("GET / HTTP/1.1\r\n\r\n"))
		f.Add(how, uint16(1<<15), []byte{21, 3, 3, 0, 2, 2, 40})                          // an alert behind it
		f.Add(how, uint16(1<<15), append([]byte{20, 3, 3, 0, 1, 1}, make([]byte, 30)...)) // change_cipher_spec
		f.Add(how|0xf0, uint16(3), []byte{0x40, 1})                                       // a longer record
	}
	f.Fuzz(func(t *testing.T, how uint8, at uint16, data []byte) {
		version := uint16(tls.VersionTLS12 + int(how>>1&1))
		c, s := newPair(t, clientConfig(version), serverConfig(version))
		good, victim := c, s
		if how&1 != 0 {
			good, victim = s, c
		}
		genuine := strings.Repeat("what the peer really says ", 20)
		if how&4 != 0 {
			shake(t, c, s)
			out, _, err := good.Seal(nil, []byte(genuine))
			if err != nil {
				t.Fatal(err)
			}
			splice(victim, out, at, data, how)
		} else {
			hello, _ := c.Flush(nil, 0)
			if s.give(hello); victim == s {
				victim = newPeer(t, frame.Server, &bio.Config{TLS: serverConfig(version)})
				splice(victim, hello, at, data, how)
			} else {
				flight, _ := s.Flush(nil, 0)
				splice(victim, flight, at, data, how)
			}
		}
		checkVictim(t, victim, genuine)
	})
}

// splice gives src, overwritten with data from byte at on, to p.
func splice(p *peer, src []byte, at uint16, data []byte, how uint8) {
	src = bytes.Clone(src)
	from := min(int(at), len(src))
	src = append(src[:from], append(data, src[min(from+len(data), len(src)):]...)...)
	piece := 1 + int(how>>4)*100
	if how>>4 == 0xf {
		piece = len(src) + 1
	}
	for len(src) > 0 && p.err == nil {
		n := min(piece, len(src))
		p.give(src[:n])
		src = src[n:]
	}
}

// checkVictim checks what holds whatever was given.
func checkVictim(t *testing.T, p *peer, genuine string) {
	if !strings.HasPrefix(genuine, string(p.got)) {
		t.Errorf("the peer has not sent %q", p.got)
	}
	if len(p.rest) > 0 && p.err == nil {
		t.Errorf("%d bytes are not taken, and there is no error", len(p.rest))
	}
	out, more := p.Flush(nil, 0)
	if len(out) > 64<<10 || more {
		t.Errorf("it flushes %d bytes, more: %v", len(out), more)
	}
	if failed := p.State().Phase == bio.PhaseFailed; failed != (p.err != nil) {
		t.Errorf("the phase is %v, the error %v", p.State().Phase, p.err)
	}
	err := p.TransportEOF()
	if closed := p.State().PeerClosed; closed != (err == nil) {
		t.Errorf("TransportEOF returned %v, the peer has closed: %v", err, closed)
	}
}
