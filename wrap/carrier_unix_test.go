//go:build unix

package wrap_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/encase-tls/encase/wrap"
)

// TestPipes joins two pipes, one for each direction.
func TestPipes(t *testing.T) {
	r1, w1, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r2, w2, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	useStream(t, wrap.Join(r1, w2), wrap.Join(r2, w1))
}

// TestReset resets a TCP connection in the middle: Read says that of the socket, as net does.
func TestReset(t *testing.T) {
	client, server := wrapConfigs(t, "length:16be")
	near, far := tcpPair(t)
	c, s := connect(t, far, near, client, server)
	shake(t, c, s)
	exchange(t, c, s)
	near.SetLinger(0)
	near.Close()
	err := readErr(t, c)
	var op *net.OpError
	if !errors.Is(err, syscall.ECONNRESET) || !errors.As(err, &op) || op.Op != "read" || op.Addr == nil {
		t.Errorf("Read: %v", err)
	}
}

// TestFIFOs joins two FIFOs, as two programs would that have only file names in common.
func TestFIFOs(t *testing.T) {
	dir := t.TempDir()
	up, down := filepath.Join(dir, "up"), filepath.Join(dir, "down")
	for _, name := range []string{up, down} {
		if err := syscall.Mkfifo(name, 0o600); err != nil {
			t.Skipf("mkfifo: %v", err)
		}
	}
	var client, server io.ReadWriteCloser
	var both sync.WaitGroup // to open a FIFO waits for the other end
	both.Go(func() { w, r := openFIFO(t, up, os.O_WRONLY), openFIFO(t, down, os.O_RDONLY); client = wrap.Join(r, w) })
	both.Go(func() { r, w := openFIFO(t, up, os.O_RDONLY), openFIFO(t, down, os.O_WRONLY); server = wrap.Join(r, w) })
	both.Wait()
	useStream(t, client, server)
}

func openFIFO(t *testing.T, name string, flag int) *os.File {
	f, err := os.OpenFile(name, flag, 0)
	if err != nil {
		t.Error(err)
	}
	return f
}

// TestStandardFiles joins files as standard input and output often are: in blocking mode, so that they have no
// deadlines, and Close does not end a Read.
func TestStandardFiles(t *testing.T) {
	in1, out1 := blockingPipe(t)
	in2, out2 := blockingPipe(t)
	if err := in1.SetReadDeadline(time.Time{}); err == nil {
		t.Fatal("the file has deadlines: this proves nothing")
	}
	useStream(t, wrap.Join(in1, out2), wrap.Join(in2, out1))
}

func blockingPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	var fds [2]int
	if err := syscall.Pipe(fds[:]); err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fds[0]), "in"), os.NewFile(uintptr(fds[1]), "out")
}
