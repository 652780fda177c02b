//go:build !linux

package tunnel

import (
	"errors"
	"os"
)

// become refuses to become another user: capabilities are Linux's.
func (c *config) become(*steward) error {
	if get[string](c.doc, "interface.user") == "" {
		return nil
	}
	return errors.New("interface.user is for Linux; take it out")
}

// inheritedPipe is never called: nothing begins anew here.
func inheritedPipe(string) *os.File { return nil }

func keptCapabilities() []int { return nil }

// setCloseOnExec does nothing: systemd is Linux's.
func setCloseOnExec(int, bool) {}
