//go:build unix

package journal

import (
	"fmt"
	"os"
	"syscall"
)

// Reads reports whether the journal reads what is written to f, as JOURNAL_STREAM tells services of systemd.
func Reads(f *os.File) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", s.Dev, s.Ino)
}
