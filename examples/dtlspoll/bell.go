//go:build linux

package main

import (
	"sync"

	"golang.org/x/sys/unix"
)

// A bell wakes a poll that waits: whoever rings it makes its descriptor readable.
type bell struct {
	fd int

	mu   sync.Mutex
	rung map[*peer]bool // for whom
}

func newBell() (*bell, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	return &bell{fd: fd, rung: map[*peer]bool{}}, err
}

// ring may be called from any goroutine; p may be nil.
func (b *bell) ring(p *peer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rung == nil {
		return // closed: the number of the descriptor may be somebody else's by now
	}
	b.rung[p] = true
	unix.Write(b.fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // a full counter is as good as one
}

// answer returns for whom it was rung since the last time.
func (b *bell) answer() map[*peer]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	var count [8]byte
	unix.Read(b.fd, count[:])
	rung := b.rung
	b.rung = map[*peer]bool{}
	return rung
}

func (b *bell) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rung = nil
	unix.Close(b.fd)
}

// follow rings for p whenever its handshake has something to do, until that is over. A channel cannot be polled: hence
// this goroutine, and only during the handshake.
func (b *bell) follow(p *peer) {
	for {
		select {
		case <-p.engine.Ready():
			b.ring(p)
		case <-p.shaken:
			return
		}
	}
}
