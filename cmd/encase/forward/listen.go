package forward

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// A listener accepts connections for the forward that its route is now.
type listener struct {
	net.Listener
	address address
	route   atomic.Pointer[route]
	inode   fs.FileInfo // of a Unix socket with a file
	full    sparseLog
	failing sparseLog
}

// An entrance is where clients come in.
type entrance interface {
	// use makes rt what new clients get.
	use(rt *route)
	current() *route
	// bound returns the address with the port that the system has chosen.
	bound() string
	// goesOnWith returns why the entrance cannot serve f as it is.
	goesOnWith(f *forward) error
	// retire lets nobody in from now on; soon: the program ends.
	retire(soon bool)
	// close gives up an entrance that does not serve yet.
	close()
}

// open opens the entrance of a forward.
func (s *service) openEntrance(f *forward) (entrance, error) {
	switch {
	case !f.accept.address.isUDP():
		return listen(f.accept.address, f.accept.mode)
	case f.accept.dtls != nil:
		return listenDTLS(s, f)
	}
	return listenPlain(s, f.accept.address)
}

// serve lets clients in. Streams end by themselves; the socket of datagrams is that of all its clients.
func (s *service) serve(in entrance) {
	switch in := in.(type) {
	case *listener:
		s.loops.Go(func() { s.accept(in) })
	case *plainPort:
		s.sessions.Go(func() { in.serve(s.ctx) })
	case *dtlsPort:
		s.sessions.Go(func() { in.serve(s.ctx) })
	}
}

// listen opens an address of streams; mode is for a Unix socket.
func listen(a address, mode fs.FileMode) (*listener, error) {
	if a.isUnix() && !strings.HasPrefix(a.target, "@") {
		return listenUnix(a, mode)
	}
	l, err := net.Listen(a.network, a.target)
	if err != nil {
		return nil, fmt.Errorf("forward: %w%s", err, listenRemedy(err))
	}
	return &listener{Listener: l, address: a}, nil
}

func listenRemedy(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "; another program listens there, or an earlier configuration of this one: ss -ltnp shows which"
	case errors.Is(err, syscall.EACCES):
		return "; ports below 1024 need CAP_NET_BIND_SERVICE, a Unix socket needs a folder that this user may write to"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "; this machine does not have that address"
	}
	return ""
}

// listenUnix opens a Unix socket whose file never has more permissions than mode. It is made in a private folder and
// moved to its place, where it takes the place of one that nobody listens on any more, and of nothing else.
func listenUnix(a address, mode fs.FileMode) (*listener, error) {
	if err := checkStale(a.target); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(a.target), ".s")
	if err != nil {
		return nil, fmt.Errorf("forward: %w%s", err, listenRemedy(err))
	}
	defer os.Remove(dir)
	private := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: private, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("forward: %w%s", err, listenRemedy(err))
	}
	l.SetUnlinkOnClose(false)
	info, err := publish(private, a.target, mode)
	if err != nil {
		l.Close()
		os.Remove(private)
		return nil, fmt.Errorf("forward: listen: %w", err)
	}
	return &listener{Listener: l, address: a, inode: info}, nil
}

func publish(private, path string, mode fs.FileMode) (fs.FileInfo, error) {
	if err := os.Chmod(private, mode); err != nil {
		return nil, err
	}
	info, err := os.Lstat(private)
	if err != nil {
		return nil, err
	}
	return info, os.Rename(private, path)
}

// checkStale returns why the file at path must stay: it is no socket, or somebody listens on it.
func checkStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("forward: listen: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("forward: listen: %s is there and no socket; move it away, or choose another path", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
	}
	if err == nil || !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("forward: listen: another program listens on %s; stop it, or choose another path", path)
	}
	return nil
}

// chmod gives the file of a Unix socket other permissions.
func (l *listener) chmod(mode fs.FileMode) error {
	if l.inode == nil || !l.owns() {
		return nil
	}
	return os.Chmod(l.address.target, mode)
}

// owns reports whether the file is still the one that was made.
func (l *listener) owns() bool {
	now, err := os.Lstat(l.address.target)
	return err == nil && os.SameFile(now, l.inode)
}

// Close stops listening and removes the file, unless somebody has put another one in its place.
func (l *listener) Close() error {
	if l.inode != nil && l.owns() {
		os.Remove(l.address.target)
	}
	return l.Listener.Close()
}

// use makes rt what new connections get.
func (l *listener) use(rt *route) {
	l.route.Store(rt)
	if err := l.chmod(rt.accept.mode); err != nil {
		rt.log.Warn("permissions", "error", err)
	}
}

func (l *listener) current() *route           { return l.route.Load() }
func (l *listener) goesOnWith(*forward) error { return nil }
func (l *listener) retire(bool)               { l.Close() }
func (l *listener) close()                    { l.Close() }

func (l *listener) bound() string {
	if l.address.isUnix() {
		return l.address.String()
	}
	return l.Addr().String()
}
