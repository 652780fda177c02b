package hdlc_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs"
	_ "github.com/encase-tls/encase/codecs/cobs"
	_ "github.com/encase-tls/encase/codecs/slip"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/needtest"
)

// line returns the two ends of a serial line: pseudo-terminals that socat joins.
func line(t *testing.T) (a, b *os.File) {
	t.Helper()
	socat := needtest.Program(t, "socat", "socat")
	dir, err := os.MkdirTemp("", "line") // without a comma: those of t.TempDir have the name of the test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	names := []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}
	cmd := exec.Command(socat, "pty,raw,echo=0,link="+names[0], "pty,raw,echo=0,link="+names[1])
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	var ends [2]*os.File
	for i, name := range names {
		for until := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			if ends[i], err = os.OpenFile(name, os.O_RDWR, 0); err == nil {
				break
			}
			if time.Now().After(until) {
				t.Fatalf("no line from socat: %v", err)
			}
		}
		t.Cleanup(func() { ends[i].Close() })
	}
	return ends[0], ends[1]
}

// TLS works over a serial line with each of the codecs for one, in both directions at once.
func TestTLSOverALine(t *testing.T) {
	ca, err := ephemeral.New("test CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("server.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range []string{"slip", "hdlc", "hdlc:accm=ffffffff,fcs=32", "cobs", "cobs:crc=16,max=256"} {
		t.Run(spec, func(t *testing.T) {
			mk, err := codecs.Parse(spec)
			if err != nil {
				t.Fatal(err)
			}
			a, b := line(t)
			client := wrap.Client(wrap.Stream(a), &wrap.Config{
				TLS: &tls.Config{RootCAs: ca.Pool(), ServerName: "server.test"}, Codec: mk})
			server := wrap.Server(wrap.Stream(b), &wrap.Config{
				TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, Codec: mk})
			var all sync.WaitGroup
			for i, conn := range []*wrap.Conn{client, server} {
				conn.SetDeadline(time.Now().Add(2 * time.Minute))
				all.Go(func() { send(t, conn, byte(i)) })
				all.Go(func() { receive(t, conn, byte(1-i)) })
			}
			all.Wait()
			client.Close()
			server.Close()
		})
	}
}

func noise(seed byte) []byte {
	p := make([]byte, 200<<10)
	rand.NewChaCha8([32]byte{seed}).Read(p)
	return p
}

func send(t *testing.T, conn *wrap.Conn, seed byte) {
	_, err := conn.Write(noise(seed))
	if err := errors.Join(err, conn.CloseWrite()); err != nil {
		t.Errorf("Write: %v", err)
	}
}

// receive reads without waiting for anything else. socat moves both directions in one thread, which waits where a
// reader is slow: an end that did not read while it has to wait for room to write would wait for itself.
func receive(t *testing.T, conn *wrap.Conn, seed byte) {
	got, err := io.ReadAll(conn)
	if want := noise(seed); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes arrive of %d, or others: %v", len(got), len(want), err)
	}
}
