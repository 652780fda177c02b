package check

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

func frameLenOfMachine(s *subject) error {
	if _, ok := s.machine(s.from.Peer()).(frame.Delimiter); !ok {
		return notApplicable("the Machine has no FrameLen")
	}
	behind := s.payload(40)
	c, err := s.couple(func(c *couple) {
		c.arrive = func(p *packet) error {
			if p.to.role == s.from || len(p.p) == 0 {
				return nil
			}
			return delimits(p.to.Machine.(frame.Delimiter), p.p, behind)
		}
	})
	if err != nil {
		return err
	}
	for _, n := range sizes(min(c.ends[s.from].lim.Max, 1400)) {
		if n >= 6 {
			if err := c.converse(s.from, records(n)); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxFrames bounds how many frames of a session are tampered with.
const maxFrames = 12

// tampered runs a session in which change is applied to frame k of those that the sender sends, as it arrives. It
// returns whether there was such a frame, and the first error; a panic, which is for the rule Noise to report, is
// one.
func (s *subject) tampered(k int, change func(p []byte) []byte) (met bool, err error) {
	seen := 0
	tamper := func(p *packet) error {
		if p.to.role == s.from {
			return nil
		}
		if seen++; seen == k+1 {
			met = true
			p.p = change(p.p)
		}
		return nil
	}
	err = guard(func() error {
		c, err := s.couple(func(c *couple) { c.arrive = tamper })
		for range 2 {
			if err == nil {
				err = c.converse(s.from, records(64))
			}
		}
		return err
	})
	return met, err
}

func truncatedForMachine(s *subject) error {
	if _, ok := s.machine(s.from.Peer()).(frame.Delimiter); !ok {
		return notApplicable("the Machine has no FrameLen")
	}
	for k := range maxFrames {
		for have, whole := 0, 1; have < whole; have += 1 + have/4 {
			var refused *refusal
			met, err := s.tampered(k, func(p []byte) []byte {
				whole = len(p)
				return p[:min(have, len(p))]
			})
			if !met {
				return nil
			}
			if have < whole && !errors.As(err, &refused) && !errors.As(err, new(*panicked)) {
				return fmt.Errorf("Recv accepts the first %d bytes of a frame of %d", have, whole)
			}
		}
	}
	return nil
}

func noiseForMachine(s *subject) error {
	// A wrong frame at each point of a session.
	for k := range maxFrames {
		for range 24 {
			var bent []byte
			_, err := s.tampered(k, func(p []byte) []byte {
				bent = s.bend(bytes.Clone(p))
				return bytes.Clone(bent)
			})
			if err := malformedOnly(err); err != nil {
				return fmt.Errorf("%w; the bytes are %.64x", err, bent)
			}
		}
	}
	// Nothing but wrong frames.
	frames, c, err := s.session()
	if err != nil {
		return err
	}
	for p := range s.noise(frames, 1500) {
		err := guard(func() error { return c.feed(c.ends[s.from.Peer()], p) })
		if err := malformedOnly(err); err != nil {
			return fmt.Errorf("%w; the bytes are %.64x", err, p)
		}
		if err != nil {
			if _, c, err = s.session(); err != nil {
				return err
			}
		}
	}
	return nil
}

// malformedOnly returns err if it is a panic, or a refusal that does not wrap ErrMalformed.
func malformedOnly(err error) error {
	var refused *refusal
	if errors.As(err, new(*panicked)) || errors.As(err, &refused) && !errors.Is(refused.err, frame.ErrMalformed) {
		return err
	}
	return nil
}

// session returns a couple that has exchanged a few payloads, and the frames that the sender sent.
func (s *subject) session() (frames [][]byte, c *couple, err error) {
	c, err = s.couple(func(c *couple) {
		c.arrive = func(p *packet) error {
			if p.to.role != s.from {
				frames = append(frames, bytes.Clone(p.p))
			}
			return nil
		}
	})
	for _, n := range []int{6, 20, 300} {
		if err == nil {
			err = c.converse(s.from, records(n))
		}
	}
	if err == nil && len(frames) == 0 {
		err = errors.New("no frame is sent")
	}
	return frames, c, err
}

// feed gives e bytes that are not from its peer: first as those of a stream, then as one frame.
func (c *couple) feed(e *end, p []byte) error {
	if d, ok := e.Machine.(frame.Delimiter); ok {
		if _, err := d.FrameLen(p); err != nil && !errors.Is(err, frame.ErrMalformed) {
			return &refusal{e, err}
		}
	}
	if err := c.recv(e, bytes.Clone(p)); err != nil {
		return err
	}
	return c.settle()
}

func boundedMachine(s *subject) error {
	frames, c, err := s.session()
	if err != nil {
		return err
	}
	d, ok := c.ends[s.from.Peer()].Machine.(frame.Delimiter)
	if !ok {
		return notApplicable("the Machine has no FrameLen")
	}
	return bounded(s, d, c.ends[s.from].lim.MaxFrame(), frames)
}
