//go:build !linux

package forward

import "time"

// unsent gives the system some time to send, as it does not tell what it has not sent yet.
func (r *rawReader) unsent() int {
	time.Sleep(200 * time.Millisecond)
	return 0
}
