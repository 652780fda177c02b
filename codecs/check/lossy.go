package check

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

func lossyCodec(s *subject) error {
	send, recv := s.codecs()
	if _, ok := recv.(frame.Delimiter); ok {
		return notApplicable("frames are told apart in a stream")
	}
	const count = 12
	var payloads, frames [count][]byte
	for i := range frames {
		payloads[i] = s.payload(min(send.Limits().Max, 10+i))
		var err error
		if frames[i], err = encode(send, payloads[i]); err != nil {
			return err
		}
	}
	// Lost: 5 and 6. Repeated: 3, 8. Overtaken: most.
	for _, i := range []int{0, 2, 1, 4, 3, 3, 11, 10, 8, 7, 8, 9, 0} {
		got, err := decode(recv, frames[i])
		if err != nil {
			return fmt.Errorf("datagram %d, out of order: %w", i, err)
		}
		if !bytes.Equal(got, payloads[i]) {
			return fmt.Errorf("datagram %d arrives wrong out of order", i)
		}
	}
	return nil
}

func lossyMachine(s *subject) error {
	if _, ok := s.machine(s.from.Peer()).(frame.Delimiter); ok {
		return notApplicable("frames are told apart in a stream")
	}
	seen := 0
	c, err := s.couple(func(c *couple) {
		c.wire = func(p packet) {
			switch seen++; {
			case seen%7 == 3:
				return // lost
			case seen%5 == 2:
				c.queue = append(c.queue, packet{to: p.to, p: bytes.Clone(p.p)}) // repeated
			case seen%4 == 1 && len(c.queue) > 0:
				c.queue = append([]packet{p}, c.queue...) // overtakes what is under way
				return
			}
			c.queue = append(c.queue, p)
		}
	})
	if err != nil {
		return err
	}
	return lossyTraffic(s, c)
}

// lossyTraffic sends different payloads and reports what arrives that was not sent, or that nothing does. A Machine may
// carry datagrams, each alone, or repair what the link does.
func lossyTraffic(s *subject, c *couple) error {
	e := c.ends[s.from]
	sent := map[string]bool{}
	var all []byte
	for i := range 20 {
		p := records(min(40+i, e.lim.Max))
		sent[string(p)] = true
		all = append(all, p...)
		if err := c.send(e, p, true); err != nil {
			return err
		}
		if i%3 == 2 {
			if err := c.settle(); err != nil {
				return err
			}
		}
	}
	if err := c.await(e.peer, len(all)); err != nil && !errors.Is(err, errQuiet) {
		return err
	}
	if bytes.Equal(bytes.Join(e.peer.delivered, nil), all) {
		return nil
	}
	for _, p := range e.peer.delivered {
		if !sent[string(p)] {
			return fmt.Errorf("%d bytes arrive that were not sent so: neither a datagram nor what was sent in order", len(p))
		}
	}
	if len(e.peer.delivered) < len(sent)/2 {
		return fmt.Errorf("only %d of %d datagrams arrive, though a seventh is lost", len(e.peer.delivered), len(sent))
	}
	return nil
}
