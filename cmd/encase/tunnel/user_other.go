//go:build !linux

package tunnel

import "errors"

// become refuses to become another user: capabilities are Linux's.
func (c *config) become() error {
	if get[string](c.doc, "interface.user") == "" {
		return nil
	}
	return errors.New("interface.user is for Linux; take it out")
}
