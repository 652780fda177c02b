package wrap_test

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/encase-tls/encase/wrap/needtest"
)

// TestSerialLine runs over a pseudo-terminal in raw mode, which is what a serial line looks like to a program.
func TestSerialLine(t *testing.T) {
	near, far := serialLine(t)
	useStream(t, near, far)
}

func serialLine(t *testing.T) (near, far *os.File) {
	t.Helper()
	near, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		needtest.Skip(t, "no pseudo-terminal: %v", err)
	}
	t.Cleanup(func() { near.Close() })
	var n int
	err = control(near, func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		n, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return err
	})
	if err != nil {
		needtest.Skip(t, "no pseudo-terminal: %v", err)
	}
	far, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		needtest.Skip(t, "no pseudo-terminal: %v", err)
	}
	err = control(far, func(fd int) error {
		_, err := term.MakeRaw(fd)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return near, far
}

// control calls f with the descriptor of a file and leaves it in non-blocking mode, as File.Fd would not.
func control(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	if err := raw.Control(func(fd uintptr) { ferr = f(int(fd)) }); err != nil {
		return err
	}
	return ferr
}
