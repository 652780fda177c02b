package frame

import (
	"errors"
	"io"
	"net"
)

// A BuffersWriter is a stream that writes several frames at once, such as a type of one's own around a *net.TCPConn.
type BuffersWriter interface {
	// WriteBuffers does what the WriteTo of bufs does: it takes off bufs what it has written, and returns how much.
	WriteBuffers(bufs *net.Buffers) (int64, error)
}

// A Writer puts frames into a byte stream, several of them with one system call (writev) when the stream is a
// *net.TCPConn, a *net.UnixConn or a BuffersWriter, with one Write per frame otherwise. It is not safe for concurrent
// use.
type Writer struct {
	dst    io.Writer
	writev func(*net.Buffers) (int64, error) // nil: the stream has none
	vec    [][]byte                          // reused
	unsent net.Buffers
}

// NewWriter returns a Writer of frames to dst.
func NewWriter(dst io.Writer) *Writer {
	w := &Writer{dst: dst}
	// net.Buffers would also find the writev of a struct that embeds one of these, and pass by the Write of that
	// struct.
	switch dst := dst.(type) {
	case BuffersWriter:
		w.writev = dst.WriteBuffers
	case *net.TCPConn, *net.UnixConn:
		w.writev = func(bufs *net.Buffers) (int64, error) { return bufs.WriteTo(dst) }
	}
	return w
}

// Write writes frames in order and releases each that is written. It returns how many were; after an error,
// frames[sent:] are still the caller's, and the first of them has lost the part that was written, so that a later
// Write can go on.
func (w *Writer) Write(frames []*Buf) (sent int, err error) {
	if w.writev != nil && len(frames) > 1 {
		return w.writeAtOnce(frames)
	}
	for _, b := range frames {
		err := w.writeOne(b)
		if b.Len() == 0 {
			b.Release()
			sent++
		}
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// writeOne takes off b what dst has accepted: all of it, if there is no error.
func (w *Writer) writeOne(b *Buf) error {
	if b.Len() == 0 {
		return nil
	}
	n, err := w.dst.Write(b.Bytes())
	if n < 0 || n > b.Len() {
		return errors.New("frame: the stream's Write returned an impossible count")
	}
	b.TrimFront(n)
	if err == nil && b.Len() > 0 {
		return io.ErrShortWrite
	}
	return err
}

func (w *Writer) writeAtOnce(frames []*Buf) (sent int, err error) {
	w.vec = w.vec[:0]
	for _, b := range frames {
		w.vec = append(w.vec, b.Bytes())
	}
	w.unsent = w.vec
	n, err := w.writev(&w.unsent)
	clear(w.vec)
	return Sent(frames, int(n)), err
}

// Sent takes in that n bytes of frames have left: it releases those that are sent whole, whose number it returns, and
// takes off the next what is sent of it.
func Sent(frames []*Buf, n int) (sent int) {
	for _, b := range frames {
		part := min(n, b.Len())
		b.TrimFront(part)
		n -= part
		if b.Len() > 0 {
			break
		}
		b.Release()
		sent++
	}
	return sent
}
