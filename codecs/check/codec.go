package check

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

// codecs returns the codec that the sender encodes with and the one that its peer decodes with, both new.
func (s *subject) codecs() (send, recv frame.Codec) {
	send, _, _ = frame.CodecsOf(s.machine(s.from))
	_, recv, _ = frame.CodecsOf(s.machine(s.from.Peer()))
	return send, recv
}

// delimited is codecs for rules that need FrameLen.
func (s *subject) delimited() (send, recv frame.Codec, d frame.Delimiter, err error) {
	send, recv = s.codecs()
	d, ok := recv.(frame.Delimiter)
	if !ok {
		err = notApplicable("the codec has no FrameLen")
	}
	return send, recv, d, err
}

// samples returns frames, each the first one of a new codec.
func (s *subject) samples() ([][]byte, error) {
	var frames [][]byte
	for _, n := range []int{0, 1, 20, 300} {
		send, _ := s.codecs()
		f, err := encode(send, s.payload(min(n, send.Limits().Max)))
		if err != nil {
			return nil, err
		}
		frames = append(frames, f)
	}
	return frames, nil
}

// encode returns the frame of payload, made in exactly the room that the codec asks for.
func encode(c frame.Codec, payload []byte) ([]byte, error) {
	l := c.Limits()
	b := frame.NewBuf(l.Head, payload, l.Tail)
	if err := c.Encode(b); err != nil {
		return nil, fmt.Errorf("Encode refuses a payload of %d bytes: %w", len(payload), err)
	}
	return b.Bytes(), nil
}

// decode returns the payload of f, which stays as it is. The codec gets no room around the frame.
func decode(c frame.Codec, f []byte) ([]byte, error) {
	b := frame.NewBuf(0, f, 0)
	if err := c.Decode(b); err != nil {
		return nil, fmt.Errorf("Decode refuses a frame of %d bytes: %w", len(f), err)
	}
	return b.Bytes(), nil
}

// tryDecode is decode for bytes that may be wrong: a panic, which is for the rule Noise to report, is an error.
func tryDecode(c frame.Codec, f []byte) (payload []byte, err error) {
	err = guard(func() error {
		payload, err = decode(c, f)
		return err
	})
	return payload, err
}

// pass sends payload through both codecs and returns its frame.
func pass(send, recv frame.Codec, payload []byte) ([]byte, error) {
	f, err := encode(send, payload)
	if err != nil || len(f) == 0 && len(payload) == 0 {
		return f, err
	}
	got, err := decode(recv, f)
	if err != nil {
		return f, fmt.Errorf("payload of %d bytes: %w", len(payload), err)
	}
	if !bytes.Equal(got, payload) {
		return f, fmt.Errorf("payload of %d bytes arrives as %d others", len(payload), len(got))
	}
	return f, nil
}

func limitsOfCodec(s *subject) error {
	send, recv := s.codecs()
	for _, c := range []frame.Codec{send, recv} {
		first := c.Limits()
		if err := sane(first); err != nil {
			return err
		}
		for range 3 {
			if _, err := encode(c, s.payload(1)); err != nil {
				return err
			}
			for range 2 {
				if l := c.Limits(); l != first {
					return fmt.Errorf("at first %+v, later %+v", first, l)
				}
			}
		}
	}
	return nil
}

func sane(l frame.Limits) error {
	if l.Head < 0 || l.Tail < 0 || l.Max < 1 {
		return fmt.Errorf("impossible limits %+v", l)
	}
	return nil
}

func roundTripOfCodec(s *subject) error {
	send, recv := s.codecs()
	limit := send.Limits().Max
	for _, n := range sizes(limit) {
		if _, err := pass(send, recv, s.payload(n)); err != nil {
			return err
		}
	}
	// Byte stuffing grows most when all bytes are the one that it escapes.
	worst, longest := byte(0), 0
	for v := range 256 {
		f, err := pass(send, recv, bytes.Repeat([]byte{byte(v)}, min(300, limit)))
		if err != nil {
			return err
		}
		if len(f) > longest {
			worst, longest = byte(v), len(f)
		}
	}
	_, err := pass(send, recv, bytes.Repeat([]byte{worst}, min(limit, maxTried)))
	return err
}

// maxRefused bounds the payloads that are only refused: they need not be carried, so they may be longer.
const maxRefused = 16<<20 + 1

func tooLargeForCodec(s *subject) error {
	send, _ := s.codecs()
	l := send.Limits()
	if l.Max >= maxRefused {
		return notApplicable("a longer payload than Max is too long to try")
	}
	payload := make([]byte, l.Max+1)
	b := frame.NewBuf(l.Head, payload, l.Tail)
	err := send.Encode(b)
	switch {
	case err == nil:
		return fmt.Errorf("Encode accepts %d bytes with a Max of %d", len(payload), l.Max)
	case !errors.Is(err, frame.ErrTooLarge):
		return fmt.Errorf("Encode refuses %d bytes with an error that does not wrap ErrTooLarge: %w", len(payload), err)
	case b.Headroom() != l.Head || b.Tailroom() != l.Tail || !bytes.Equal(b.Bytes(), payload):
		return fmt.Errorf("Encode refuses %d bytes, and changes them", len(payload))
	}
	return nil
}
