package wrap_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/encase-tls/encase/bio"
)

// TestWriteDeadlines ends Writes at random times, mostly while the carrier is blocked, and compares what arrives with
// what the Writes said they took.
func TestWriteDeadlines(t *testing.T) {
	for _, codec := range []string{"", "length:16be", "length:16be,max=100"} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("codec=%s/seed=%d", codec, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { writeDeadlines(t, codec, seed) })
			})
		}
	}
}

func writeDeadlines(t *testing.T, codec string, seed uint64) {
	client, server := wrapConfigs(t, codec)
	client.WriteBuffer, client.Linger = 8<<10, time.Minute
	a, b := bio.Pair(2000)
	c, s := connect(t, a, b, client, server)
	shake(t, c, s)

	var got bytes.Buffer
	done := make(chan error, 1)
	go func() { done <- readSlowly(&got, s, rand.New(rand.NewPCG(seed, 1))) }()

	rng := rand.New(rand.NewPCG(seed, 2))
	stream := noise(200<<10, seed)
	sent, timeouts := 0, 0
	for sent < len(stream) {
		c.SetWriteDeadline(time.Now().Add(time.Duration(rng.IntN(40)-2) * time.Millisecond))
		n, err := c.Write(stream[sent:min(len(stream), sent+rng.IntN(64<<10))])
		sent += n
		var timeout net.Error
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && errors.As(err, &timeout) && timeout.Timeout():
			timeouts++
			time.Sleep(time.Duration(rng.IntN(10)) * time.Millisecond)
		case err != nil:
			t.Fatalf("Write after %d bytes: %v", sent, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("the reader: %v", err)
	}
	if !bytes.Equal(got.Bytes(), stream) {
		t.Errorf("%d bytes arrived, %d were sent, or they differ", got.Len(), sent)
	}
	if timeouts < 5 {
		t.Errorf("only %d Writes were ended: this proves little", timeouts)
	}
}

// readSlowly copies to w until the end, and rests now and then.
func readSlowly(w io.Writer, r io.Reader, rng *rand.Rand) error {
	p := make([]byte, 3000)
	for {
		n, err := r.Read(p[:1+rng.IntN(len(p))])
		w.Write(p[:n])
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if rng.IntN(4) == 0 {
			time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
		}
	}
}

// noise returns bytes that do not repeat.
func noise(n int, seed uint64) []byte {
	var key [32]byte
	key[0] = byte(seed)
	p := make([]byte, n)
	rand.NewChaCha8(key).Read(p)
	return p
}

// TestReadDeadlines ends Reads while a record arrives byte by byte: none of it is lost.
func TestReadDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := wrapConfigs(t, "length:16be")
		a, b := net.Pipe()
		c, s := connect(t, dripping{a, 2 * time.Millisecond}, b, client, server)
		shake(t, c, s)
		const message = "one record"
		go io.WriteString(c, message)
		var got []byte
		timeouts := 0
		for p := make([]byte, 100); len(got) < len(message); {
			s.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
			n, err := s.Read(p)
			got = append(got, p[:n]...)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				timeouts++
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if string(got) != message || timeouts < 3 {
			t.Errorf("read %q, with %d timeouts", got, timeouts)
		}
	})
}

// dripping writes one byte in each period.
type dripping struct {
	net.Conn
	period time.Duration
}

func (d dripping) Write(p []byte) (int, error) {
	for i := range p {
		time.Sleep(d.period)
		if _, err := d.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// TestDeadlinesDuringHandshake ends calls that wait for a handshake: it goes on, and they can be made again.
func TestDeadlinesDuringHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := wrapConfigs(t, "")
		a, b := net.Pipe()
		c, s := connect(t, a, b, client, server)
		c.SetDeadline(time.Now().Add(time.Second))
		_, err := c.Read(make([]byte, 1))
		wantErr(t, "Read", err, os.ErrDeadlineExceeded)
		_, err = c.Write([]byte("x"))
		wantErr(t, "Write", err, os.ErrDeadlineExceeded)
		c.SetDeadline(time.Time{})
		shake(t, c, s)
		exchange(t, c, s)
	})
}
