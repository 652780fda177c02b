// Package vector runs test vectors in the form of spec/vectors/README.md: one file, one property of a codec. Tests use
// package codectest, which runs them as subtests.
package vector

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"testing/iotest"
	"time"

	"github.com/encase-tls/encase/frame"
)

// Run runs the vector in text for each role that it is for. parse makes a Maker of what the vector says under "codec".
// An error says what happened instead of what should have.
func Run(text []byte, parse func(spec string) (frame.Maker, error)) error {
	v, err := parseVector(string(text))
	if err != nil {
		return err
	}
	mk, err := parse(v.codec)
	if err != nil {
		return err
	}
	for _, role := range v.roles {
		for _, pieces := range v.ways() {
			m, err := mk(role)
			if err != nil {
				return err
			}
			p := &player{m: m, now: time.Unix(1e9, 0), pieces: pieces}
			if err := p.play(v); err != nil {
				return fmt.Errorf("as %v: %w\n%s", role, err, text)
			}
		}
	}
	return nil
}

// A player is a Machine that does what a vector says.
type player struct {
	m        frame.Machine
	now      time.Time
	pieces   bool     // a stream comes a byte at a time
	happened []string // events as lines of a vector, since the last action
	released []byte
}

func (p *player) play(v *vector) error {
	if err := p.act(p.m.Start); err != nil {
		return fmt.Errorf("Start: %w", err)
	}
	var got string
	var err error
	switch v.do {
	case "framelen":
		return p.frameLen(v)
	case "encode", "flow":
		got, err = p.flow(v)
	case "decode":
		got, err = outcome(p.recv(v.bytes()))
	case "stream":
		got, err = p.stream(v)
	default:
		err = fmt.Errorf("vector: do: %q: have encode, decode, framelen, stream, flow", v.do)
	}
	if err != nil {
		return err
	}
	return p.compare(v, got)
}

// compare checks the outcome, and what has been released until then.
func (p *player) compare(v *vector, got string) error {
	if got != v.expect {
		return fmt.Errorf("the outcome is %s, expected %s", got, v.expect)
	}
	if sum := sha256.Sum256(p.released); v.payload != "" && hex.EncodeToString(sum[:]) != v.payload {
		return fmt.Errorf("released are %d other bytes than expected: %.64x", len(p.released), p.released)
	}
	return nil
}

// outcome returns what vectors call err. Other errors come back.
func outcome(err error) (string, error) {
	switch {
	case err == nil || err == io.EOF:
		return "ok", nil
	case errors.Is(err, frame.ErrMalformed):
		return "malformed", nil
	case errors.Is(err, frame.ErrTooLarge):
		return "too-large", nil
	case err == io.ErrUnexpectedEOF:
		return "more", nil
	}
	return "", err
}

// act calls a method of the Machine and notes what it wants done.
func (p *player) act(f func([]frame.Event) ([]frame.Event, error)) error {
	var ev []frame.Event
	var err error
	if t, ok := p.m.(frame.Timed); ok {
		if ev, err = t.Tick(ev, p.now); err != nil {
			return err
		}
	}
	ev, err = f(ev)
	for _, e := range ev {
		switch {
		case e.Kind == frame.Out:
			p.happened = append(p.happened, "> "+hex.EncodeToString(e.Buf.Bytes()))
		case e.Kind == frame.In && e.Buf.Len() > 0:
			p.happened = append(p.happened, "= "+hex.EncodeToString(e.Buf.Bytes()))
			p.released = append(p.released, e.Buf.Bytes()...)
		case e.Kind == frame.Done && e.Err != nil:
			p.happened = append(p.happened, "! done "+e.Err.Error())
		case e.Kind != frame.In:
			p.happened = append(p.happened, "! "+e.Kind.String())
		}
		if e.Buf != nil {
			e.Buf.Release()
		}
	}
	return err
}

func (p *player) recv(f []byte) error {
	b := frame.NewBuf(0, f, 0)
	return p.act(func(ev []frame.Event) ([]frame.Event, error) { return p.m.Recv(ev, b) })
}

func (p *player) send(payload []byte) error {
	l := p.m.Limits()
	b := frame.NewBuf(l.Head, payload, l.Tail)
	return p.act(func(ev []frame.Event) ([]frame.Event, error) { return p.m.Send(ev, b, true) })
}

func (p *player) end(ev []frame.Event) ([]frame.Event, error) {
	if e, ok := p.m.(frame.Ender); ok {
		return e.End(ev)
	}
	return ev, nil
}

// flow does the lines of a vector in order. What happens has to be there before the next action.
func (p *player) flow(v *vector) (string, error) {
	for i := 0; i < len(v.body); {
		line := v.body[i]
		var err error
		switch {
		case line.mark == '<':
			err = p.recv(line.p)
		case line.mark == '+':
			err = p.send(line.p)
		case line.word == "end":
			err = p.act(p.end)
		default:
			return "", fmt.Errorf("%q did not happen", line)
		}
		i++
		for _, did := range p.happened {
			if i == len(v.body) || v.body[i].String() != did {
				return "", fmt.Errorf("%.80q happened after %.80q", did, line)
			}
			i++
		}
		p.happened = nil
		if err != nil && i < len(v.body) {
			return "", fmt.Errorf("%.80q fails: %w", line, err)
		}
		if err != nil {
			return outcome(err)
		}
	}
	return "ok", nil
}

var errNoFrameLen = errors.New("vector: the Machine has no FrameLen")

func (p *player) frameLen(v *vector) error {
	d, ok := p.m.(frame.Delimiter)
	if !ok {
		return errNoFrameLen
	}
	n, err := d.FrameLen(v.bytes())
	got, err := outcome(err)
	if err != nil {
		return err
	}
	if got == "ok" && n == 0 {
		got = "more"
	}
	if got != v.expect || got == "ok" && n != v.length {
		return fmt.Errorf("FrameLen says %s, %d; expected %s, %d", got, n, v.expect, v.length)
	}
	return nil
}

// maxStreamFrame bounds the frames of a stream.
const maxStreamFrame = 1 << 20

// stream decodes the body of v as a stream.
func (p *player) stream(v *vector) (string, error) {
	d, ok := p.m.(frame.Delimiter)
	if !ok {
		return "", errNoFrameLen
	}
	var src io.Reader = bytes.NewReader(v.bytes())
	if p.pieces {
		src = iotest.OneByteReader(src)
	}
	r := frame.NewReader(src, d, maxStreamFrame)
	for {
		b, err := r.Next()
		if err == nil {
			err = p.act(func(ev []frame.Event) ([]frame.Event, error) { return p.m.Recv(ev, b) })
		}
		if err != nil {
			return outcome(err)
		}
	}
}
