package openvpn_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs/openvpn"
	"github.com/encase-tls/encase/frame"
)

// captured returns what two ends of OpenVPN 2.6.14 sent to each other, packet by packet: who, and the bytes.
func captured(t *testing.T, name string) (from []frame.Role, packets [][]byte) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		who, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
		p, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		role := frame.Client
		if who == "server" {
			role = frame.Server
		}
		for stream := strings.HasPrefix(name, "tcp"); stream && len(p) > 0; {
			n := 2 + int(binary.BigEndian.Uint16(p))
			from, packets = append(from, role), append(packets, p[:n:n])
			p = p[n:]
		}
		if len(p) > 0 {
			from, packets = append(from, role), append(packets, p)
		}
	}
	return from, packets
}

// A replay is one of our ends in the place of OpenVPN's in a capture: it has its session id, hears its peer's packets
// and says what it said.
type replay struct {
	m     frame.Machine
	sent  [][]byte
	tls   []byte // received
	side  int
	clock time.Time
}

func (r *replay) do(t *testing.T, f func([]frame.Event) ([]frame.Event, error)) {
	t.Helper()
	ev, err := r.m.(frame.Timed).Tick(nil, r.clock)
	if err == nil {
		ev, err = f(ev)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range ev {
		switch e.Kind {
		case frame.Out:
			r.sent = append(r.sent, bytes.Clone(e.Buf.Bytes()))
		case frame.In:
			r.tls = append(r.tls, e.Buf.Bytes()...)
		case frame.Side:
			r.side++
		default:
			t.Fatalf("event %v", e.Kind)
		}
		e.Buf.Release()
	}
}

// Both ends understand what OpenVPN's ends sent to each other, and send packets with the same numbers and contents.
func TestCaptures(t *testing.T) {
	for _, name := range []string{"udp-none", "tcp-none", "udp-tls-crypt", "tcp-tls-crypt"} {
		t.Run(name, func(t *testing.T) {
			from, packets := captured(t, name)
			var ends [2]*replay
			for role := range ends {
				ends[role] = newReplay(t, name, frame.Role(role), sessionOf(name, from, packets, frame.Role(role)))
			}
			data := 0
			for i, p := range packets {
				if isData(name, p) {
					data++
				}
				hears, said := ends[from[i].Peer()], ends[from[i]]
				had := len(hears.tls)
				b := frame.NewBuf(0, p, 0)
				hears.do(t, func(ev []frame.Event) ([]frame.Event, error) { return hears.m.Recv(ev, b) })
				if payload := hears.tls[had:]; len(payload) > 0 {
					b := frame.NewBuf(0, payload, 0)
					said.do(t, func(ev []frame.Event) ([]frame.Event, error) { return said.m.Send(ev, b, true) })
				}
			}
			if side := ends[0].side + ends[1].side; side != data || data == 0 {
				t.Errorf("%d packets of the data channel, %d are side traffic", data, side)
			}
			for role, e := range ends {
				if n := records(e.tls); n < 2 {
					t.Errorf("what the %v gets are %d records of TLS and a rest", frame.Role(role), n)
				}
				if name == "udp-none" {
					sameControl(t, frame.Role(role), e.sent, from, packets)
				}
			}
		})
	}
}

func newReplay(t *testing.T, name string, role frame.Role, session [8]byte) *replay {
	t.Helper()
	o := openvpn.Options{TCP: strings.HasPrefix(name, "tcp"), SessionID: session, MTU: 1500}
	if strings.HasSuffix(name, "tls-crypt") {
		text, err := os.ReadFile("testdata/" + name + ".key")
		if err != nil {
			t.Fatal(err)
		}
		if o.Crypt, err = openvpn.ParseStaticKey(text); err != nil {
			t.Fatal(err)
		}
	}
	mk, err := openvpn.New(o)
	if err != nil {
		t.Fatal(err)
	}
	m, err := mk(role)
	if err != nil {
		t.Fatal(err)
	}
	r := &replay{m: m, clock: time.Unix(1e9, 0)}
	r.do(t, m.Start)
	return r
}

// sessionOf returns the session id of an end in a capture.
func sessionOf(name string, from []frame.Role, packets [][]byte, role frame.Role) (id [8]byte) {
	for i, p := range packets {
		if from[i] == role {
			copy(id[:], packetOf(name, p)[1:])
			return id
		}
	}
	return id
}

// packetOf returns p without the length that TCP puts in front.
func packetOf(name string, p []byte) []byte {
	if strings.HasPrefix(name, "tcp") {
		return p[2:]
	}
	return p
}

func isData(name string, p []byte) bool {
	op := packetOf(name, p)[0] >> 3
	return op == 6 || op == 9
}

// records returns how many whole records of TLS p is, 0 if it is anything else.
func records(p []byte) (n int) {
	for len(p) >= 5 && len(p) >= 5+int(binary.BigEndian.Uint16(p[3:])) {
		p = p[5+int(binary.BigEndian.Uint16(p[3:])):]
		n++
	}
	if len(p) > 0 {
		return 0
	}
	return n
}

// sameControl compares the control packets with those that OpenVPN sent in the same role, but for acknowledgements:
// there each end decides for itself when and how often.
func sameControl(t *testing.T, role frame.Role, sent [][]byte, from []frame.Role, packets [][]byte) {
	t.Helper()
	var theirs, ours [][]byte
	for i, p := range packets {
		if from[i] == role && !isData("udp", p) {
			theirs = appendControl(theirs, p)
		}
	}
	for _, p := range sent {
		ours = appendControl(ours, p)
	}
	if len(ours) != len(theirs) {
		t.Fatalf("the %v sends %d control packets, OpenVPN %d", role, len(ours), len(theirs))
	}
	for i := range ours {
		if !bytes.Equal(ours[i], theirs[i]) {
			t.Errorf("the %v: packet %d is %.40x, of OpenVPN %.40x", role, i, ours[i], theirs[i])
		}
	}
}

// appendControl appends a control packet without its acknowledgements, unless it has nothing else.
func appendControl(list [][]byte, p []byte) [][]byte {
	if p[0]>>3 == 5 {
		return list
	}
	n := 10 + 4*int(p[9])
	if p[9] > 0 {
		n += 8
	}
	return append(list, append(bytes.Clone(p[:9]), p[n:]...))
}
