package wrap

import (
	"errors"
	"io"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
)

// openAll gives src to the engine, all of it, and sends what it answers.
func (c *Conn) openAll(p, src []byte) (n int, err error) {
	for {
		m, st, err := c.openSome(p[n:], src)
		n += m
		if flushErr := c.afterOpen(st); err == nil {
			err = flushErr
		}
		src = src[st.Consumed:]
		switch {
		case err != nil:
			return n, err
		case st.Events.Has(bio.EventPeerClosed):
			return n, io.EOF
		case len(src) == 0:
			return n, nil
		case !c.open.Load() && c.eng.State().Phase == bio.PhaseChoosing:
			c.held = append(c.held, src...)
			return n, nil
		case st.Consumed == 0 && st.Out == 0:
			return n, errStuck
		}
	}
}

var errStuck = errors.New("wrap: the TLS engine takes no more input and does not say why")

// openSome gives src to the engine once. What it opens goes to p if that has room for all that src can hold.
func (c *Conn) openSome(p, src []byte) (n int, st bio.Status, err error) {
	if len(p) < len(src) || len(src) == 0 || c.plain != nil {
		if c.plain == nil {
			c.plain = frame.Get(0, len(src))
		}
		out, st, err := c.eng.Open(c.plain.Tail(), src)
		if c.plain.Adopt(out, 0); c.plain.Len() == 0 {
			c.dropPlain()
		}
		c.stats.plainIn.Add(uint64(len(out)))
		return 0, st, err
	}
	out, st, err := c.eng.Open(p[:0:len(p)], src)
	c.stats.plainIn.Add(uint64(len(out)))
	if len(out) > 0 && &out[0] != &p[0] { // it did not fit: a record that began in an earlier frame
		n = copy(p, out)
		if n < len(out) {
			c.plain = frame.NewBuf(0, out[n:], 0)
		}
		return n, st, err
	}
	return len(out), st, err
}

// afterOpen sends what the engine has queued. It never waits.
func (c *Conn) afterOpen(st bio.Status) error {
	if st.Out == 0 {
		return nil
	}
	return c.out.flight(c.eng)
}
