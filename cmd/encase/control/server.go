package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// A Handler answers requests. It may be called several times at once; ctx ends when the asker has no more patience.
type Handler func(ctx context.Context, q Request) Answer

// A Server waits for requests.
type Server struct {
	l       net.Listener
	answers sync.WaitGroup
	ctx     context.Context
	stop    context.CancelFunc
}

// most is how many requests are answered at once.
const most = 16

// Listen makes the socket at path, and the folder that it is in. A socket that a dead program has left is replaced; one
// that is answered is an error.
func Listen(path string) (*Server, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	l, err := listen(path)
	if err != nil {
		if c, dialErr := net.DialTimeout("unix", path, time.Second); dialErr == nil {
			c.Close()
			return nil, fmt.Errorf("control: another encase answers at %s: take it down first, or name another socket", path)
		}
		info, statErr := os.Lstat(path)
		if statErr != nil || info.Mode()&os.ModeSocket == 0 {
			return nil, fmt.Errorf("control: %w", err)
		}
		os.Remove(path)
		if l, err = listen(path); err != nil {
			return nil, fmt.Errorf("control: %w", err)
		}
	}
	s := &Server{l: l}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// listen makes a socket that is for its owner alone from the first moment on: it gets its name when that is so.
func listen(path string) (net.Listener, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s is there already", path)
	}
	folder, err := os.MkdirTemp(filepath.Dir(path), ".encase-*") // mode 0700
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	early := filepath.Join(folder, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: early, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(early, 0o600), os.Rename(early, path)); err != nil {
		l.Close()
		return nil, err
	}
	return &named{l, path}, nil
}

// A named is a socket that takes its name with it.
type named struct {
	net.Listener
	path string
}

func (n *named) Close() error { return errors.Join(n.Listener.Close(), os.Remove(n.path)) }

// Serve answers requests until Close.
func (s *Server) Serve(h Handler) {
	room := make(chan struct{}, most)
	for {
		c, err := s.l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			time.Sleep(100 * time.Millisecond) // no files, or no memory, at the moment
			continue
		}
		room <- struct{}{}
		s.answers.Go(func() {
			defer func() { <-room }()
			s.answer(c, h)
		})
	}
}

func (s *Server) answer(c net.Conn, h Handler) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	q, err := readRequest(c)
	a := Answer{}
	if err != nil {
		a.Error = err.Error()
	} else {
		a = h(ctx, q)
	}
	json.NewEncoder(c).Encode(a) // an asker that has gone needs no answer
}

// Close takes the socket away, and waits until the last answer is given.
func (s *Server) Close() error {
	err := s.l.Close()
	s.stop()
	s.answers.Wait()
	return err
}
