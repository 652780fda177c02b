package demo

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync/atomic"
	"time"

	"github.com/encase-tls/encase/cmd/encase/terminal"
)

const chunk = 64 << 10

// carry sends data in bulk and compares what arrives with what was sent.
func (o *options) carry(ctx context.Context, s *stage, w *world, r *results) error {
	s.act("%s through such frames", o.size.text())
	l, err := w.link(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	defer l.until(ctx)()
	done, stop := s.progress(int64(o.size))
	sum, took, err := l.verified(int64(o.size), counter{done})
	stop()
	if err != nil {
		return fmt.Errorf("the transfer: %w", err)
	}
	r.Bytes, r.Seconds, r.SHA256 = int64(o.size), took.Seconds(), hex.EncodeToString(sum)
	s.rows(
		terminal.Row{Name: "carried", Text: fmt.Sprintf("%d bytes in %v, %s/s", r.Bytes, took.Round(time.Millisecond),
			perSecond(rate(r.Bytes, took)))},
		terminal.Row{Name: "SHA-256", Text: r.SHA256[:16] + "... of what was sent, and of what arrived: equal"})
	s.line("")
	return nil
}

// verified moves n random bytes and compares the hashes of both ends, which it returns. What arrives is also written to
// seen.
func (l *link) verified(n int64, seen io.Writer) (sum []byte, took time.Duration, err error) {
	sent, received := sha256.New(), sha256.New()
	if took, err = l.transfer(n, sent, io.MultiWriter(received, seen)); err != nil {
		return nil, 0, err
	}
	sum = received.Sum(nil)
	if want := sent.Sum(nil); !bytes.Equal(sum, want) {
		return nil, 0, fmt.Errorf("what arrived is not what was sent: SHA-256 %x, not %x", sum, want)
	}
	return sum, took, nil
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// transfer moves n random bytes from server to client and returns how long that took, from the client's request to its
// last byte. What is sent is also written to sent, what arrives to received; either may be nil.
func (l *link) transfer(n int64, sent hash.Hash, received io.Writer) (time.Duration, error) {
	served := make(chan error, 1)
	go func() { served <- l.serve(n, sent) }()
	start := time.Now()
	err := l.fetch(n, received)
	took := time.Since(start)
	if err != nil {
		l.close() // the server may wait for this end
	}
	return took, errors.Join(err, <-served)
}

// serve waits for the request and sends n bytes, of which no two chunks are equal.
func (l *link) serve(n int64, sent hash.Hash) error {
	var request [1]byte
	if _, err := io.ReadFull(l.server, request[:]); err != nil {
		return err
	}
	data := make([]byte, chunk)
	rand.Read(data)
	for i := uint64(0); n > 0; i++ {
		binary.BigEndian.PutUint64(data, i)
		part := data[:min(n, chunk)]
		if sent != nil {
			sent.Write(part)
		}
		if _, err := l.server.Write(part); err != nil {
			return err
		}
		n -= int64(len(part))
	}
	return nil
}

func (l *link) fetch(n int64, received io.Writer) error {
	if _, err := l.client.Write([]byte{1}); err != nil {
		return err
	}
	buf := make([]byte, chunk)
	for n > 0 {
		m, err := l.client.Read(buf[:min(n, chunk)])
		if received != nil {
			received.Write(buf[:m])
		}
		n -= int64(m)
		if err != nil && n > 0 {
			return err
		}
	}
	return nil
}
