package check

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

func frameLenOfCodec(s *subject) error {
	send, recv, d, err := s.delimited()
	if err != nil {
		return err
	}
	for _, n := range sizes(min(send.Limits().Max, 1400)) {
		f, err := encode(send, s.payload(n))
		if err != nil {
			return err
		}
		if len(f) == 0 {
			continue
		}
		if err := delimits(d, f, s.payload(40)); err != nil {
			return err
		}
		if _, err := decode(recv, f); err != nil {
			return err
		}
	}
	return nil
}

// delimits reports what d tells wrongly of f as it arrives piece by piece, with more bytes behind it.
func delimits(d frame.Delimiter, f, behind []byte) error {
	whole := append(bytes.Clone(f), behind...)
	before := bytes.Clone(whole)
	known := false
	tell := func(have int) error {
		n, err := d.FrameLen(whole[:have:have])
		switch {
		case err != nil:
			return fmt.Errorf("FrameLen refuses %d bytes of a frame of %d: %w", have, len(f), err)
		case n != 0 && n != len(f):
			return fmt.Errorf("FrameLen says %d after %d bytes of a frame of %d", n, have, len(f))
		case n == 0 && known:
			return fmt.Errorf("FrameLen knew the length and forgets it after %d bytes of a frame of %d", have, len(f))
		case n == 0 && have >= len(f):
			return fmt.Errorf("FrameLen does not know the length of a whole frame of %d bytes", len(f))
		}
		known = n != 0
		return nil
	}
	for have := range prefixes(len(f)) {
		if err := tell(have); err != nil {
			return err
		}
	}
	for have := len(f); have <= len(whole); have++ {
		if err := tell(have); err != nil {
			return err
		}
	}
	if !bytes.Equal(whole, before) {
		return errors.New("FrameLen changes the bytes that it looks at")
	}
	return nil
}

func truncatedForCodec(s *subject) error {
	if _, _, _, err := s.delimited(); err != nil {
		return err
	}
	frames, err := s.samples()
	if err != nil {
		return err
	}
	for _, f := range frames {
		for have := range prefixes(len(f)) {
			_, recv := s.codecs()
			if _, err := tryDecode(recv, f[:have]); err == nil {
				return fmt.Errorf("Decode accepts the first %d bytes of a frame of %d", have, len(f))
			}
		}
	}
	return nil
}

func noiseForCodec(s *subject) error {
	frames, err := s.samples()
	if err != nil {
		return err
	}
	_, recv := s.codecs()
	for p := range s.noise(frames, 3000) {
		err := guard(func() error { return feedCodec(recv, p) })
		if err == nil {
			continue
		}
		if !errors.Is(err, frame.ErrMalformed) {
			return fmt.Errorf("%w; the bytes are %.64x", err, p)
		}
		_, recv = s.codecs()
	}
	return nil
}

// feedCodec takes p first as the bytes of a stream, then as one frame.
func feedCodec(c frame.Codec, p []byte) error {
	if d, ok := c.(frame.Delimiter); ok {
		if _, err := d.FrameLen(p); err != nil && !errors.Is(err, frame.ErrMalformed) {
			return fmt.Errorf("FrameLen: %w", err)
		}
	}
	_, err := decode(c, p)
	return err
}

func boundedCodec(s *subject) error {
	_, recv, d, err := s.delimited()
	if err != nil {
		return err
	}
	frames, err := s.samples()
	if err != nil {
		return err
	}
	return bounded(s, d, recv.Limits().MaxFrame(), frames)
}

// bounded reports what d announces outside of 0 to most.
func bounded(s *subject, d frame.Delimiter, most int, frames [][]byte) error {
	try := func(p []byte) error {
		n := 0
		refused := guard(func() (err error) { n, err = d.FrameLen(p); return err })
		if refused == nil && (n < 0 || n > most) {
			return fmt.Errorf("FrameLen says %d, at most %d is possible; the bytes are %.32x", n, most, p)
		}
		return nil
	}
	for _, f := range frames {
		for p := range extremes(f) {
			if err := try(p); err != nil {
				return err
			}
		}
	}
	for p := range s.noise(frames, 1000) {
		if err := try(p); err != nil {
			return err
		}
	}
	return nil
}
