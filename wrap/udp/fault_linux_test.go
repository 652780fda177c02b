package udp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A fakeKernel takes the place of sendmmsg. It notes what it is given, and refuses it as it is told to.
type fakeKernel struct {
	t      testing.TB
	sent   []sentDatagram
	most   int // messages taken per call; 0: all
	refuse func(m sentMessage) syscall.Errno
	calls  int
}

type sentDatagram struct {
	to   netip.AddrPort
	data string
}

type sentMessage struct {
	to      netip.AddrPort
	data    []byte
	segment int // 0: none
}

func (f *fakeKernel) sendmmsg(_ uintptr, hs []header) (int, syscall.Errno) {
	f.calls++
	for i := range hs {
		if f.most > 0 && i == f.most {
			return i, 0
		}
		m := f.read(&hs[i])
		if errno := f.refuse(m); errno != 0 {
			if i > 0 {
				return i, 0 // as the kernel: the next call tells
			}
			return -1, errno
		}
		p := Packet{Data: m.data, Segment: m.segment}
		for d := range p.Datagrams() {
			f.sent = append(f.sent, sentDatagram{m.to, string(d)})
		}
	}
	return len(hs), 0
}

// read takes a message apart and checks what the kernel would.
func (f *fakeKernel) read(h *header) (m sentMessage) {
	m.to = (*sockaddr)(unsafe.Pointer(h.Name)).get(&zones{})
	for _, v := range unsafe.Slice(h.Iov, int(h.Iovlen)) {
		m.data = append(m.data, unsafe.Slice(v.Base, int(v.Len))...)
	}
	if h.Control != nil {
		cs, err := unix.ParseSocketControlMessage(unsafe.Slice(h.Control, int(h.Controllen)))
		if err != nil {
			f.t.Fatal(err)
		}
		for _, c := range cs {
			if c.Header.Level == unix.SOL_UDP && c.Header.Type == unix.UDP_SEGMENT {
				m.segment = int(*as[uint16](c.Data))
			}
		}
	}
	n := (&Packet{Data: m.data, Segment: m.segment}).Count()
	if n > 64 || m.segment > 0 && (n < 2 || len(m.data) > MaxDatagram) {
		f.t.Fatalf("%d datagrams, %d bytes in segments of %d in one message", n, len(m.data), m.segment)
	}
	return m
}

// faulty returns a Socket whose datagrams end in f, and the warnings it gives.
func faulty(t testing.TB, f *fakeKernel) (*Socket, *[]error) {
	t.Helper()
	var warnings []error
	o := Options{Offload: OffloadOn, Warn: func(err error) { warnings = append(warnings, err) }}
	s, err := Open("udp", "127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	f.t = t
	s.mover.(*kernel).sender.syscall = f.sendmmsg
	return s, &warnings
}

func with(errno syscall.Errno, when func(m sentMessage) bool) func(m sentMessage) syscall.Errno {
	return func(m sentMessage) syscall.Errno {
		if when(m) {
			return errno
		}
		return 0
	}
}

func cutsAny(m sentMessage) bool { return m.segment > 0 }

// TestFallback has the kernel refuse GSO in every way that it has, and checks that every datagram leaves all the same.
func TestFallback(t *testing.T) {
	a, b := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2")
	batch := []Packet{
		{Addr: a, Data: bytes.Repeat([]byte("one"), 4)},
		{Addr: b, Data: bytes.Repeat([]byte("datagram"), 200), Segment: 8},
		{Addr: b, Data: []byte("12345678")},
		{Addr: b, Data: []byte("short")},
		{Addr: a, Data: nil},
	}
	var want []sentDatagram
	for _, p := range batch {
		for d := range p.Datagrams() {
			want = append(want, sentDatagram{p.Addr, string(d)})
		}
	}
	for _, c := range []struct {
		name   string
		refuse func(m sentMessage) syscall.Errno
		on     bool // GSO, afterwards
	}{
		{"nothing", with(0, cutsAny), true},
		{"no checksums: EIO", with(unix.EIO, cutsAny), false},
		{"the kernel cannot: EINVAL", with(unix.EINVAL, cutsAny), false},
		{"longer than the path allows, but may be cut into fragments: EMSGSIZE", with(unix.EMSGSIZE, cutsAny), true},
	} {
		for most := range 4 {
			t.Run(fmt.Sprintf("%s, %d at a time", c.name, most), func(t *testing.T) {
				f := &fakeKernel{refuse: c.refuse, most: most}
				s, warnings := faulty(t, f)
				for range 3 {
					f.sent = nil
					if n, err := s.WriteBatch(batch); n != len(batch) || err != nil {
						t.Fatalf("%d, %v", n, err)
					}
					if fmt.Sprint(f.sent) != fmt.Sprint(want) {
						t.Fatalf("sent are\n%v, not\n%v", f.sent, want)
					}
				}
				checkFallback(t, s, *warnings, c.on)
			})
		}
	}
}

func checkFallback(t *testing.T, s *Socket, warnings []error, on bool) {
	t.Helper()
	var o *OffloadError
	told := len(warnings) == 1 && errors.As(warnings[0], &o) && o.Offload == "GSO"
	if gso, _ := s.Offloads(); gso != on || told == on || len(warnings) > 1 {
		t.Errorf("GSO is %v; warned: %v", gso, warnings)
	}
	if st := s.Stats(); !on && (st.Fallbacks < 2 || st.GSOSends != 0) {
		t.Errorf("counted: %+v", st)
	}
}

// TestOneBadPeer has the kernel refuse what goes to one peer: others, and GSO, are not to suffer.
func TestOneBadPeer(t *testing.T) {
	good, bad := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2")
	data := bytes.Repeat([]byte("datagram"), 3)
	batch := []Packet{{Addr: good, Data: data, Segment: 8}, {Addr: bad, Data: data, Segment: 8}, {Addr: bad, Data: data},
		{Data: data}, {Addr: netip.MustParseAddrPort("[2001:db8::1]:1"), Data: data}, {Addr: good, Data: data, Segment: 8}}
	for _, errno := range []syscall.Errno{unix.EINVAL, unix.EMSGSIZE, unix.EPERM, unix.ENETUNREACH, unix.ENOBUFS} {
		f := &fakeKernel{refuse: with(errno, func(m sentMessage) bool { return m.to == bad })}
		s, warnings := faulty(t, f)
		n, err := s.WriteBatch(batch)
		if n != len(batch) || !errors.Is(err, errno) || err != batch[1].Err || !errors.Is(batch[2].Err, errno) {
			t.Errorf("%v: n %d, error %v; of the packets: %v, %v", errno, n, err, batch[1].Err, batch[2].Err)
		}
		if !errors.Is(batch[3].Err, errNoAddress) || !errors.Is(batch[4].Err, errFamily) {
			t.Errorf("without address: %v; IPv6: %v", batch[3].Err, batch[4].Err)
		}
		if batch[0].Err != nil || batch[5].Err != nil || len(f.sent) != 6 {
			t.Errorf("%v: good packets: %v, %v; sent: %v", errno, batch[0].Err, batch[5].Err, f.sent)
		}
		var big *TooBigError
		if errors.As(err, &big) != (errno == unix.EMSGSIZE) || big != nil && (big.Addr != bad || big.Size != 8) {
			t.Errorf("%v: %+v", errno, big)
		}
		if gso, _ := s.Offloads(); !gso || len(*warnings) > 0 {
			t.Errorf("%v: GSO has been switched off for the fault of one peer: %v", errno, *warnings)
		}
	}
}

// TestInterrupted has signals arrive.
func TestInterrupted(t *testing.T) {
	n := 0
	f := &fakeKernel{refuse: func(sentMessage) syscall.Errno {
		n++
		return []syscall.Errno{0, unix.EINTR}[n%2]
	}}
	s, _ := faulty(t, f)
	batch := make([]Packet, 50)
	for i := range batch {
		batch[i] = Packet{Addr: addrPort(s.LocalAddr()), Data: []byte{byte(i), byte(i)}[:1+i%2]}
	}
	if n, err := s.WriteBatch(batch); n != len(batch) || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	for i, d := range f.sent {
		if d.data != string(batch[i].Data) {
			t.Fatalf("datagram %d is %x, not %x", i, d.data, batch[i].Data)
		}
	}
}

// TestDeadlineBetween lets a batch be sent in part, and the deadline pass: n must say what is left.
func TestDeadlineBetween(t *testing.T) {
	f := &fakeKernel{}
	f.refuse = func(m sentMessage) syscall.Errno {
		if len(f.sent) >= 3 {
			return unix.EAGAIN
		}
		return 0
	}
	s, _ := faulty(t, f)
	batch := make([]Packet, 10)
	for i := range batch {
		batch[i] = Packet{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(i+1)), Data: []byte("x")}
	}
	f.most = 1
	s.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	if n, err := s.WriteBatch(batch); n != 3 || !isFinal(err) {
		t.Errorf("%d, %v", n, err)
	}
}

// FuzzPlan sends packets of any shape through a kernel that refuses at random, and checks that what it has got are
// the datagrams of the packets that have no error, each once, in order.
func FuzzPlan(f *testing.F) {
	f.Add([]byte{1, 2, 3}, uint64(1), uint8(0))
	f.Add(bytes.Repeat([]byte{200, 200}, 100), uint64(2), uint8(3))
	f.Add(bytes.Repeat([]byte{9, 0, 255, 255}, 50), uint64(3), uint8(1))
	f.Fuzz(func(t *testing.T, shape []byte, seed uint64, most uint8) {
		r := rand.New(rand.NewPCG(seed, 0))
		k := &fakeKernel{most: int(most % 5)}
		errnos := []syscall.Errno{unix.EIO, unix.EINVAL, unix.EMSGSIZE, unix.EPERM, unix.EINTR}
		k.refuse = func(m sentMessage) syscall.Errno {
			if r.IntN(8) > 0 {
				return 0
			}
			return errnos[r.IntN(len(errnos))]
		}
		s, _ := faulty(t, k)
		batch := shaped(shape)
		if n, _ := s.WriteBatch(batch); n != len(batch) {
			t.Fatalf("%d of %d packets were tried", n, len(batch))
		}
		checkSent(t, batch, k.sent)
	})
}

// shaped makes packets of two bytes each: the length of a datagram, and how many with two bits of the address. The last
// may be shorter. Those that are not empty differ.
func shaped(shape []byte) (batch []Packet) {
	for i := 0; i+1 < len(shape) && i < 60; i += 2 {
		to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, shape[i+1] & 3}), 1)
		p := Packet{Addr: to, Segment: int(shape[i])}
		if p.Segment >= 4 {
			p.Data = make([]byte, p.Segment*(1+int(shape[i+1]>>2))-i%4*(p.Segment-4)/4)
		}
		number := uint16(0)
		for d := range p.Datagrams() {
			if len(d) > 0 {
				binary.BigEndian.PutUint16(d, uint16(i))
				binary.BigEndian.PutUint16(d[2:], number)
			}
			number++
		}
		batch = append(batch, p)
	}
	return batch
}

// checkSent checks that of packets without error all is sent, of others a beginning: nothing if it is one datagram.
func checkSent(t *testing.T, batch []Packet, sent []sentDatagram) {
	for i := range batch {
		p := &batch[i]
		if p.Err != nil && p.Count() == 1 {
			continue
		}
		for d := range p.Datagrams() {
			if len(sent) == 0 || sent[0] != (sentDatagram{p.Addr, string(d)}) {
				if p.Err == nil {
					t.Fatalf("packet %d: a datagram of %d bytes is not sent, and there is no error", i, len(d))
				}
				break
			}
			sent = sent[1:]
		}
	}
	if len(sent) > 0 {
		t.Fatalf("%d datagrams more than there were, or in another order", len(sent))
	}
}
