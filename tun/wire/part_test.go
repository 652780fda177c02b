package wire

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

// split returns copies of the bodies of parts.
func split(t *testing.T, message []byte, id uint16, most int) (bodies [][]byte) {
	t.Helper()
	ok, err := Split(message, id, most, func(d []byte) error {
		f, body, err := ParseDatagram(d)
		if err != nil || f.Type != TypePart || len(d) > most {
			t.Fatalf("a part of %d bytes, of %d: %+v, %v", len(d), most, f, err)
		}
		bodies = append(bodies, bytes.Clone(body))
		return nil
	})
	if err != nil || ok != (bodies != nil) {
		t.Fatalf("%d bytes: %v, %v", len(message), ok, err)
	}
	return bodies
}

func message(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*7 ^ i>>8)
	}
	return p
}

// Whatever the order of parts, and however often they come, there is one message in the end.
func TestParts(t *testing.T) {
	for _, c := range []struct{ length, most, count int }{
		{2, 6, 2}, {479, 480, 2}, {950, 480, 2}, {951, 480, 3}, {1280, 535, 3}, {maxMessage, 480, 35}, {maxMessage, 262, 64},
		{maxMessage, 261, 0}, {maxMessage + 1, 1400, 0}, {1, 100, 0}, {100, 5, 0}, {65, 6, 0}, {64, 6, 64},
	} {
		want := message(c.length)
		parts := split(t, want, 9, c.most)
		if len(parts) != c.count {
			t.Errorf("%d bytes in datagrams of %d: %d parts, want %d", c.length, c.most, len(parts), c.count)
		}
		if c.count == 0 {
			continue
		}
		var a Assembler
		count := 0
		for _, i := range rand.Perm(2 * len(parts)) {
			if count > 0 {
				break // what comes behind the last that was missing begins anew
			}
			got, err := a.Add(parts[i/2])
			if err != nil {
				t.Fatal(err)
			}
			if got == nil {
				continue
			}
			if count++; !bytes.Equal(got, want) {
				t.Errorf("%d bytes become %d others", len(want), len(got))
			}
		}
		if count != 1 {
			t.Errorf("%d bytes in %d parts, each twice: %d messages", c.length, len(parts), count)
		}
	}
}

// What is said again until it is answered comes together from what is left of each time.
func TestPartsOfSeveralTimes(t *testing.T) {
	var a Assembler
	want := message(2000)
	parts := split(t, want, SplitID(want), 480)
	var got []byte
	for i := 0; i < 2*len(parts); i += 2 { // each time all but one are lost
		var err error
		if got, err = a.Add(parts[i%len(parts)]); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes after %d parts", len(got), len(parts))
	}
	if SplitID(want) == PacketID(SplitID(want)) {
		t.Error("a packet has the id of a message that is repeated")
	}
}

// An Assembler keeps a few messages, and no more memory than those take.
func TestAssemblerIsBounded(t *testing.T) {
	var a Assembler
	first := split(t, message(900), 0, 480)
	if _, err := a.Add(first[0]); err != nil {
		t.Fatal(err)
	}
	for id := range uint16(assembling) {
		if _, err := a.Add(split(t, message(900), 1+id, 480)[0]); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := a.Add(first[1]); got != nil || err != nil {
		t.Errorf("the oldest is kept: %d bytes, %v", len(got), err)
	}
	long := append([]byte{0, 99, 0, maxParts - 1}, message(1000)...)
	var err error
	for i := 0; i < maxParts && err == nil; i++ {
		long[2] = byte(i)
		_, err = a.Add(long)
	}
	if !errors.Is(err, ErrMalformed) {
		t.Errorf("a message of %d bytes: %v", maxParts*1000, err)
	}
}

func TestMalformedParts(t *testing.T) {
	for _, bad := range [][]byte{nil, {0, 1, 0}, {0, 1, 0, 1}, {0, 1, 0, 0, 'x'}, {0, 1, 2, 1, 'x'}, {0, 1, 0, maxParts, 'x'}} {
		var a Assembler
		if got, err := a.Add(bad); got != nil || !errors.Is(err, ErrMalformed) {
			t.Errorf("% x: % x, %v", bad, got, err)
		}
	}
}

func FuzzAssembler(f *testing.F) {
	f.Add([]byte{6, 0, 1, 0, 1, 'a', 'b', 5, 0, 1, 1, 1, 'c'})
	f.Fuzz(func(t *testing.T, p []byte) {
		var a Assembler
		for len(p) > 1 {
			n := min(len(p)-1, int(p[0]))
			got, err := a.Add(p[1 : 1+n])
			if err != nil && !errors.Is(err, ErrMalformed) || len(got) > maxMessage || err != nil && got != nil {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
			p = p[1+n:]
		}
		kept := 0
		for _, m := range a.open {
			kept += m.size
		}
		if kept > assembling*maxMessage {
			t.Fatalf("%d bytes are kept", kept)
		}
	})
}
