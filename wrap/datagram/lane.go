package datagram

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// A lane is the output over a byte stream, which may keep a sender waiting for as long as its peer likes. So frames wait
// in a queue, and a goroutine, which exists while there are any, sends them. It belongs to one Conn: when the queue for
// Read is full, receiving waits, and so does the peer.
type lane struct {
	carrier wrap.Carrier
	c       *Conn
	vacancy *waiter // where receiving waits for a Read

	mu    sync.Mutex
	queue []*frame.Buf
	spare []*frame.Buf
	size  int           // bytes of memory in queue and with the carrier
	busy  bool          // the goroutine is there
	quiet chan struct{} // closed when it is not any more; nil if nobody waits for that
	err   error
}

func newLane(carrier wrap.Carrier, c *Conn) *lane {
	return &lane{carrier: carrier, c: c, vacancy: &waiter{wake: make(chan struct{}, 1)}}
}

func (l *lane) limits() frame.Limits { return l.carrier.Limits() }
func (l *lane) taken()               { l.vacancy.poke() }
func (l *lane) start(c *Conn)        { go receive(c, l.carrier, l.awaitReader) }

// awaitReader waits until there is room in the queue for Read. It returns false if there never will be.
func (l *lane) awaitReader() bool {
	for {
		l.c.mu.Lock()
		room := l.c.queue.size <= l.c.cfg.queue()/2
		l.c.mu.Unlock()
		if l.c.closed.Load() || room {
			return room
		}
		l.vacancy.wait()
	}
}

func (l *lane) full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err == nil && l.size > wrap.DefaultWriteBuffer
}

// send queues frames. Answers that a peer demands and does not read are dropped before they are too many: for a
// datagram, that is allowed.
func (l *lane) send(_ *Conn, frames []*frame.Buf) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.err != nil:
		releaseAll(frames)
		return l.err
	case l.size > 2*wrap.DefaultWriteBuffer:
		releaseAll(frames)
		return bio.ErrTooMuch
	}
	for _, b := range frames {
		l.queue = append(l.queue, b)
		l.size += b.Cap()
	}
	if !l.busy {
		l.busy = true
		go l.run()
	}
	return nil
}

func (l *lane) run() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) > 0 && l.err == nil {
		batch, size := l.queue, l.size
		l.queue, l.spare = l.spare[:0], nil
		l.mu.Unlock()
		sent, err := l.carrier.Send(batch)
		if sent < len(batch) && err == nil {
			err = io.ErrShortWrite
		}
		releaseAll(batch[sent:])
		clear(batch)
		l.mu.Lock()
		l.spare = batch[:0]
		l.size -= size
		if err != nil {
			l.failLocked(fmt.Errorf("datagram: carrier: %w", err))
		}
		l.c.writer.Load().poke()
	}
	l.busy = false
	if l.quiet != nil {
		close(l.quiet)
		l.quiet = nil
	}
}

func (l *lane) failLocked(err error) {
	releaseAll(l.queue)
	l.queue, l.spare, l.size, l.err = nil, nil, 0, err
	go l.c.fail(err)
}

// end waits until all is sent, at most for Config.Linger, and closes the carrier.
func (l *lane) end(c *Conn) error {
	l.vacancy.poke()
	linger := c.cfg.linger()
	l.mu.Lock()
	quiet := l.quiet
	if l.busy && quiet == nil {
		quiet = make(chan struct{})
		l.quiet = quiet
	}
	l.mu.Unlock()
	var late error
	if quiet != nil {
		timer := time.NewTimer(linger)
		select {
		case <-quiet:
		case <-timer.C:
			late = fmt.Errorf("datagram: closed with messages unsent: the peer did not take them within %v: %w",
				linger, os.ErrDeadlineExceeded)
		}
		timer.Stop()
	}
	l.carrier.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	err := orElse(l.err, late)
	l.err = orElse(l.err, net.ErrClosed)
	if c.eng.State().PeerClosed {
		return nil // it would not have read it
	}
	return err
}
