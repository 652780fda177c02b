package device

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/encase-tls/encase/tun/packet"
)

// A Queue is one of the queues of a Device. One goroutine at a time reads, one writes.
type Queue struct {
	d     *Device
	file  *os.File
	raw   syscall.RawConn
	in    transfer
	out   transfer
	vnet  [Headroom]byte // of WriteSuper
	cut   *cutter        // nil until it is needed
	stats counters
}

// A transfer is a system call that is made when the queue is ready for it. Its function is made once: it allocates
// nothing.
type transfer struct {
	buf   []byte
	iov   []unix.Iovec
	wait  bool
	n     int
	errno syscall.Errno
	do    func(fd uintptr) bool
}

func newQueue(d *Device, file *os.File) (*Queue, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("device: %s: %w", d.name, err)
	}
	if err := neverWaits(raw); err != nil {
		file.Close()
		return nil, fmt.Errorf("device: %s: %w", d.name, err)
	}
	q := &Queue{d: d, file: file, raw: raw}
	q.in.do = func(fd uintptr) bool { return q.in.run(unix.SYS_READ, fd) }
	q.out.do = func(fd uintptr) bool {
		if len(q.out.iov) > 0 {
			return q.out.run(unix.SYS_WRITEV, fd)
		}
		return q.out.run(unix.SYS_WRITE, fd)
	}
	return q, nil
}

var errBlocking = errors.New("its descriptor is in blocking mode; set O_NONBLOCK before os.NewFile is given it")

func neverWaits(raw syscall.RawConn) (err error) {
	failed := raw.Control(func(fd uintptr) {
		var flags int
		if flags, err = unix.FcntlInt(fd, unix.F_GETFL, 0); err == nil && flags&unix.O_NONBLOCK == 0 {
			err = errBlocking
		}
	})
	return cmp.Or(failed, err)
}

// run makes the call and reports whether it is done with. The call never waits, so Go's scheduler need not hear of it:
// hearing of one wakes a thread of its own in a process that was idle, which costs a packet that comes alone much of its
// time.
func (t *transfer) run(call, fd uintptr) bool {
	at, length := unsafe.Pointer(unsafe.SliceData(t.buf)), len(t.buf)
	if len(t.iov) > 0 {
		at, length = unsafe.Pointer(unsafe.SliceData(t.iov)), len(t.iov)
	}
	for {
		n, _, errno := syscall.RawSyscall(call, fd, uintptr(at), uintptr(length))
		if errno == syscall.EINTR {
			continue
		}
		t.n, t.errno = int(n), errno
		return errno != syscall.EAGAIN || !t.wait
	}
}

// Stats returns a snapshot. It may be called at any time.
func (q *Queue) Stats() Stats { return q.stats.snapshot() }

// Read waits for a packet and reads it into buf, from offset on, which must be at least Headroom and leave Room behind
// it. The bytes in front of offset are as they were afterwards: packets can lie side by side, with less than Headroom
// between them. What makes no sense is counted and passed over.
func (q *Queue) Read(buf []byte, offset int) (Packet, error) { return q.read(buf, offset, true) }

// TryRead is Read that does not wait: it returns ErrNone if there is no packet.
func (q *Queue) TryRead(buf []byte, offset int) (Packet, error) { return q.read(buf, offset, false) }

func (q *Queue) read(buf []byte, offset int, wait bool) (Packet, error) {
	start := offset - Headroom
	var before [Headroom]byte
	copy(before[:], buf[start:offset])
	for {
		q.in.buf, q.in.wait = buf[start:offset+Room], wait
		err := q.raw.Read(q.in.do)
		q.in.buf = nil
		switch {
		case err != nil:
			return Packet{}, q.closed(err)
		case q.in.errno == syscall.EAGAIN:
			return Packet{}, ErrNone
		case q.in.errno != 0:
			return Packet{}, fmt.Errorf("device: %s: read: %w", q.d.name, q.in.errno)
		}
		if q.in.n < Headroom {
			return Packet{}, fmt.Errorf("device: %s: read: %d bytes, which is less than a header", q.d.name, q.in.n)
		}
		n := q.in.n - Headroom
		p, err := parse(buf[start:offset], buf[offset:offset+n])
		copy(buf[start:offset], before[:])
		if err == nil {
			q.stats.read.Add(1)
			q.stats.readBytes.Add(uint64(n))
			return p, nil
		}
		q.stats.readErrors.Add(1)
	}
}

// Write writes a packet that lies in buf from offset on, which must be at least Headroom: the bytes in front of offset
// are overwritten. h is what packet.Parse found in it, and g must have passed packet.GSO.Check. If the kernel refuses a
// super-packet, now or before, it gets the pieces; what it refuses otherwise is dropped, counted, and an error that is
// not for ever: the next packet may be written.
func (q *Queue) Write(buf []byte, offset int, h *packet.Header, g packet.GSO) error {
	p := buf[offset:]
	if q.refuses(g.Kind) {
		return q.writeCut(p, nil, h, g)
	}
	put(buf[offset-Headroom:], h, g)
	q.out.buf = buf[offset-Headroom:]
	err := q.write(len(p))
	q.out.buf = nil
	if q.refused(err, g.Kind) {
		return q.writeCut(p, nil, h, g)
	}
	return err
}

// WriteSuper writes what a packet.Coalescer has joined; for errors see Write.
func (q *Queue) WriteSuper(s *packet.Super) error {
	if q.refuses(s.GSO.Kind) {
		return q.writeCut(s.First, s.Rest, &s.Header, s.GSO)
	}
	put(q.vnet[:], &s.Header, s.GSO)
	err := q.write(q.gather(s))
	clear(q.out.iov)
	q.out.iov = q.out.iov[:0]
	if q.refused(err, s.GSO.Kind) {
		return q.writeCut(s.First, s.Rest, &s.Header, s.GSO)
	}
	return err
}

// gather lists the pieces of s for one system call, and returns the length of the packet.
func (q *Queue) gather(s *packet.Super) int {
	q.out.iov = appendPiece(q.out.iov[:0], q.vnet[:])
	q.out.iov = appendPiece(q.out.iov, s.First)
	total := len(s.First)
	for _, p := range s.Rest {
		q.out.iov = appendPiece(q.out.iov, p)
		total += len(p)
	}
	return total
}

func appendPiece(iov []unix.Iovec, p []byte) []unix.Iovec {
	v := unix.Iovec{Base: unsafe.SliceData(p)}
	v.SetLen(len(p))
	return append(iov, v)
}

// closed returns the error of a call that was not made: the queue is closed, which os does not say in its own words.
func (q *Queue) closed(err error) error {
	return fmt.Errorf("device: %s: %w: %v", q.d.name, os.ErrClosed, err)
}

// write makes the system call for a packet of n bytes.
func (q *Queue) write(n int) error {
	q.out.wait = true
	err := q.raw.Write(q.out.do)
	switch {
	case err != nil:
		return q.closed(err)
	case q.out.errno == 0:
		q.stats.written.Add(1)
		q.stats.writtenBytes.Add(uint64(n))
		return nil
	case q.out.errno == syscall.EIO:
		q.stats.down.Add(1)
		return fmt.Errorf("device: %s: write: %w (ip link set %[1]s up)", q.d.name, ErrDown)
	case q.out.errno == syscall.EINVAL:
		return errRefused
	}
	q.stats.writeErrors.Add(1)
	return fmt.Errorf("device: %s: write: %w", q.d.name, q.out.errno)
}

var errRefused = errors.New("device: the kernel refuses the packet")

func (q *Queue) refuses(k packet.Kind) bool {
	switch k {
	case packet.TCP4, packet.TCP6:
		return !q.d.offloads.TCP || q.d.refusedTCP.Load()
	case packet.UDP4, packet.UDP6:
		return !q.d.offloads.UDP || q.d.refusedUDP.Load()
	}
	return false
}

// refused takes in that the kernel has refused a packet. It reports whether the packet is to be tried in pieces.
func (q *Queue) refused(err error, k packet.Kind) bool {
	if err != errRefused {
		return false
	}
	const why = "the kernel has refused a joined packet: invalid argument"
	switch k {
	case packet.TCP4, packet.TCP6:
		q.d.withhold(false, why)
	case packet.UDP4, packet.UDP6:
		q.d.withhold(true, why)
	default:
		q.stats.writeErrors.Add(1)
		return false
	}
	q.stats.cut.Add(1)
	return true
}

// A cutter makes pieces for a kernel that refuses a whole.
type cutter struct {
	segment packet.Segmenter
	flat    []byte
	room    [Headroom + packet.MaxLen]byte
}

// writeCut writes a packet, the pieces of which are given, as packets that need no offload.
func (q *Queue) writeCut(first []byte, rest [][]byte, h *packet.Header, g packet.GSO) (err error) {
	if q.cut == nil {
		q.cut = new(cutter)
	}
	c := q.cut
	c.flat = append(c.flat[:0], first...)
	for _, p := range rest {
		c.flat = append(c.flat, p...)
	}
	c.segment.Reset(c.flat, *h, g, false)
	for p, _ := c.segment.Next(); p != nil; p, _ = c.segment.Next() {
		clear(c.room[:Headroom])
		q.out.buf = c.room[:Headroom+copy(c.room[Headroom:], p)]
		if e := q.write(len(p)); e != nil && err == nil {
			if err = e; e == errRefused {
				q.stats.writeErrors.Add(1)
			}
		}
	}
	q.out.buf = nil
	return err
}
