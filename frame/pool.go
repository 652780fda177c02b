package frame

import (
	"sync"
	"sync/atomic"

	"github.com/valyala/bytebufferpool"
)

// A Pool hands out Bufs whose arrays have one size. It is safe for concurrent use and allocates nothing in steady
// state.
//
// The arrays lie in a bytebufferpool.Pool of the Pool's own. That library learns from the length of what is put back
// which sizes are worth keeping, so every array goes back at its full length, however much of it was used: then all
// puts fall into one class, and its calibration never drops one. Once it has calibrated, it makes new arrays of the
// next power of two: choose sizes that are one where memory matters more than time.
type Pool struct {
	arrays  bytebufferpool.Pool // first: on 32 bits its 64-bit counters are aligned nowhere else
	size    int
	headers sync.Pool // of *Buf without an array
}

// NewPool returns a Pool of arrays of size bytes.
func NewPool(size int) *Pool { return &Pool{size: size} }

// Get returns an empty Buf with head bytes of headroom. The rest of the array is tailroom. Its bytes are not zeroed:
// they are what another connection left there. Get panics when head exceeds the size of the Pool's arrays.
func (p *Pool) Get(head int) *Buf {
	if uint(head) > uint(p.size) {
		noRoom("Get", head, p.size)
	}
	b, _ := p.headers.Get().(*Buf)
	if b == nil {
		b = new(Buf)
	}
	storage := p.arrays.Get()
	if cap(storage.B) < p.size {
		storage.B = make([]byte, p.size)
	}
	*b = Buf{full: storage.B[:p.size], off: head, end: head, pool: p, storage: storage}
	return b
}

// The classes are shared by all connections of a program.
var classes = [...]*Pool{
	NewPool(512),      // acknowledgements, small records
	NewPool(2 << 10),  // a datagram
	NewPool(4 << 10),  // what an idle stream reads into
	NewPool(18 << 10), // a full TLS record with its frame
	NewPool(64 << 10), // what a busy stream reads into
	NewPool(128 << 10),
}

// Get returns an empty Buf with head bytes of headroom and at least room bytes of tailroom, from the pool of the
// smallest class that has it. What exceeds the largest class, 128 KiB, is allocated and not pooled. As with Pool.Get,
// the bytes are not zeroed.
func Get(head, room int) *Buf {
	for _, p := range classes {
		if head+room <= p.size {
			return p.Get(head)
		}
	}
	return &Buf{full: make([]byte, head+room), off: head, end: head}
}

// PoisonReleased makes Release overwrite what goes back to a pool, so that a test notices code that kept a slice of
// it or sends bytes it never wrote, and makes a second Release panic as long as nobody else has got the Buf. It is
// for tests: call it in TestMain.
func PoisonReleased(on bool) { poison.Store(on) }

const poisonByte = 0xdb

var poison atomic.Bool
