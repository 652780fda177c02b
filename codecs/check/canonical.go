package check

import (
	"bytes"
	"fmt"
)

func canonicalCodec(s *subject) error {
	send, recv := s.codecs()
	if c, ok := recv.(Lenient); ok && c.Lenient() != "" {
		return notApplicable("the codec ignores " + c.Lenient())
	}
	for _, n := range []int{1, 20} {
		p := s.payload(min(n, send.Limits().Max))
		f, random, err := s.firstFrame(p)
		if err != nil {
			return err
		}
		if random {
			return notApplicable("the codec writes random bytes")
		}
		for i := range f {
			if i >= 24 && i < len(f)-8 {
				continue
			}
			for bit := range 8 {
				f[i] ^= 1 << bit
				if err := s.acceptsOnlyItsOwn(f); err != nil {
					return err
				}
				f[i] ^= 1 << bit
			}
		}
	}
	return nil
}

// firstFrame returns the first frame of a new codec with payload p, and whether every new codec makes another one of
// it.
func (s *subject) firstFrame(p []byte) (f []byte, random bool, err error) {
	for range 8 {
		send, _ := s.codecs()
		again, err := encode(send, p)
		if err != nil {
			return nil, false, err
		}
		if f != nil && !bytes.Equal(f, again) {
			return f, true, nil
		}
		f = again
	}
	return f, false, nil
}

// acceptsOnlyItsOwn reports when f is accepted although it is not what Encode makes of its payload.
func (s *subject) acceptsOnlyItsOwn(f []byte) error {
	send, recv := s.codecs()
	payload, refused := tryDecode(recv, f)
	if refused != nil || len(payload) > send.Limits().Max {
		return nil
	}
	own, err := encode(send, payload)
	if err != nil {
		return err
	}
	if !bytes.Equal(own, f) {
		return fmt.Errorf("Decode accepts %.40x, Encode writes %.40x for its payload; if the protocol wants a "+
			"reader to ignore the difference, say so with a method Lenient", f, own)
	}
	return nil
}
