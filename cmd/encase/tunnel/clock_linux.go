package tunnel

import (
	"time"

	"golang.org/x/sys/unix"
)

// monotonic returns the time on the clock that systemd compares with.
func monotonic() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
