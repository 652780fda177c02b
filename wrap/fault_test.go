package wrap_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// A fault is something that befalls a stream of bytes at one place. It gets the bytes of one read from there on, and
// what it returns goes on instead; nil ends the stream.
type fault func(rng *rand.Rand, p []byte) [][]byte

var faults = map[string]fault{
	"flip": func(rng *rand.Rand, p []byte) [][]byte {
		p[0] ^= 1 << rng.IntN(8)
		return [][]byte{p}
	},
	"lose": func(rng *rand.Rand, p []byte) [][]byte { return [][]byte{p[min(len(p), 1+rng.IntN(20)):]} },
	"add": func(rng *rand.Rand, p []byte) [][]byte {
		return [][]byte{noise(1+rng.IntN(20), rng.Uint64()), p}
	},
	"repeat":  func(_ *rand.Rand, p []byte) [][]byte { return [][]byte{p, bytes.Clone(p)} },
	"reorder": func(_ *rand.Rand, p []byte) [][]byte { return [][]byte{p[len(p)/2:], p[:len(p)/2]} },
	"zero":    func(_ *rand.Rand, p []byte) [][]byte { clear(p); return [][]byte{p} },
	"cut":     func(*rand.Rand, []byte) [][]byte { return nil },
	"stall": func(_ *rand.Rand, p []byte) [][]byte {
		time.Sleep(time.Hour)
		return [][]byte{p}
	},
	"delay": func(_ *rand.Rand, p []byte) [][]byte {
		time.Sleep(5 * time.Second)
		return [][]byte{p}
	},
}

// TestFaults puts a relay between two ends that damages one direction at a random place, in the handshake or behind
// it. What is read is what was written, as far as it goes; a clean end is claimed only if all of it was read; every
// other end is an error of a known type, and both ends come to one.
func TestFaults(t *testing.T) {
	const rounds = 6
	hit := 0
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, codec := range []string{"", "length:16be", "websocket"} {
			for name, f := range faults {
				for round := range rounds {
					run := fmt.Sprintf("%s/codec=%s/%s/%d", tls.VersionName(version), codec, name, round)
					t.Run(run, func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							client, server := wrapConfigs(t, codec)
							client.TLS.MaxVersion = version
							client.Linger, server.Linger = time.Minute, time.Minute
							rng := rand.New(rand.NewPCG(uint64(round), uint64(len(run))))
							if underFault(t, client, server, f, name, rng) {
								hit++
							}
						})
					})
				}
			}
		}
	}
	if all := 2 * 3 * (len(faults) - 1) * rounds; hit < all*3/4 {
		t.Errorf("only %d of %d faults had consequences: this proves little", hit, all)
	}
}

const faultData = 3000

func underFault(t *testing.T, client, server *wrap.Config, f fault, name string, rng *rand.Rand) (noticed bool) {
	a, a2 := bio.Pair(700) // a flight, too, arrives in pieces
	b, b2 := bio.Pair(700)
	up := &relay{from: a2, to: b2, rng: rng, at: rng.IntN(faultData + 1000)}
	down := &relay{from: b2, to: a2, rng: rng, at: rng.IntN(faultData + 1000)}
	if rng.IntN(2) == 0 {
		up.fault = f
	} else {
		down.fault = f
	}
	go up.run()
	go down.run()
	c, s := wrap.Client(wrap.Stream(a), client), wrap.Server(wrap.Stream(b), server)
	results := make(chan error, 2)
	go func() { results <- converse(c, 1, 2) }()
	go func() { results <- converse(s, 2, 1) }()
	for range 2 {
		err := <-results
		noticed = noticed || err != nil
		if name == "delay" && err != nil {
			t.Errorf("a delay alone leads to: %v", err)
		}
		if err != nil && !known(err) {
			t.Errorf("of no known type: %v", err)
		}
	}
	synctest.Wait()
	time.Sleep(2 * time.Hour) // for a relay that is stalled
	return noticed
}

// converse writes, reads until the end, and closes.
func converse(c *wrap.Conn, mine, theirs uint64) error {
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	wrote := make(chan error, 1)
	go func() {
		_, err := c.Write(noise(faultData, mine))
		wrote <- errors.Join(err, c.CloseWrite())
	}()
	got, err := io.ReadAll(c)
	wroteErr := <-wrote // before Close, or the peer is told of a clean end without the data
	want := noise(faultData, theirs)
	switch {
	case !bytes.HasPrefix(want, got):
		return errors.New("what was read was never written")
	case err == nil && len(got) < len(want):
		return fmt.Errorf("a clean end after %d of %d bytes", len(got), len(want))
	case err != nil:
		return err
	}
	return wroteErr
}

// known reports whether err is of a type that says what happened. The last of the list is the relay's, which is gone.
func known(err error) bool {
	var alert *bio.AlertError
	var header tls.RecordHeaderError
	for _, target := range []error{frame.ErrMalformed, bio.ErrTruncated, os.ErrDeadlineExceeded, io.ErrClosedPipe} {
		if errors.Is(err, target) {
			return true
		}
	}
	return errors.As(err, &alert) || errors.As(err, &header)
}

// A relay passes on one direction of a stream, with a fault at one place.
type relay struct {
	from, to *bio.PairEnd
	rng      *rand.Rand
	at       int
	fault    fault // nil: none
}

func (r *relay) run() {
	defer r.to.CloseWrite()
	defer r.from.Close()
	p := make([]byte, 300)
	for passed := 0; ; {
		n, err := r.from.Read(p)
		if err != nil {
			return
		}
		pieces := [][]byte{p[:n]}
		if r.fault != nil && passed+n > r.at {
			skip := max(r.at-passed, 0)
			pieces = append([][]byte{p[:skip]}, r.fault(r.rng, bytes.Clone(p[skip:n]))...)
			if r.fault = nil; len(pieces) == 1 {
				r.to.Write(pieces[0])
				return
			}
		}
		passed += n
		for _, piece := range pieces {
			if _, err := r.to.Write(piece); err != nil {
				return
			}
		}
	}
}
