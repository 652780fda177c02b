package udp

import (
	"net"
	"net/netip"
	"strconv"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A sockaddr has room for an address of either family.
type sockaddr unix.RawSockaddrInet6

// put writes a for a socket of IPv6, six, or of IPv4, and returns the length.
func (s *sockaddr) put(a netip.AddrPort, six bool, z *zones) uint32 {
	port := [2]byte{byte(a.Port() >> 8), byte(a.Port())}
	if six {
		*s = sockaddr{Family: unix.AF_INET6, Addr: a.Addr().As16(), Scope_id: z.index(a.Addr().Zone())}
		s.Port = *(*uint16)(unsafe.Pointer(&port))
		return unix.SizeofSockaddrInet6
	}
	four := (*unix.RawSockaddrInet4)(unsafe.Pointer(s))
	*four = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.Addr().As4()}
	four.Port = *(*uint16)(unsafe.Pointer(&port))
	return unix.SizeofSockaddrInet4
}

// get returns the address that the kernel wrote.
func (s *sockaddr) get(z *zones) netip.AddrPort {
	port := *(*[2]byte)(unsafe.Pointer(&s.Port)) // at the same place in both families
	number := uint16(port[0])<<8 | uint16(port[1])
	switch s.Family {
	case unix.AF_INET:
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(s))
		return netip.AddrPortFrom(netip.AddrFrom4(four.Addr), number)
	case unix.AF_INET6:
		return netip.AddrPortFrom(z.join(netip.AddrFrom16(s.Addr), s.Scope_id), number)
	}
	return netip.AddrPort{}
}

// zones translates between names and numbers of the interfaces that link-local addresses belong to. To ask the system
// each time would be slow. The zero value is ready.
type zones struct {
	mu      sync.Mutex
	names   map[uint32]string
	numbers map[string]uint32
}

// maxZones bounds what is remembered; a name may be anything that a caller makes up.
const maxZones = 256

// join returns a without its mapping and, if it is link-local, with its zone.
func (z *zones) join(a netip.Addr, number uint32) netip.Addr {
	if a = a.Unmap(); number == 0 || a.Is4() || !a.IsLinkLocalUnicast() && !a.IsLinkLocalMulticast() {
		return a
	}
	return a.WithZone(z.name(number))
}

func (z *zones) name(number uint32) string {
	z.mu.Lock()
	defer z.mu.Unlock()
	name, ok := z.names[number]
	if !ok {
		name = strconv.Itoa(int(number))
		if i, err := net.InterfaceByIndex(int(number)); err == nil {
			name = i.Name
		}
		z.add(name, number)
	}
	return name
}

// index returns the number of a zone, 0 if there is none of that name.
func (z *zones) index(name string) uint32 {
	if name == "" {
		return 0
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	number, ok := z.numbers[name]
	if !ok {
		if i, err := net.InterfaceByName(name); err == nil {
			number = uint32(i.Index)
		} else if n, err := strconv.ParseUint(name, 10, 32); err == nil {
			number = uint32(n)
		}
		z.add(name, number)
	}
	return number
}

func (z *zones) add(name string, number uint32) {
	if z.names == nil || len(z.names) >= maxZones || len(z.numbers) >= maxZones {
		z.names, z.numbers = map[uint32]string{}, map[string]uint32{}
	}
	z.names[number], z.numbers[name] = name, number
}
