package tun

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/encase-tls/encase/tun/network"
)

// A roaming tells when the way from this machine to the server changes: another address, another gateway, another
// interface. A client then connects anew, and does not wait until it is missed at the other end of the old way.
type roaming struct {
	watch *network.Watcher // nil: this system does not tell
	mark  uint32           // of the sockets
	own   int              // the tunnel's interface, which is no way to the server; 0: it is elsewhere
	log   *slog.Logger

	mu    sync.Mutex
	moved chan struct{} // closed at the next change
	known map[string]netip.Addr
	paths map[netip.Addr]network.Path
	count uint64
}

// Two addresses that stand for all those that have no route of their own. Nothing is sent there.
// https://www.rfc-editor.org/rfc/rfc5737#section-3
// https://www.rfc-editor.org/rfc/rfc3849
var anywhere = []netip.Addr{netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8::1")}

// settleTime is how long changes are awaited that belong together: a new address comes before its routes.
const settleTime = 50 * time.Millisecond

// newRoaming returns a roaming of the sockets in a namespace. Without the kernel's help there is nothing to tell.
func newRoaming(namespace string, mark uint32, own int, log *slog.Logger) *roaming {
	r := &roaming{mark: mark, own: own, log: log, moved: make(chan struct{}), known: map[string]netip.Addr{},
		paths: map[netip.Addr]network.Path{}}
	var err error
	if r.watch, err = network.Watch(namespace); err != nil {
		log.Debug("changes of the network are not heard of", "error", err)
		return r
	}
	r.look()
	return r
}

// run looks at the way to the server whenever the network has changed, until ctx ends.
func (r *roaming) run(ctx context.Context) {
	if r.watch == nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-r.watch.Changes():
			if !ok {
				r.log.Warn("changes of the network are not heard of any more")
				return
			}
		}
		if !wait(ctx, settleTime) {
			return
		}
		if r.look() {
			r.log.Info("the way to the server has changed")
			r.tell()
		}
	}
}

// close ends what newRoaming began. Nobody may ask for a way any more.
func (r *roaming) close() {
	if r.watch != nil {
		r.watch.Close()
	}
}

// look asks the kernel for the ways, and reports whether there is one that is not as it was.
func (r *roaming) look() (changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.paths
	r.paths = make(map[netip.Addr]network.Path, len(was))
	compare := func(to netip.Addr) {
		p := r.ask(to)
		r.paths[to] = p
		if old, ok := was[to]; ok && p != old && p != (network.Path{}) {
			changed = true
		}
	}
	for _, to := range anywhere {
		compare(to)
	}
	for _, to := range r.known {
		compare(to)
	}
	return changed
}

func (r *roaming) ask(to netip.Addr) network.Path {
	p := r.watch.Path(to, r.mark)
	if r.own != 0 && p.Interface == r.own {
		return network.Path{}
	}
	return p
}

// tell wakes who waits.
func (r *roaming) tell() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	close(r.moved)
	r.moved = make(chan struct{})
}

// changes returns a channel that is closed at the next change.
func (r *roaming) changes() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.moved
}

// times returns how often the way has changed.
func (r *roaming) times() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// way returns the way that a new connection to an endpoint takes, which is looked after from now on. The zero Path: it
// is not known.
func (r *roaming) way(endpoint string, conn net.Conn) network.Path {
	to := addressOf(conn.RemoteAddr())
	if r.watch == nil || !to.IsValid() {
		return network.Path{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.ask(to)
	r.known[endpoint] = to
	if _, ok := r.paths[to]; !ok {
		r.paths[to] = p
	}
	if own := addressOf(conn.LocalAddr()); own.IsValid() && !own.IsUnspecified() {
		p.Source = own.WithZone("") // it may have been made just before a change
	}
	return p
}

// leads reports whether the way to the peer of a connection is still the one that it was, or not known, or none: a new
// connection would find no other.
func (r *roaming) leads(conn net.Conn, was network.Path) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	is := r.paths[addressOf(conn.RemoteAddr())]
	return is == was || was == (network.Path{}) || is == (network.Path{})
}

// waitOr waits until moved is closed, but not longer than d, and reports whether ctx is still there.
func waitOr(ctx context.Context, d time.Duration, moved <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-moved:
	case <-timer.C:
	}
	return ctx.Err() == nil
}

var errMoved = errors.New("tun: the way to the server has changed")

// bound returns a context that ends after d, and when the way changes: whoever connects over the old one waits in vain.
func (r *roaming) bound(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(parent, d)
	ctx, end := context.WithCancelCause(ctx)
	moved := r.changes()
	go func() {
		select {
		case <-moved:
			end(errMoved)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { end(nil); cancel() }
}

// isClosed reports whether a channel is.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
