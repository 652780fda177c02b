package udp

import (
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A sender gives batches to the kernel. It plans as many messages as fit, sends them, and looks at the one that the
// kernel refused, if any, before it plans on from there. What it needs grows with the batches, up to maxBatch.
type sender struct {
	*kernel
	mu      sync.Mutex
	syscall func(fd uintptr, hs []header) (int, syscall.Errno)
	once    func(fd uintptr) bool // (*sender).try: made once, it costs no allocation
	plan    plan
	done    int // messages of the plan that are sent
	errno   syscall.Errno

	single  position // up to here GSO is not used: it was refused
	suspect bool     // single began with an EINVAL, which GSO may have caused
	again   bool     // the message was refused once, it may be for an ICMP error, which is of an earlier datagram
}

// A position is a datagram in a batch.
type position struct {
	packet int
	offset int // in Data
}

func (p position) before(q position) bool {
	return p.packet < q.packet || p.packet == q.packet && p.offset < q.offset
}

func (s *sender) init(k *kernel) {
	s.kernel, s.once, s.syscall = k, s.try, sendmmsg
	s.plan.kernel = k
}

func (s *sender) write(ps []Packet) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := position{}
	s.single, s.suspect, s.again = at, false, false
	for at.packet < len(ps) {
		if err := s.check(&ps[at.packet]); err != nil {
			s.stats.refuse(&ps[at.packet], ps[at.packet].Addr, err)
			at = position{packet: at.packet + 1}
			continue
		}
		s.plan.make(s, ps, at)
		err := s.send()
		at = s.plan.after(at, s.done)
		if err != nil {
			return at.packet, err
		}
		s.acquit(at)
		if s.errno != 0 {
			at = s.refused(ps, at, s.plan.messages[s.done])
		}
	}
	s.acquit(at)
	return len(ps), nil
}

// check returns why p cannot be sent, whatever the kernel would say.
func (s *sender) check(p *Packet) error {
	to, local := p.Addr.Addr(), p.Local
	if err := s.peer.check(unmapped(p.Addr)); err != nil {
		return err
	}
	if s.peer.connected {
		to = s.peer.addr.Addr()
	}
	if four := to.Unmap().Is4(); !four && !s.six || local.IsValid() && local.Unmap().Is4() != four {
		return errFamily
	}
	return nil
}

// send sends the messages of the plan until one is refused.
func (s *sender) send() error {
	s.done, s.errno = 0, 0
	err := s.raw.Write(s.once)
	if s.done > 0 {
		s.again = false
	}
	s.plan.count(s.done, s.stats)
	s.plan.forget()
	return err
}

// try returns false to wait until there is room.
func (s *sender) try(fd uintptr) bool {
	for s.done < len(s.plan.messages) {
		n, errno := s.syscall(fd, s.plan.headers[s.done:len(s.plan.messages)])
		s.stats.syscallsOut.Add(1)
		switch errno {
		case 0:
			s.done += n
		case unix.EAGAIN:
			return false
		case unix.EINTR:
		default:
			s.errno = errno
			return true
		}
	}
	return true
}

// refused handles the message that the kernel refused with s.errno and returns where to go on.
func (s *sender) refused(ps []Packet, at position, m message) position {
	p := &ps[at.packet]
	switch {
	case s.peer.connected && !s.again && (unreachable(s.errno) || s.errno == unix.EMSGSIZE):
		s.again = true
		s.stats.heard(s.errno)
		return at
	case m.datagrams > 1:
		s.withoutGSO(m)
		return at
	case s.errno == unix.EMSGSIZE:
		s.stats.tooBig.Add(1)
		p.Err = &TooBigError{Addr: s.target(p), Size: m.bytes, MTU: s.mtu(ps, at.packet, m.bytes), Err: s.errno}
	default:
		s.stats.refuse(p, s.target(p), s.errno)
	}
	s.again, s.suspect = false, false
	return position{packet: at.packet + 1} // what else p holds would fare no better
}

// withoutGSO has the datagrams of m sent one by one. GSO is refused with EIO where the network device has no
// checksums, or IPsec is in the way: that stays so. It is refused with EINVAL or EMSGSIZE if the segments are longer
// than the path allows, which only these packets may be, or with EINVAL for reasons of the kernel's own.
func (s *sender) withoutGSO(m message) {
	s.stats.fallbacks.Add(1)
	s.single = m.end
	s.suspect = s.errno == unix.EINVAL
	if s.errno == unix.EIO {
		s.stopGSO(s.errno)
	}
}

// acquit ends the doubt about GSO: if all that it refused with EINVAL went well without, it was GSO.
func (s *sender) acquit(at position) {
	if s.suspect && !at.before(s.single) {
		s.suspect = false
		s.stopGSO(unix.EINVAL)
	}
}

func (s *sender) stopGSO(why error) {
	if s.gso.Load() {
		s.stats.fallbacks.Add(1)
		s.withhold(&OffloadError{"GSO", why}, true)
	}
}

// sendmmsg does not wait, so Go's scheduler need not hear of it, nor of recvmmsg: that would cost much of the time of a
// datagram that comes alone, and some of all others.
func sendmmsg(fd uintptr, hs []header) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&hs[0])), uintptr(len(hs)),
		unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}
