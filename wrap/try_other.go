//go:build !unix

package wrap

import (
	"io"

	"github.com/encase-tls/encase/frame"
)

// lateReader returns nil: nothing here is known to wait without memory.
func lateReader(io.ReadWriteCloser) io.Reader { return nil }

// tryWriter returns nil: nothing here is known to write without waiting.
func tryWriter(io.ReadWriteCloser) func(frames []*frame.Buf) int { return nil }
