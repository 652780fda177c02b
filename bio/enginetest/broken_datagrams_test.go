package enginetest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/dtls"
)

// A brokenDatagrams is a good engine for datagrams with a fault in front of it.
type brokenDatagrams struct {
	*broken
	good *dtls.Engine
}

func (b *brokenDatagrams) Ready() <-chan struct{} {
	if b.ready == nil {
		return b.good.Ready()
	}
	return b.ready
}

func (b *brokenDatagrams) Tick(now time.Time) (bio.Status, error) {
	if b.tick == nil {
		return b.good.Tick(now)
	}
	return b.tick(b.good, now)
}

func (b *brokenDatagrams) SealBatch(dst []byte, messages [][]byte, head, tail int) ([]byte, int, int, error) {
	if b.sealBatch == nil {
		return b.good.SealBatch(dst, messages, head, tail)
	}
	return b.sealBatch(b.good, dst, messages, head, tail)
}

func (b *brokenDatagrams) OpenBatch(dst [][]byte, buf []byte, segment int) ([][]byte, bio.Status, error) {
	if b.openBatch == nil {
		return b.good.OpenBatch(dst, buf, segment)
	}
	return b.openBatch(b.good, dst, buf, segment)
}

func (b *brokenDatagrams) LocalCID() []byte { return b.good.LocalCID() }

func noError(e bio.Engine, now time.Time) (bio.Status, error) {
	st, _ := e.Tick(now)
	return st, nil
}

// together keeps a short message until the next one comes.
func together() func(e bio.Engine, dst, src []byte) ([]byte, bio.Status, error) {
	var kept []byte
	return func(e bio.Engine, dst, src []byte) ([]byte, bio.Status, error) {
		out, st, err := e.Open(append(dst, kept...), src)
		if kept = nil; len(out) == len(dst)+17 {
			kept = bytes.Clone(out[len(dst):])
			out = out[:len(dst)]
		}
		return out, st, err
	}
}

func cutShort(e bio.Engine, dst, p []byte) ([]byte, int, error) {
	return e.Seal(dst, p[:min(len(p), dtls.MaxMessage)])
}

// rememberAll opens again what it has opened before.
func rememberAll() func(e bio.Engine, dst, src []byte) ([]byte, bio.Status, error) {
	messages := map[string][]byte{}
	return func(e bio.Engine, dst, src []byte) ([]byte, bio.Status, error) {
		d := string(src)
		if p := messages[d]; p != nil {
			return append(dst, p...), bio.Status{Consumed: len(src)}, nil
		}
		out, st, err := e.Open(dst, src)
		if len(out) > len(dst) {
			messages[d] = bytes.Clone(out[len(dst):])
		}
		return out, st, err
	}
}

// believeAlerts ends an engine for a fatal alert, protected or not.
func believeAlerts(e bio.Engine, dst, src []byte) ([]byte, bio.Status, error) {
	if len(src) == dtlsHeader+2 && src[0] == alertType && src[dtlsHeader] == 2 {
		e.Abort(&bio.AlertError{Alert: tls.AlertError(src[dtlsHeader+1])})
	}
	return e.Open(dst, src)
}

// demandRecords ends an engine for what is no record.
func demandRecords(e bio.Engine, dst, src []byte) ([]byte, bio.Status, error) {
	if _, rest := dtlsRecords(src); len(rest) > 0 {
		e.Abort(errors.New("short record"))
	}
	return e.Open(dst, src)
}

func alwaysNewest(e bio.Engine, dst, src []byte) ([]byte, bio.Status, error) {
	out, st, err := e.Open(dst, src)
	st.Events |= bio.EventNewest
	return out, st, err
}

// sayOnce does not repeat what was lost.
func sayOnce() func(e bio.Engine, dst []byte, limit int) ([]byte, bool) {
	said := map[string]bool{}
	return func(e bio.Engine, dst []byte, limit int) ([]byte, bool) {
		out, more := e.Flush(nil, limit)
		if len(out) > dtlsHeader && out[4] == 0 {
			what := string(out[dtlsHeader:]) // the rest of the header is new each time
			if said[what] {
				return dst, false
			}
			said[what] = true
		}
		return append(dst, out...), more
	}
}

// sealAnew repeats a protected record with its number and other contents.
func sealAnew() func(e bio.Engine, dst []byte, limit int) ([]byte, bool) {
	said := map[string]bool{}
	return func(e bio.Engine, dst []byte, limit int) ([]byte, bool) {
		out, more := e.Flush(nil, limit)
		if len(out) > 0 && said[string(out)] {
			out[len(out)-1] ^= 1
		}
		said[string(out)] = true
		return append(dst, out...), more
	}
}

// flushAll puts a flight into one datagram.
func flushAll(e bio.Engine, dst []byte, limit int) ([]byte, bool) {
	dst, more := e.Flush(dst, limit)
	time.Sleep(5 * time.Millisecond) // until the rest is there
	for more = true; more; {
		dst, more = e.Flush(dst, limit)
	}
	return dst, false
}

// padHead lets records begin where the frame's header shall be.
func padHead(e *dtls.Engine, dst []byte, messages [][]byte, head, tail int) ([]byte, int, int, error) {
	from := len(dst)
	out, segment, n, err := e.SealBatch(dst, messages, head, tail)
	if err == nil && head > 0 && n > 0 {
		out[from] = 0
	}
	return out, segment, n, err
}

// oneMore takes a message behind a shorter one.
func oneMore(e *dtls.Engine, dst []byte, messages [][]byte, head, tail int) ([]byte, int, int, error) {
	out, segment, n, err := e.SealBatch(dst, messages, head, tail)
	if err == nil && n < len(messages) && len(messages[n]) <= len(messages[0]) {
		out, _, _, err = e.SealBatch(out, messages[n:n+1], head, tail)
		n++
	}
	return out, segment, n, err
}

// sameArray lets what is appended to one message reach the next.
func sameArray(e *dtls.Engine, dst [][]byte, buf []byte, segment int) ([][]byte, bio.Status, error) {
	got, st, err := e.OpenBatch(nil, buf, segment)
	for _, p := range got {
		if at := bytes.Index(buf, p); at >= 0 {
			p = buf[at : at+len(p)]
		}
		dst = append(dst, p)
	}
	return dst, st, err
}
