package enginetest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/encase-tls/encase/bio"
)

var streamRules = []rule{
	{"ByteAtATime", streams, checkByteAtATime,
		"src may be any part of the stream."},
	{"Cuts", streams, checkCuts,
		"src may be any part of the stream."},
	{"FlushLimit", streams, checkFlushLimit,
		"Flush appends at most limit bytes, cut between records where one fits."},
	{"FlushBeforeSeal", streams, checkFlushBeforeSeal,
		"Protocol output that was queued goes in front of what Seal makes."},
	{"BothWrite", streams, checkBothWrite,
		"Open takes input while output waits: two ends that write at once do not stop each other."},
}

// conversation shakes hands, sends data both ways and closes in order.
func (l *link) conversation() error {
	if err := l.handshake(); err != nil {
		return err
	}
	for _, size := range []int{1, 700, 3000} {
		for _, e := range l.ends() {
			if err := l.talk(e, noise(size)); err != nil {
				return fmt.Errorf("%d bytes from the %s: %w", size, e.name, err)
			}
		}
	}
	for _, e := range l.ends() {
		if err := e.CloseWrite(); err != nil {
			return err
		}
	}
	if err := l.until("both ends to be closed", func() bool {
		return l.client.State().Phase == bio.PhaseClosed && l.server.State().Phase == bio.PhaseClosed
	}); err != nil {
		return err
	}
	if n := l.client.count(bio.EventTicket); n == 0 {
		return errors.New("the client had no EventTicket")
	}
	return nil
}

// checkByteAtATime is also the canary for each release of Go: an engine over crypto/tls lives by tls.Conn.Read being
// usable after a net.Error that is Temporary.
func checkByteAtATime(k *kit) error {
	l, err := k.pair(withTickets)
	if err != nil {
		return err
	}
	l.cut = func(int) int { return 1 }
	return l.conversation()
}

func checkCuts(k *kit) error {
	for seed := range uint64(10) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		l, err := k.pair(withTickets)
		if err != nil {
			return err
		}
		l.cut = func(n int) int { return 1 + rnd.IntN(1+rnd.IntN(n)) } // mostly small, sometimes more than a record
		if err := l.conversation(); err != nil {
			return fmt.Errorf("seed %d: %w", seed, err)
		}
	}
	return nil
}

// checkFlushLimit cuts flights by several limits. Each piece must end where the last record that fits ends, or, if none
// does, after limit bytes; and the peer must understand what the pieces make together.
func checkFlushLimit(k *kit) error {
	for _, limit := range []int{1, 4, 5, 6, 100, 131, 1350, 1 << 20} {
		l, err := k.pair(withTickets)
		if err != nil {
			return err
		}
		l.client.limit, l.server.limit = limit, limit
		for _, e := range l.ends() {
			for l.client.State().Phase != bio.PhaseOpen || l.server.State().Phase != bio.PhaseOpen {
				if err := e.flush(); err != nil {
					return err
				}
				if err := piecesWithin(e.sent, limit); err != nil {
					return fmt.Errorf("limit %d, %s: %w", limit, e.name, err)
				}
				if _, err := e.deliver(nil); err != nil {
					return err
				}
				e = e.peer
			}
		}
		if err := l.handshake(); err != nil {
			return fmt.Errorf("limit %d: %w", limit, err)
		}
		if err := l.talk(&l.client, noise(100)); err != nil {
			return fmt.Errorf("limit %d: %w", limit, err)
		}
	}
	return nil
}

func piecesWithin(pieces [][]byte, limit int) error {
	all := bytes.Join(pieces, nil)
	ends := make(map[int]bool)
	at := 0
	for _, r := range records(all) {
		at += len(r)
		ends[at] = true
	}
	at = 0
	for i, p := range pieces {
		want := min(limit, len(all)-at)
		for n := want; n > 0; n-- {
			if ends[at+n] {
				want = n
				break
			}
		}
		if len(p) != want {
			return fmt.Errorf("piece %d, at byte %d of %d, has %d bytes, want %d", i, at, len(all), len(p), want)
		}
		at += len(p)
	}
	return nil
}

// checkFlushBeforeSeal flushes a part of the first record of what the end of the handshake has queued, and leaves the
// rest to Seal.
func checkFlushBeforeSeal(k *kit) error {
	l, err := k.pair(withTickets)
	if err != nil {
		return err
	}
	last := &l.client // who finishes the handshake and has output then
	for l.client.State().Phase != bio.PhaseOpen && l.server.State().Phase != bio.PhaseOpen {
		if last = last.peer; last.State().Phase == bio.PhaseHandshake {
			if err := last.peer.flush(); err != nil {
				return err
			}
			if _, err := last.peer.deliver(nil); err != nil {
				return err
			}
		}
		if err := last.failed(); err != nil {
			return err
		}
	}
	first, more := last.Flush(nil, 3)
	if len(first) != 3 || !more {
		return fmt.Errorf("Flush of the %s returned %d bytes, more %v, want 3 of its last flight",
			last.name, len(first), more)
	}
	last.sent = append(last.sent, first)
	if err := last.seal(noise(100)); err != nil {
		return err
	}
	if out, more := last.Flush(nil, 0); len(out) != 0 || more {
		return fmt.Errorf("%d bytes are left after Seal", len(out))
	}
	return l.until("data", func() bool { return bytes.Equal(last.peer.got, noise(100)) })
}

// checkBothWrite sends much at once in both directions, over a carrier that holds less than two records.
func checkBothWrite(k *kit) error {
	l, err := k.open(withTickets)
	if err != nil {
		return err
	}
	const total, room = 4 << 20, 20 << 10
	a, b := bio.Pair(room)
	for _, c := range []*bio.PairEnd{a, b} {
		c.SetDeadline(time.Now().Add(longest))
	}
	client := newDuplex(&l.client, a, total)
	server := newDuplex(&l.server, b, total)
	var wg sync.WaitGroup
	errs := make(chan error, 4)
	for _, work := range []func() error{client.write, client.read, server.write, server.read} {
		wg.Go(func() {
			if err := work(); err != nil {
				errs <- err
				a.Close() // the others wait for it
				b.Close()
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

// A duplex drives an end as a program with a reader and a writer does. The reader never waits for the writer.
type duplex struct {
	*end
	conn  *bio.PairEnd
	total int
	kick  chan struct{} // output waits
}

func newDuplex(e *end, conn *bio.PairEnd, total int) *duplex {
	return &duplex{end: e, conn: conn, total: total, kick: make(chan struct{}, 1)}
}

// block is what both ends send, again and again.
var block = noise(40_000)

func (d *duplex) write() error {
	for left := d.total; left > 0; {
		select {
		case <-d.kick:
			out, _ := d.Flush(nil, 0)
			if _, err := d.conn.Write(out); err != nil {
				return fmt.Errorf("the %s cannot flush: %w", d.name, err)
			}
		default:
		}
		from := (d.total - left) % len(block)
		out, n, err := d.Seal(nil, block[from:min(len(block), from+left)])
		if err != nil {
			return fmt.Errorf("Seal of the %s: %w", d.name, err)
		}
		left -= n
		if _, err := d.conn.Write(out); err != nil {
			return fmt.Errorf("the %s cannot send, %d bytes are left: %w", d.name, left, err)
		}
	}
	if err := d.CloseWrite(); err != nil {
		return err
	}
	out, _ := d.Flush(nil, 0)
	_, err := d.conn.Write(out)
	return err
}

func (d *duplex) read() error {
	buf := make([]byte, 8<<10)
	var plain []byte
	for got := 0; ; {
		n, err := d.conn.Read(buf)
		if err != nil {
			return fmt.Errorf("the %s cannot receive after %d bytes: %w", d.name, got, err)
		}
		var st bio.Status
		plain, st, err = d.Open(plain[:0], buf[:n])
		if err != nil || st.Consumed != n {
			return fmt.Errorf("Open of the %s took %d of %d: %w", d.name, st.Consumed, n, err)
		}
		for rest := plain; len(rest) > 0; {
			at := got % len(block)
			m := min(len(rest), len(block)-at)
			if !bytes.Equal(rest[:m], block[at:at+m]) {
				return fmt.Errorf("the %s got something else than was sent, at byte %d", d.name, got)
			}
			got, rest = got+m, rest[m:]
		}
		if st.Out > 0 {
			select {
			case d.kick <- struct{}{}:
			default:
			}
		}
		if st.Events.Has(bio.EventPeerClosed) {
			if got != d.total {
				return fmt.Errorf("the %s got %d bytes before close_notify, want %d", d.name, got, d.total)
			}
			return nil
		}
	}
}
