package udp

import (
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A header is one message of recvmmsg and sendmmsg, struct mmsghdr: Go aligns it as C does, since it holds pointers.
type header struct {
	unix.Msghdr
	length uint32 // of what was received
}

// maxBatch is how many messages one system call moves. More gain nothing, and cost memory.
const maxBatch = 128

// A receiver takes batches from the kernel. What it needs for that grows with the batches, up to maxBatch.
type receiver struct {
	*kernel
	mu       sync.Mutex
	joins    joining
	syscall  func(fd uintptr, hs []header) (int, syscall.Errno)
	once     func(fd uintptr) bool // (*receiver).try: made once, it costs no allocation
	headers  []header
	iovs     []unix.Iovec
	names    []sockaddr
	extras   []ancillary
	ps       []Packet // of the call that is under way
	lender   Lender   // likewise; nil: ps has room
	lent     bool     // lender has lent it
	n        int
	errno    syscall.Errno
	lastDrop uint32
}

// joining is what is known of GRO.
type joining uint8

const (
	joinAsk joining = iota // the first batch decides
	joinOff
	joinOn
)

func (r *receiver) init(k *kernel, fd int, o Offload) {
	r.kernel, r.once, r.syscall = k, r.try, recvmmsg
	on, _ := unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO)
	switch {
	case on != 0: // of a socket that was handed down; see decide
		r.joins = joinOn
		r.gro.Store(true)
	case o == OffloadOff:
		r.joins = joinOff
		k.withhold(&OffloadError{"GRO", errAsked}, false)
	case o == OffloadAuto && !runningRelease().joinsWell():
		r.joins = joinOff
		k.withhold(&OffloadError{"GRO", errFaulty}, false)
	}
}

func (r *receiver) read(ps []Packet, l Lender) (n int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ps, r.lender = ps[:min(len(ps), maxBatch)], l
	for n == 0 && err == nil {
		if err = r.raw.Read(r.once); err == nil {
			n, err = r.result()
		}
	}
	if err != nil {
		r.giveBack()
	}
	r.ps, r.lender, r.lent = nil, nil, false
	return n, err
}

// result returns what the last system call has brought. 0, nil: nothing that anybody wants.
func (r *receiver) result() (int, error) {
	switch {
	case r.errno == unix.EMSGSIZE: // ICMP: the path MTU is smaller; who sends too much will be told
		return 0, nil
	case unreachable(r.errno) && !r.peer.connected:
		return 0, nil
	case r.errno != 0:
		r.stats.heard(r.errno)
		return 0, r.errno
	}
	return r.deliver(r.ps), nil
}

// borrow sees to it that there is room in r.ps.
func (r *receiver) borrow(fd uintptr) {
	if r.lender != nil && !r.lent {
		r.lent = true
		r.lender.Lend(r.ps)
	}
	if r.joins == joinAsk {
		r.decide(fd, r.ps)
	}
}

func (r *receiver) giveBack() {
	if r.lent {
		r.lent = false
		r.lender.Return(r.ps)
	}
}

// decide switches GRO on if there is room in ps for all that it joins. It is never switched off again: the kernel would
// hand out what it has joined already without saying so.
func (r *receiver) decide(fd uintptr, ps []Packet) {
	r.joins = joinOff
	for i := range ps {
		if cap(ps[i].Data) < MaxRead {
			r.withhold(&OffloadError{"GRO", errNoRoom}, false)
			return
		}
	}
	if err := unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_GRO, 1); err != nil {
		r.withhold(&OffloadError{"GRO", err}, false)
		return
	}
	r.joins = joinOn
	r.gro.Store(true)
}

// prepare gives the kernel the room in ps.
func (r *receiver) prepare(ps []Packet) {
	r.grow(len(ps))
	for i := range ps {
		room := ps[i].Data[:cap(ps[i].Data)]
		r.iovs[i].Base = unsafe.SliceData(room)
		r.iovs[i].SetLen(len(room))
		h := &r.headers[i]
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(len(r.extras[i].bytes()))
		h.Flags = 0
	}
}

func (r *receiver) grow(n int) {
	if n <= len(r.headers) {
		return
	}
	r.headers, r.iovs = make([]header, n), make([]unix.Iovec, n)
	r.names, r.extras = make([]sockaddr, n), make([]ancillary, n)
	for i := range r.headers {
		h := &r.headers[i]
		h.Name, h.Iov, h.Control = (*byte)(unsafe.Pointer(&r.names[i])), &r.iovs[i], &r.extras[i].bytes()[0]
		h.SetIovlen(1)
	}
}

// forget lets go of the caller's memory.
func (r *receiver) forget() {
	for i := range r.iovs[:len(r.ps)] {
		r.iovs[i].Base = nil
	}
}

// try returns false to wait until there is something to read.
func (r *receiver) try(fd uintptr) bool {
	r.borrow(fd)
	r.prepare(r.ps)
	defer r.forget()
	for {
		r.n, r.errno = r.syscall(fd, r.headers[:len(r.ps)])
		r.stats.syscallsIn.Add(1)
		switch r.errno {
		case unix.EINTR:
		case unix.EAGAIN:
			r.giveBack()
			return false
		default:
			return true
		}
	}
}

// deliver makes Packets of what has come and returns how many.
func (r *receiver) deliver(ps []Packet) (good int) {
	var datagrams, bytes, joins uint64
	for i := range ps[:r.n] {
		p := &ps[i]
		r.fill(i, p)
		if cut := r.headers[i].Flags&unix.MSG_TRUNC != 0; cut && !r.salvage(p) {
			continue
		}
		count := p.Count()
		datagrams += uint64(count)
		bytes += uint64(len(p.Data))
		if count > 1 {
			joins++
		}
		ps[good], ps[i] = ps[i], ps[good]
		good++
	}
	r.stats.datagramsIn.Add(datagrams)
	r.stats.bytesIn.Add(bytes)
	r.stats.groReceives.Add(joins)
	return good
}

func (r *receiver) fill(i int, p *Packet) {
	h := &r.headers[i]
	*p = Packet{Data: p.Data[:h.length], Local: r.local, Addr: r.names[i].get(&r.zones)}
	count, told := r.extras[i].fill(int(h.Controllen), p, &r.zones)
	if told && count != r.lastDrop {
		r.stats.dropped.Add(uint64(count - r.lastDrop)) // it may wrap
		r.lastDrop = count
	}
}

// salvage keeps the whole datagrams of a packet that had too little room, and reports whether there are any.
func (r *receiver) salvage(p *Packet) bool {
	r.stats.truncated.Add(1)
	if p.Segment <= 0 || p.Segment > len(p.Data) {
		return false
	}
	p.Data = p.Data[:len(p.Data)/p.Segment*p.Segment]
	return true
}

func recvmmsg(fd uintptr, hs []header) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&hs[0])), uintptr(len(hs)),
		unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}
