package datagram

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// stateTest is a server under test and a peer made of an engine alone, which can send what a Conn never would.
type stateTest struct {
	t    *testing.T
	conn *Conn
	err  chan error // of the handshake
	wire stateWire

	mu      sync.Mutex
	eng     bio.Engine
	last    [][]byte // flight of the peer that is answered
	sent    [][]byte // by the peer, since the server last said something of the handshake
	heard   [][]byte // payloads from the server
	holds   bool     // whether all but the first are held back
	held    [][]byte
	plain   []byte
	events  bio.Events
	changed chan struct{} // something has happened at the peer

	before stateCount // the event
}

// reach brings a new connection into a state in which an event shall happen.
func reach(t *testing.T, state, event, carrier string) *stateTest {
	t.Helper()
	// A flight that nobody asked to be repeated must not be taken for one that was.
	client, server := configs(t, stateCodec, func(o *dtls.Options) { o.FlightInterval = 10 * time.Second })
	engine, err := client.engine(frame.Client, 1200)
	if err != nil {
		t.Fatal(err)
	}
	near, wire := wires(t, carrier)
	s := &stateTest{t: t, wire: wire, eng: engine, err: make(chan error, 4), changed: make(chan struct{}, 1)}
	server.HandshakeTimeout, server.Linger = 20*time.Second, 100*time.Millisecond
	switch event {
	case "timeout":
		server.HandshakeTimeout = time.Second
	case "silence":
		server.IdleTimeout = time.Second
	}
	if s.conn, err = Server(near, server); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var pumps sync.WaitGroup
	pumps.Go(func() { s.pump() })
	pumps.Go(func() { s.attend(stop) })
	t.Cleanup(func() {
		s.conn.Close()
		near.Close()
		close(stop)
		if w, ok := wire.(*datagramWire); ok {
			w.far.Close()
		} else {
			wire.(*streamWire).far.Close()
		}
		pumps.Wait()
		engine.Abort(nil)
	})
	if state == "opening" {
		return s
	}
	go func() { s.err <- s.conn.Handshake() }()
	if state == "shaking" {
		s.halfShake()
		return s
	}
	s.shake()
	if state == "peer-closed" {
		s.happen("close-notify")
		s.expect("end-of-data")
	}
	return s
}

// pump gives the server's frames to the peer.
func (s *stateTest) pump() {
	for {
		payload, err := s.wire.recv()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.heard = append(s.heard, bytes.Clone(payload))
		if s.holds && len(s.heard) > 1 {
			s.held = append(s.held, payload)
		} else {
			s.take(payload)
		}
		s.mu.Unlock()
		s.note()
	}
}

// take gives the peer's engine what the server has sent, and sends what it answers.
func (s *stateTest) take(payload []byte) {
	if s.eng.State().Phase == bio.PhaseHandshake && len(s.sent) > 0 {
		s.last, s.sent = s.sent, nil
	}
	plain, st, _ := s.eng.Open(nil, payload)
	s.plain = append(s.plain, plain...)
	s.events |= st.Events
	s.flush()
}

// attend sends what the peer's engine has to say unasked.
func (s *stateTest) attend(stop <-chan struct{}) {
	for {
		select {
		case <-s.eng.(bio.Notifier).Ready():
			s.mu.Lock()
			s.eng.Tick(time.Now())
			s.flush()
			s.mu.Unlock()
			s.note()
		case <-stop:
			return
		}
	}
}

func (s *stateTest) note() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// flush sends what the peer's engine has to say.
func (s *stateTest) flush() {
	for more := true; more; {
		var out []byte
		if out, more = s.eng.Flush(nil, 0); len(out) > 0 {
			s.sent = append(s.sent, out)
			s.send(out)
		}
	}
}

func (s *stateTest) send(payload []byte) { s.wire.send(stateFrame(payload)) }

// halfShake begins the handshake and holds the server's long flight back.
func (s *stateTest) halfShake() {
	s.t.Helper()
	s.mu.Lock()
	s.holds = true
	s.flush()
	s.mu.Unlock()
	s.await(func() bool { return slices.ContainsFunc(s.held, endsFlight) })
}

// endsFlight reports whether ServerHelloDone is among the records of a datagram.
func endsFlight(p []byte) bool {
	const header, handshake, done = 13, 22, 14
	for len(p) > header {
		end := min(header+int(p[11])<<8+int(p[12]), len(p))
		if p[0] == handshake && p[header] == done {
			return true
		}
		p = p[end:]
	}
	return false
}

// shake lets the peer shake hands and waits until both are done.
func (s *stateTest) shake() {
	s.t.Helper()
	s.mu.Lock()
	s.flush()
	held := s.held
	s.holds, s.held = false, nil
	for _, payload := range held {
		s.take(payload)
	}
	s.mu.Unlock()
	select {
	case err := <-s.err:
		if err != nil {
			s.t.Fatalf("handshake: %v", err)
		}
	case <-time.After(patience):
		s.t.Fatal("no handshake")
	}
	s.await(func() bool { return s.eng.State().Phase == bio.PhaseOpen })
}

// await waits until the peer has seen something.
func (s *stateTest) await(seen func() bool) {
	s.t.Helper()
	timeout := time.After(patience)
	for {
		s.mu.Lock()
		ok := seen()
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-s.changed:
		case <-timeout:
			s.t.Fatal("the peer waits in vain")
		}
	}
}

// A stateWire is the peer's side of a carrier.
type stateWire interface {
	send(frame []byte)
	recv() (payload []byte, err error)
	end() // tells the server that the carrier has ended
}

// stateCodec has a constant first byte, so that a frame can be malformed.
const stateCodec = "length:16be,prefix=d7"

func stateFrame(payload []byte) []byte {
	return append([]byte{0xd7, byte(len(payload) >> 8), byte(len(payload))}, payload...)
}

// datagramWire is UDP, but the server's socket can end.
type datagramWire struct {
	far    *net.UDPConn
	ending *endingConn
}

func (w *datagramWire) send(f []byte) { w.far.Write(f) }
func (w *datagramWire) end()          { close(w.ending.eof); w.ending.SetReadDeadline(time.Now()) }

func (w *datagramWire) recv() ([]byte, error) {
	buf := make([]byte, 1<<16)
	n, err := w.far.Read(buf)
	if err != nil || n < 3 {
		return nil, err
	}
	return buf[3:n], nil
}

// An endingConn is a socket whose reader gets io.EOF at its end: sockets of other kinds than UDP do that.
type endingConn struct {
	*net.UDPConn
	eof chan struct{}
}

func (c *endingConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := c.UDPConn.ReadFrom(p)
	select {
	case <-c.eof:
		return 0, nil, io.EOF
	default:
		return n, from, err
	}
}

// streamWire is TCP.
type streamWire struct {
	far *net.TCPConn
	r   *bufio.Reader
}

func (w *streamWire) send(f []byte) { w.far.Write(f) }
func (w *streamWire) end()          { w.far.CloseWrite() }

func (w *streamWire) recv() ([]byte, error) {
	head := make([]byte, 3)
	if _, err := io.ReadFull(w.r, head); err != nil {
		return nil, err
	}
	payload := make([]byte, int(head[1])<<8|int(head[2]))
	_, err := io.ReadFull(w.r, payload)
	return payload, err
}

// wires returns both sides of a carrier.
func wires(t *testing.T, kind string) (wrap.Carrier, stateWire) {
	t.Helper()
	if kind == "stream" {
		near, far := tcpPair(t)
		return wrap.Stream(near), &streamWire{far, bufio.NewReader(far)}
	}
	near, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	far, err := net.DialUDP("udp4", nil, near.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	ending := &endingConn{near, make(chan struct{})}
	return wrap.Datagram(struct{ net.PacketConn }{ending}, far.LocalAddr(), 0), &datagramWire{far, ending}
}

func tcpPair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return s.(*net.TCPConn), c.(*net.TCPConn)
}
