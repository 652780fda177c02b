package codec

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/encase-tls/encase/frame"
)

// A measurement is what an operation costs.
type measurement struct{ ns, allocs float64 }

// minus returns m without what other costs.
func (m measurement) minus(other measurement) measurement {
	return measurement{max(0, m.ns-other.ns), max(0, m.allocs-other.allocs)}
}

// measureLoop runs op again and again, for about span.
func measureLoop(span time.Duration, op func() error) (measurement, error) {
	const warm = 10
	for range warm {
		if err := op(); err != nil {
			return measurement{}, err
		}
	}
	for n := 100; ; n *= 4 {
		m, took, err := repeat(n, op)
		if err != nil || took >= span/5 {
			if err == nil && took < span {
				n = int(float64(n) * float64(span) / float64(max(took, 1)))
				m, _, err = repeat(n, op)
			}
			return m, err
		}
	}
}

func repeat(n int, op func() error) (measurement, time.Duration, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	for range n {
		if err := op(); err != nil {
			return measurement{}, 0, err
		}
	}
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	return measurement{
		ns:     float64(took.Nanoseconds()) / float64(n),
		allocs: float64((after.Mallocs - before.Mallocs) / uint64(n)),
	}, took, nil
}

// A bench is the two codecs of one direction, and the memory that they work in.
type bench struct {
	send, recv  frame.Codec
	payload     []byte
	full, taken []byte // to encode in, and to decode in
	head, size  int    // of full: where the payload begins; length of the frame
	buf         frame.Buf
}

func (d *description) newBench(n int) (*bench, error) {
	client, err := d.maker(frame.Client)
	if err != nil {
		return nil, err
	}
	server, err := d.maker(frame.Server)
	if err != nil {
		return nil, err
	}
	b := &bench{payload: make([]byte, n)}
	b.send, _, _ = frame.CodecsOf(client)
	_, b.recv, _ = frame.CodecsOf(server)
	rand.NewChaCha8([32]byte{}).Read(b.payload)
	l := b.send.Limits()
	b.head = l.Head
	b.full, b.taken = make([]byte, l.Head+n+l.Tail), make([]byte, l.Head+n+l.Tail)
	b.restore()
	return b, nil
}

func (b *bench) restore() error {
	copy(b.full[b.head:], b.payload)
	return nil
}

// encode encodes what lies in full.
func (b *bench) encode() error {
	b.buf.Borrow(b.full, b.head, b.head+len(b.payload))
	err := b.send.Encode(&b.buf)
	b.size = b.buf.Len()
	return err
}

// decode decodes the first size bytes of taken.
func (b *bench) decode() error {
	b.buf.Borrow(b.taken[:b.size], 0, b.size)
	return b.recv.Decode(&b.buf)
}

// measureCodec measures a codec of payloads of n bytes.
func (d *description) measureCodec(n int, span time.Duration) ([]cost, error) {
	b, err := d.newBench(n)
	if err != nil {
		return nil, err
	}
	if err := b.encode(); err != nil {
		return nil, err
	}
	encode, restore := b.encode, !bytes.Equal(b.full[b.head:b.head+n], b.payload)
	var copying measurement
	if restore {
		b.restore()
		if copying, err = measureLoop(span/4, b.restore); err != nil {
			return nil, err
		}
		encode = func() error { b.restore(); return b.encode() }
	}
	encoding, err := measureLoop(span, encode)
	if err != nil {
		return nil, err
	}
	decoding, err := d.measureDecode(n, span)
	if err != nil {
		return nil, err
	}
	return []cost{
		d.cost("encode", n, b.size, encoding.minus(copying)), d.cost("decode", n, b.size, decoding),
	}, nil
}

// measureDecode measures the decoding of one frame again and again if the codec takes it, and otherwise that of a new
// frame each time, less what making it costs.
func (d *description) measureDecode(n int, span time.Duration) (m measurement, err error) {
	b, err := d.newBench(n)
	if err != nil {
		return m, err
	}
	if err := b.make(); err != nil {
		return m, err
	}
	whole := bytes.Clone(b.taken[:b.size])
	again := func() error { copy(b.taken, whole); return b.decode() }
	if again() != nil || again() != nil {
		return d.measureSeries(n, span)
	}
	if bytes.Equal(b.taken[:b.size], whole) {
		return measureLoop(span, b.decode)
	}
	copying, err := measureLoop(span/4, func() error { copy(b.taken, whole); return nil })
	if err != nil {
		return m, err
	}
	m, err = measureLoop(span, again)
	return m.minus(copying), err
}

// measureSeries measures the decoding of frames that differ, such as by their number.
func (d *description) measureSeries(n int, span time.Duration) (m measurement, err error) {
	b, err := d.newBench(n)
	if err != nil {
		return m, err
	}
	both, err := measureLoop(span, func() error { return firstOf(b.make(), b.decode()) })
	if err != nil {
		return m, err
	}
	making, err := measureLoop(span, b.make)
	return both.minus(making), err
}

// make makes a frame in taken.
func (b *bench) make() error {
	b.restore()
	err := b.encode()
	copy(b.taken, b.buf.Bytes())
	return err
}
