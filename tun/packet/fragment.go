package packet

import "encoding/binary"

// MayFragment reports whether routers may cut a packet, which Parse has accepted, into fragments: IPv4 without "don't
// fragment".
// https://www.rfc-editor.org/rfc/rfc791#section-2.3
func MayFragment(p []byte) bool { return p[0]>>4 == 4 && p[6]&flagDontFragment == 0 }

const (
	flagDontFragment  = 0x40
	flagMoreFragments = 0x20
	offsetUnit        = 8 // bytes
)

// A Fragmenter cuts an IPv4 packet into fragments, as a router does whose next link is narrower. What it cuts may be a
// fragment itself. The zero value is ready for Reset.
// https://www.rfc-editor.org/rfc/rfc791#section-3.2
type Fragmenter struct {
	p      []byte
	header []byte // of the next fragment; its length and what depends on it are filled in then
	at     int    // where the data of the next fragment begins in p
	start  int    // and where all data does
	mtu    int
	later  [60]byte // the header of all fragments but the first: some options are only in that
	buf    []byte
}

// Reset takes a packet that Parse and MayFragment have accepted, and whose checksum is not partial. It is read until
// Next returns nil. mtu is how long a fragment may be, in bytes; Reset reports whether that is enough for any.
func (f *Fragmenter) Reset(p []byte, mtu int) bool {
	f.start = int(p[0]&15) * 4
	f.p, f.header, f.at, f.mtu = p, p[:f.start], f.start, mtu
	return mtu >= f.start+offsetUnit
}

// Next returns the next fragment, which is valid until the call after, or nil when there is none left.
func (f *Fragmenter) Next() []byte {
	if f.at >= len(f.p) {
		return nil
	}
	size := len(f.p) - f.at
	if most := f.mtu - len(f.header); size > most {
		size = most / offsetUnit * offsetUnit
	}
	f.buf = append(append(f.buf[:0], f.header...), f.p[f.at:f.at+size]...)
	f.number(f.buf, f.at+size < len(f.p))
	if f.at == f.start {
		f.header = f.laterHeader()
	}
	f.at += size
	return f.buf
}

// number writes what tells fragments apart.
func (f *Fragmenter) number(q []byte, more bool) {
	binary.BigEndian.PutUint16(q[2:], uint16(len(q)))
	where := binary.BigEndian.Uint16(f.p[6:]) + uint16((f.at-f.start)/offsetUnit)
	if more {
		where |= flagMoreFragments << 8
	}
	binary.BigEndian.PutUint16(q[6:], where)
	putHeaderChecksum(q[:len(f.header)])
}

// laterHeader returns the header without the options that are not for every fragment.
// https://www.rfc-editor.org/rfc/rfc791#section-3.1
func (f *Fragmenter) laterHeader() []byte {
	const end, nothing, copied = 0, 1, 0x80
	h := append(f.later[:0], f.p[:ipv4Header]...)
	options := f.p[ipv4Header:f.start]
	for i := 0; i < len(options) && options[i] != end; {
		n := 1
		if options[i] != nothing {
			if i+1 == len(options) || options[i+1] < 2 || i+int(options[i+1]) > len(options) {
				break // who can read them is not told about the rest
			}
			n = int(options[i+1])
		}
		if options[i]&copied != 0 {
			h = append(h, options[i:i+n]...)
		}
		i += n
	}
	for len(h)%4 != 0 {
		h = append(h, end)
	}
	h[0] = 0x40 | byte(len(h)/4)
	return h
}
