//go:build !linux

package tunnel

import "time"

// monotonic has no meaning without systemd.
func monotonic() time.Duration { return 0 }
