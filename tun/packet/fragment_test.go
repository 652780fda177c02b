package packet

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// fragments returns copies of what a Fragmenter makes.
func fragments(p []byte, mtu int) (out [][]byte) {
	var f Fragmenter
	if !f.Reset(p, mtu) {
		return nil
	}
	for q := f.Next(); q != nil; q = f.Next() {
		out = append(out, bytes.Clone(q))
	}
	return out
}

// reassemble does what a receiver does, and checks what it relies on.
func reassemble(t *testing.T, list [][]byte, mtu int) (payload []byte, more bool) {
	t.Helper()
	for i, q := range list {
		h := mustParse(q)
		field := binary.BigEndian.Uint16(q[6:])
		switch {
		case len(q) > mtu:
			t.Errorf("fragment %d has %d bytes of %d", i, len(q), mtu)
		case plainSum(q[:h.Transport]) != 0xffff:
			t.Errorf("fragment %d has a wrong checksum", i)
		case int(field&0x1fff)*8 != int(binary.BigEndian.Uint16(list[0][6:])&0x1fff)*8+len(payload):
			t.Errorf("fragment %d begins at %d, %d are there", i, field&0x1fff*8, len(payload))
		}
		payload = append(payload, q[h.Transport:]...)
		if more = field&(flagMoreFragments<<8) != 0; !more && i+1 < len(list) {
			t.Errorf("fragment %d of %d says that it is the last", i, len(list))
		}
	}
	return payload, more
}

func TestFragmenter(t *testing.T) {
	for _, c := range []struct {
		name                string
		payload, mtu, count int
	}{
		{"one", 100, 128, 1}, {"one byte too many", 101, 128, 2}, {"many", 1400, 576, 3}, {"least", 64, 28, 9},
		{"odd room", 1000, 535, 2}, {"too little room", 64, 27, 0},
	} {
		p := build(spec{udp: true, mayFrag: true, id: 77, payload: c.payload})
		want := bytes.Clone(p[ipv4Header:])
		list := fragments(p, c.mtu)
		expect(t, c.name+": fragments", len(list), c.count)
		if c.count == 0 {
			continue
		}
		got, more := reassemble(t, list, c.mtu)
		if more || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes become %d, more to come %v", c.name, len(want), len(got), more)
		}
		for _, q := range list {
			expect(t, c.name+": id", binary.BigEndian.Uint16(q[4:]), 77)
			expect(t, c.name+": addresses", Source(q).String()+Destination(q).String(), "10.0.0.110.0.0.2")
		}
	}
}

// A fragment that is cut again keeps its place.
func TestFragmenterOfFragments(t *testing.T) {
	p := build(spec{udp: true, mayFrag: true, payload: 2000})
	want := bytes.Clone(p[ipv4Header:])
	var twice [][]byte
	for _, q := range fragments(p, 996) {
		twice = append(twice, fragments(q, 300)...)
	}
	got, more := reassemble(t, twice, 300)
	if more || !bytes.Equal(got, want) {
		t.Errorf("%d bytes become %d, more to come %v", len(want), len(got), more)
	}
	if middle := fragments(fragments(p, 996)[0], 300); middle[len(middle)-1][6]&flagMoreFragments == 0 {
		t.Error("the end of a fragment that is not the last says that it is")
	}
}

// The first fragment has all options, the others those that are marked for it; what is no list of options ends it.
func TestFragmenterOptions(t *testing.T) {
	const record, loose, security = 7, 0x83, 0x82
	for _, c := range []struct{ options, later []byte }{
		{[]byte{1, record, 3, 4}, nil},
		{[]byte{loose, 3, 4, 0}, []byte{loose, 3, 4, 0}},
		{[]byte{record, 3, 4, security, 4, 9, 9, 0}, []byte{security, 4, 9, 9}},
		{[]byte{security, 0, 0, 0}, nil},
		{[]byte{1, 1, 1, security}, nil},
	} {
		p := ipHeader(spec{mayFrag: true}, 99, 100)
		p = append(append(p, c.options...), bytes.Repeat([]byte("x"), 100)...)
		p[0] += byte(len(c.options) / 4)
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		list := fragments(p, 68)
		if got, _ := reassemble(t, list, 68); len(got) != 100 {
			t.Errorf("% x: %d bytes arrive", c.options, len(got))
		}
		for i, q := range list {
			want := c.later
			if i == 0 {
				want = c.options
			}
			if got := q[ipv4Header:mustParse(q).Transport]; !bytes.Equal(got, want) {
				t.Errorf("% x: fragment %d has % x", c.options, i, got)
			}
		}
	}
}

func TestMayFragment(t *testing.T) {
	for want, p := range map[bool][]byte{true: build(spec{mayFrag: true}), false: build(spec{})} {
		expect(t, "IPv4", MayFragment(p), want)
	}
	expect(t, "IPv6", MayFragment(build(spec{v6: true, mayFrag: true})), false)
}

func FuzzFragmenter(f *testing.F) {
	f.Add(build(spec{udp: true, mayFrag: true, payload: 3000}), uint16(576))
	f.Add(fragments(build(spec{udp: true, mayFrag: true, payload: 3000}), 600)[1], uint16(68))
	f.Fuzz(func(t *testing.T, p []byte, mtu uint16) {
		if _, err := Parse(p); err != nil || !MayFragment(p) {
			return
		}
		start := int(p[0]&15) * 4
		want := bytes.Clone(p[start:])
		list := fragments(p, int(mtu))
		if len(list) == 0 {
			return
		}
		if int(binary.BigEndian.Uint16(p[6:])&0x1fff)*8+len(want) > MaxLen { // it claims to be a part of what cannot be
			return
		}
		if got, more := reassemble(t, list, int(mtu)); !bytes.Equal(got, want) || more != (p[6]&flagMoreFragments != 0) {
			t.Errorf("%d bytes become %d", len(want), len(got))
		}
	})
}

func BenchmarkFragmenter(b *testing.B) {
	p := build(spec{udp: true, mayFrag: true, payload: 1300})
	var f Fragmenter
	b.ReportAllocs()
	for b.Loop() {
		f.Reset(p, 576)
		for f.Next() != nil {
		}
	}
}
