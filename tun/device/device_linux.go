package device

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Device is a TUN interface. It vanishes when it is closed, unless it was attached to.
type Device struct {
	name     string
	index    int
	queues   []*Queue
	offloads Offloads

	refusedTCP, refusedUDP atomic.Bool // the kernel has refused such a super-packet: it gets pieces
	why                    reasons
	close                  sync.Once
}

const (
	cloneDevice = "/dev/net/tun"
	maxQueues   = 256 // of Linux
)

// Open makes a device or attaches to one.
func Open(cfg Config) (*Device, error) {
	if cfg.Name == "" {
		cfg.Name = "encase%d"
	}
	if err := CheckName(cfg.Name); err != nil {
		return nil, err
	}
	if cfg.Queues < 0 || cfg.Queues > maxQueues {
		return nil, fmt.Errorf("device: %d queues; Linux has 1 to %d", cfg.Queues, maxQueues)
	}
	d := &Device{name: cfg.Name}
	err := inNamespace(cfg.Namespace, func() error { return d.open(cfg) })
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func (d *Device) open(cfg Config) error {
	for range max(cfg.Queues, 1) {
		if err := d.addQueue(cfg); err != nil {
			return err
		}
	}
	iface, err := net.InterfaceByName(d.name)
	if err != nil {
		return fmt.Errorf("device: %s: %w", d.name, err)
	}
	d.index = iface.Index
	d.probe(cfg.Offloads)
	return nil
}

// addQueue opens another queue. Flags and offloads are those of the device, not of the queue, and the kernel takes
// those that were set last: they are the same for all.
func (d *Device) addQueue(cfg Config) error {
	if cfg.Attach {
		if _, err := net.InterfaceByName(d.name); err != nil {
			return fmt.Errorf("device: there is no interface %s to attach to; make it with: ip tuntap add %[1]s mode tun", d.name)
		}
	}
	fd, err := unix.Open(cloneDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return openError(err)
	}
	flags := uint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if cfg.Queues > 1 {
		flags |= unix.IFF_MULTI_QUEUE
	}
	if !cfg.Attach && len(d.queues) == 0 {
		flags |= unix.IFF_TUN_EXCL
	}
	if err := d.setUp(fd, flags, cfg); err != nil {
		unix.Close(fd)
		return err
	}
	q, err := newQueue(d, os.NewFile(uintptr(fd), d.name))
	if err != nil {
		return err
	}
	d.queues = append(d.queues, q)
	return nil
}

func openError(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("device: %s is not there; load the module (modprobe tun), or in a container: "+
			"mkdir -p /dev/net && mknod %[1]s c 10 200", cloneDevice)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("device: %s may not be opened: %w; see its mode, and the container's devices", cloneDevice, err)
	}
	return fmt.Errorf("device: %s: %w", cloneDevice, err)
}

// setUp makes fd a queue of the device.
func (d *Device) setUp(fd int, flags uint16, cfg Config) error {
	request, err := unix.NewIfreq(d.name)
	if err != nil {
		return fmt.Errorf("device: the name %q: %w", d.name, err)
	}
	request.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return d.attachError(err, cfg)
	}
	d.name = request.Name()
	if err := d.checkFlags(fd, flags); err != nil {
		return err
	}
	size := int32(Headroom)
	if err := ioctl(fd, unix.TUNSETVNETHDRSZ, uintptr(unsafe.Pointer(&size))); err != nil {
		return fmt.Errorf("device: %s: the size of the header for offloads: %w", d.name, err)
	}
	if len(d.queues) == 0 {
		return d.negotiate(fd, cfg)
	}
	if err := setOffloads(fd, d.offloads); err != nil {
		return fmt.Errorf("device: %s: another queue does not take the offloads of the first (%v): %w", d.name, d.offloads, err)
	}
	return nil
}

func (d *Device) attachError(err error, cfg Config) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("device: %s: making a device needs CAP_NET_ADMIN, attaching to one that it belongs to you "+
			"(ip tuntap add ... user): %w", d.name, err)
	case errors.Is(err, unix.EBUSY) && !cfg.Attach:
		return fmt.Errorf("device: %s is there already, or another program has it: %w; choose another name, or attach",
			d.name, err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("device: another program has %s: %w", d.name, err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("device: %s is no TUN interface, or was made with another number of queues or other flags: %w; "+
			"it needs: ip tuntap add %[1]s mode tun%s", d.name, err, map[bool]string{true: " multi_queue"}[cfg.Queues > 1])
	}
	return fmt.Errorf("device: %s: %w", d.name, err)
}

// checkFlags compares what the device is with what was asked for: those of one that exists prevail, and one without the
// header for offloads would send its packets with ten bytes missing.
func (d *Device) checkFlags(fd int, want uint16) error {
	request, err := unix.NewIfreq("")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.TUNGETIFF, request); err != nil {
		return fmt.Errorf("device: %s: %w", d.name, err)
	}
	const matter = unix.IFF_TUN | unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR
	if have := request.Uint16(); have&matter != want&matter {
		return fmt.Errorf("device: %s has flags %#x, %#x are needed: it is no TUN interface", d.name, have&matter, want&matter)
	}
	return nil
}

// TUN_F_USO4 and TUN_F_USO6 are newer than the constants of the library.
const (
	offloadUSO4 = 0x20
	offloadUSO6 = 0x40
)

// negotiate asks for offloads, for fewer if the kernel does not know them all.
func (d *Device) negotiate(fd int, cfg Config) (err error) {
	want := Offloads{TCP: true, ECN: true, UDP: true}
	if cfg.Offloads != nil {
		want = *cfg.Offloads
	}
	want.ECN = want.ECN && want.TCP
	d.why.compare(Offloads{TCP: true, ECN: true, UDP: true}, want, "as configured")
	for _, less := range []func(*Offloads){
		func(*Offloads) {},
		func(o *Offloads) { o.UDP = false },
		func(o *Offloads) { o.ECN = false },
		func(o *Offloads) { o.TCP = false },
	} {
		before, why := want, err
		if less(&want); why != nil {
			d.why.compare(before, want, "the kernel does not know it: "+why.Error())
		}
		if err = setOffloads(fd, want); err == nil {
			d.offloads = want
			return nil
		}
	}
	return fmt.Errorf("device: %s: the kernel refuses to compute checksums: %w", d.name, err)
}

// setOffloads says what this end can take. It is said also if that is nothing: a device that existed before has what
// its last user said, and would hand over what nobody understands.
func setOffloads(fd int, o Offloads) error {
	mask := uintptr(unix.TUN_F_CSUM)
	if o.TCP {
		mask |= unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	}
	if o.ECN {
		mask |= unix.TUN_F_TSO_ECN
	}
	if o.UDP {
		mask |= offloadUSO4 | offloadUSO6
	}
	return ioctl(fd, unix.TUNSETOFFLOAD, mask)
}

func ioctl(fd int, request uint, arg uintptr) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), arg); errno != 0 {
		return errno
	}
	return nil
}

// inNamespace runs f in a network namespace. The thread that cannot go back to its own ends with its goroutine.
func inNamespace(path string, f func() error) error {
	if path == "" {
		return f()
	}
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		result <- func() error {
			own, err := os.Open("/proc/thread-self/ns/net")
			if err != nil {
				return fmt.Errorf("device: the network namespace of this program: %w", err)
			}
			defer own.Close()
			there, err := os.Open(path)
			if err != nil {
				return fmt.Errorf("device: the network namespace: %w", err)
			}
			defer there.Close()
			if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("device: entering the network namespace %s: %w", path, err)
			}
			err = f()
			if unix.Setns(int(own.Fd()), unix.CLONE_NEWNET) == nil {
				runtime.UnlockOSThread()
			}
			return err
		}()
	}()
	return <-result
}

// Name returns the name of the interface.
func (d *Device) Name() string { return d.name }

// Index returns the number of the interface, which it keeps if it is renamed.
func (d *Device) Index() int { return d.index }

// Queues returns the queues.
func (d *Device) Queues() []*Queue { return d.queues }

// Offloads returns what the kernel has agreed to, without what it has refused since.
func (d *Device) Offloads() Offloads {
	o := d.offloads
	o.TCP = o.TCP && !d.refusedTCP.Load()
	o.UDP = o.UDP && !d.refusedUDP.Load()
	o.ECN = o.ECN && o.TCP
	return o
}

// Stats returns a snapshot, of all queues together. It may be called at any time.
func (d *Device) Stats() (all Stats) {
	for _, q := range d.queues {
		all.add(q.Stats())
	}
	return all
}

// Close closes all queues: what waits in them returns an error that wraps os.ErrClosed.
func (d *Device) Close() error {
	var all error
	d.close.Do(func() {
		for _, q := range d.queues {
			all = errors.Join(all, q.file.Close())
		}
	})
	return all
}
