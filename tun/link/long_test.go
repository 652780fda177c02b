package link

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/tun/packet"
	"github.com/encase-tls/encase/tun/wire"
)

// A slit is a connection that keeps what it is given to send, if that is short enough.
type slit struct {
	mtu      int // as it says
	real     int // as it is
	messages [][]byte
}

func (s *slit) MTU() int                         { return s.mtu }
func (s *slit) Ready() bool                      { return true }
func (s *slit) Serve(func([][]byte) error) error { return io.EOF }

func (s *slit) Probe(m []byte) error {
	if len(m) > s.real {
		return &bio.TooLongError{Len: len(m), Limit: s.mtu}
	}
	s.messages = append(s.messages, bytes.Clone(m))
	return nil
}

func (s *slit) WriteBatch(messages [][]byte) (int, error) {
	for i, m := range messages {
		if len(m) > s.real {
			s.mtu = s.real
			return i, &bio.TooLongError{Len: len(m), Limit: s.mtu}
		}
		s.messages = append(s.messages, bytes.Clone(m))
	}
	return len(messages), nil
}

// send has a link send control messages and units, and waits for that.
func (s *slit) send(t *testing.T, cfg Config, units []*Unit, control ...Message) *Datagrams {
	t.Helper()
	q := NewQueue(0, 0)
	for _, m := range control {
		q.PushControl(m)
	}
	for _, u := range units {
		q.Push(u)
	}
	d := NewDatagrams(s, q, nil, nil, cfg)
	done := make(chan error)
	go func() { done <- d.Send() }()
	for d.Stats().Sent < uint64(len(units)) {
		time.Sleep(time.Millisecond)
	}
	q.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return d
}

// udp makes a UDP packet of n bytes in all, which may be fragmented if it is IPv4.
func udp(t *testing.T, v6 bool, n int) (p []byte, u *Unit) {
	t.Helper()
	header := 20
	if v6 {
		header = 40
	}
	p = make([]byte, n)
	for i := range p {
		p[i] = pattern(i)
	}
	ip := append([]byte{0x45, 0, byte(n >> 8), byte(n), 0, 7, 0, 0, 64, packet.UDP, 0, 0}, 10, 0, 0, 1, 10, 0, 0, 2)
	if v6 {
		ip = append([]byte{0x60, 0, 0, 0, byte((n - 40) >> 8), byte(n - 40), packet.UDP, 64},
			append(netip.MustParseAddr("fd66::1").AsSlice(), netip.MustParseAddr("fd66::2").AsSlice()...)...)
	}
	copy(p, ip)
	binary.BigEndian.PutUint16(p[header+4:], uint16(n-header))
	h, err := packet.Parse(p)
	if err != nil {
		t.Fatal(err)
	}
	return p, newUnit(p, h, packet.GSO{})
}

// IPv4 packets become fragments, IPv6 packets and control messages parts, none longer than they may be; what fits stays as
// it is.
func TestLongMessages(t *testing.T) {
	const mtu, safe = 600, 500
	four, u4 := udp(t, false, 1400)
	six, u6 := udp(t, true, 1280)
	small, us := udp(t, true, mtu)
	config := bytes.Repeat([]byte("config"), 300)
	s := &slit{mtu: mtu, real: mtu}
	d := s.send(t, Config{MTU: 1400, Safe: safe}, []*Unit{u4, u6, us}, Message{Type: wire.TypeConfig, Body: config})
	var parts wire.Assembler
	var whole [][]byte
	var fragments []byte
	for _, m := range s.messages {
		f, body, err := wire.ParseDatagram(m)
		switch {
		case err != nil || len(m) > mtu:
			t.Fatalf("a message of %d bytes, %v", len(m), err)
		case f.Control && f.Type == wire.TypePart:
			message, err := parts.Add(body)
			if err != nil {
				t.Fatal(err)
			}
			if message != nil {
				whole = append(whole, message)
			}
			if message != nil && message[0] == byte(wire.TypeConfig) && len(m) > safe {
				t.Errorf("a control message travels in datagrams of %d bytes, %d are safe", len(m), safe)
			}
		case body[0]>>4 == 4:
			fragments = append(fragments, body[20:]...)
		default:
			whole = append(whole, body)
		}
	}
	want := [][]byte{wire.AppendDatagram(nil, wire.TypeConfig, config), six, small}
	if len(whole) != len(want) {
		t.Fatalf("%d messages come together", len(whole))
	}
	for i := range want {
		if !bytes.Equal(whole[i], want[i]) && !(i > 0 && bytes.Equal(whole[i], want[3-i])) { // flows have no order
			t.Errorf("message %d: %d bytes that were not sent", i, len(whole[i]))
		}
	}
	if !bytes.Equal(fragments, four[20:]) {
		t.Errorf("%d bytes in fragments, want %d", len(fragments), len(four)-20)
	}
	if st := d.Stats(); st.Sent != 3 || st.TooBig != 0 {
		t.Errorf("%+v", st)
	}
}

// A path that has become narrower costs the messages that are too long, and no other; a probe tells its length.
func TestMessagesThatDoNotLeave(t *testing.T) {
	var refused []int
	_, long := udp(t, true, 1300)
	short, us := udp(t, false, 100)
	s := &slit{mtu: 1400, real: 1000}
	d := s.send(t, Config{MTU: 1400, Refused: func(probe int) { refused = append(refused, probe) }}, []*Unit{long, us},
		Message{Type: wire.TypeProbe, Body: wire.AppendProbe(nil, wire.Probe{ID: 1, Length: 1400})},
		Message{Type: wire.TypeProbe, Body: wire.AppendProbe(nil, wire.Probe{ID: 2, Length: 1000})})
	if len(s.messages) != 2 || len(s.messages[0]) != 1000 || !bytes.Equal(s.messages[1], short) {
		t.Errorf("%d messages have left", len(s.messages))
	}
	if len(refused) != 2 || refused[0] != 1400 || refused[1] != 0 || d.Stats().TooBig != 1 {
		t.Errorf("refused are %v, %+v", refused, d.Stats())
	}
}

func pattern(i int) byte { return byte(i * 7 >> 3) }
