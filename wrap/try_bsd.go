//go:build unix && !linux

package wrap

import (
	"syscall"

	"github.com/encase-tls/encase/frame"
)

// A vector writes several frames.
type vector struct{}

// write returns how many bytes went.
func (*vector) write(fd uintptr, frames []*frame.Buf) (total int) {
	for _, b := range frames {
		n, err := syscall.Write(int(fd), b.Bytes())
		if total += max(n, 0); err != nil || n < b.Len() {
			break
		}
	}
	return total
}

// receive reads from a socket what has come.
func receive(fd uintptr, p []byte) (int, error) { return syscall.Read(int(fd), p) }
