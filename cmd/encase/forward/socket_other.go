//go:build !unix

package forward

import "syscall"

// canTry says that a socket can be read without waiting.
const canTry = false

// A rawReader waits in now.
type rawReader struct{ conn streamConn }

func (r *rawReader) init(c streamConn, _ syscall.RawConn) { r.conn = c }
func (r *rawReader) now(p []byte) (int, error)            { return r.conn.Read(p) }
func (r *rawReader) await() error                         { return nil }

func fileLimit() int64 { return 0 }
