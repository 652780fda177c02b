package tun

import (
	"time"

	"github.com/encase-tls/encase/tun/wire"
)

// retireAfter is how long nothing has come over a connection that another has replaced, until it is ended. Its client
// ends it after overlap and says so, but what a client says by a way that it has left is not heard.
const retireAfter = 2 * overlap

// retire ends connections in place of which the peer uses a newer one of their kind. It takes none away over which
// anything comes, and none for one that does not work.
func (s *session) retire(now time.Time) {
	list := s.list()
	for i, c := range list {
		newer := pick(list[i+1:], func(n *connection) bool {
			return n.carrier == c.carrier && n.health.proven() && n.health.works(now) && now.Sub(n.began) > retireAfter
		})
		if newer != nil && c.why.Load() == nil && c.health.quiet(now) > retireAfter {
			go c.end(&wire.Bye{Reason: wire.ReasonReplaced}) // which waits for what has not left
		}
	}
}

// quiet returns for how long nothing was heard of the peer.
func (h *health) quiet(now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return now.Sub(h.heard)
}
