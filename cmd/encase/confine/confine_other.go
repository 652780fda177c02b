//go:build !linux

package confine

import (
	"errors"
	"os"
)

// Enforce does nothing: what confines a program here is Linux's.
func Enforce(_ Needs, strict bool) error {
	if strict {
		return errors.New("confine: programs can be confined on Linux only")
	}
	return nil
}

// Look returns what is known of this program.
func Look() State { return State{User: os.Getuid(), Capabilities: []string{}} }
