package datagram

import (
	"errors"

	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// A codec is the framing of a Conn: none, a pair of codecs, or a machine of its own.
type codec struct {
	send, recv frame.Codec // of a pair; nil otherwise
	mach       *machine    // nil otherwise
	lim        frame.Limits
	room       frame.Limits // and what the output needs besides
	stream     bool         // a malformed frame is the end
}

var errPreamble = errors.New("datagram: the codec begins with a dialogue over a stream (frame.Preamble): use package wrap")

func (f *codec) init(cfg *Config, role frame.Role) error {
	m, err := cfg.machine(role)
	if err != nil {
		return err
	}
	if _, ok := m.(frame.Preamble); ok {
		return errPreamble
	}
	f.lim = m.Limits()
	send, recv, paired := frame.CodecsOf(m)
	switch {
	case frame.IsRaw(m):
	case paired:
		f.send, f.recv = send, recv
	default:
		f.mach = newMachine(m)
	}
	return nil
}

// delimiter returns what tells the frames apart in a stream, nil if there is nothing.
func (f *codec) delimiter() frame.Delimiter {
	if m := f.mach; m != nil {
		if _, ok := m.mach.(frame.Delimiter); ok {
			return m
		}
		return nil
	}
	d, _ := f.recv.(frame.Delimiter)
	return d
}

// endCodec ends the codec and sends what it has to say about that. The caller holds c.writing.
func (c *Conn) endCodec() {
	m := c.codec.mach
	if m == nil {
		return
	}
	m.end(c)
	s := scratches.Get().(*scratch)
	defer s.release()
	c.drainLocked(s)
}

// raw reports whether there is no framing.
func (f *codec) raw() bool { return f.recv == nil && f.mach == nil }

// frame turns a record into frames for send. The caller holds c.writing.
func (c *Conn) frame(s *scratch, b *frame.Buf, flush bool) (err error) {
	if f := &c.codec; f.mach != nil {
		err = f.mach.give(c, b, flush)
		c.takeFrames(s)
		return err
	}
	var record []byte
	if c.cfg.Trace != nil {
		record = append(record, b.Bytes()...) // the codec may change it in place
	}
	if c.codec.send != nil {
		if err := c.codec.send.Encode(b); err != nil {
			b.Release()
			return err
		}
	}
	if c.cfg.Trace != nil {
		c.cfg.Trace(wrap.Trace{Sent: true, Frame: b.Bytes(), TLS: record})
	}
	s.frames = append(s.frames, b)
	return nil
}

// takeFrames adds what a machine wants to be sent to s.frames.
func (c *Conn) takeFrames(s *scratch) {
	before := len(s.frames)
	s.frames = c.codec.mach.takeFrames(s.frames)
	if c.cfg.Trace == nil {
		return
	}
	for _, b := range s.frames[before:] {
		c.cfg.Trace(wrap.Trace{Sent: true, Frame: b.Bytes()})
	}
}
