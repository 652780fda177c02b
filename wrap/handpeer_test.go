package wrap_test

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"testing"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// A handPeer is a client made of an engine alone, over length:16be: a test can make it send what a Conn never would.
type handPeer struct {
	t    *testing.T
	conn net.Conn
	eng  bio.Engine
}

func newHandPeer(t *testing.T, conn net.Conn, cfg *tls.Config) *handPeer {
	t.Helper()
	engines, err := bio.TLS(&bio.Config{TLS: cfg})
	if err != nil {
		t.Fatal(err)
	}
	eng, err := engines(frame.Client)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { eng.Abort(nil); conn.Close() })
	return &handPeer{t, conn, eng}
}

// send puts TLS bytes into one frame and sends it.
func (p *handPeer) send(payload []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(payload))), payload...)); err != nil {
		p.t.Errorf("peer: %v", err)
	}
}

// flush sends what the engine has to say.
func (p *handPeer) flush() {
	p.t.Helper()
	if out, _ := p.eng.Flush(nil, 0); len(out) > 0 {
		p.send(out)
	}
}

// receive gives the next frame to the engine and returns the data in it.
func (p *handPeer) receive() (plain []byte, err error) {
	var header [2]byte
	if _, err := io.ReadFull(p.conn, header[:]); err != nil {
		return nil, err
	}
	payload := make([]byte, binary.BigEndian.Uint16(header[:]))
	if _, err := io.ReadFull(p.conn, payload); err != nil {
		return nil, err
	}
	plain, _, err = p.eng.Open(nil, payload)
	return plain, err
}

// shake shakes hands with a server.
func (p *handPeer) shake(s *wrap.Conn) {
	p.t.Helper()
	done := make(chan error, 1)
	go func() { done <- s.Handshake() }()
	for p.flush(); p.eng.State().Phase == bio.PhaseHandshake; p.flush() {
		if _, err := p.receive(); err != nil {
			p.t.Fatalf("peer: %v", err)
		}
	}
	if err := <-done; err != nil {
		p.t.Fatalf("handshake: %v", err)
	}
}
