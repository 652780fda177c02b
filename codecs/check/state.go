package check

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/encase-tls/encase/frame"
)

// used is what the rule Retain overwrites buffers with.
const used = 0xa5

func overwrite(p []byte) {
	for i := range p {
		p[i] = used
	}
}

func untouched(p []byte) bool {
	for _, v := range p {
		if v != used {
			return false
		}
	}
	return true
}

func retainOfCodec(s *subject) error {
	send, recv := s.codecs()
	l := send.Limits()
	var given [][]byte // arrays that the codecs have had
	lend := func(head int, contents []byte, tail int, use func(*frame.Buf) error) ([]byte, error) {
		full := make([]byte, head+len(contents)+tail)
		copy(full[head:], contents)
		var b frame.Buf
		b.Borrow(full, head, head+len(contents))
		err := use(&b)
		result := bytes.Clone(b.Bytes())
		overwrite(full)
		given = append(given, full)
		return result, err
	}
	for i := range 8 {
		want := s.payload(min(l.Max, 20+5*i))
		f, err := lend(l.Head, want, l.Tail, send.Encode)
		if err != nil {
			return fmt.Errorf("frame %d: Encode: %w", i, err)
		}
		got, err := lend(0, f, 0, recv.Decode)
		if err != nil {
			return fmt.Errorf("frame %d: Decode: %w", i, err)
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("frame %d arrives wrong after earlier buffers were overwritten", i)
		}
	}
	for _, full := range given {
		if !untouched(full) {
			return errors.New("a buffer is written to after the call that it was lent for")
		}
	}
	return nil
}

func independentCodecs(s *subject) error {
	type conn struct{ send, recv frame.Codec }
	var conns [2]conn
	for i := range conns {
		conns[i].send, conns[i].recv = s.codecs()
	}
	p := s.payload(min(conns[0].send.Limits().Max, 40))
	// Frames of both are under way at once, and are not received in the order in which they were sent.
	for _, turn := range [][]int{{0, 1}, {1, 0}, {0}, {1, 0}} {
		var frames [2][]byte
		for _, i := range turn {
			var err error
			if frames[i], err = encode(conns[i].send, p); err != nil {
				return err
			}
		}
		for _, i := range []int{1, 0} {
			if frames[i] == nil {
				continue
			}
			got, err := decode(conns[i].recv, frames[i])
			if err != nil {
				return fmt.Errorf("two connections in turns: %w", err)
			}
			if !bytes.Equal(got, p) {
				return errors.New("frames arrive wrong when two connections take turns")
			}
		}
	}
	return atOnce(func(i int) error {
		for range 64 {
			if _, err := pass(conns[i].send, conns[i].recv, p); err != nil {
				return err
			}
		}
		return nil
	})
}

// atOnce runs f(0) and f(1) concurrently: what they share, the race detector sees.
func atOnce(f func(i int) error) error {
	var errs [2]error
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = guard(func() error { return f(i) }) })
	}
	wg.Wait()
	return errors.Join(errs[:]...)
}
