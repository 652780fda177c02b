package forward

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/frame"
)

// Preambles of a side: what is said before the first byte of TLS, or of a plain connection.

// readPreambles reads the preambles of a side; wrapped says whether TLS follows.
func readPreambles(s *section, wrapped bool) (list []frame.Preamble) {
	for _, spec := range s.texts("preamble") {
		p, err := preamble.Parse(spec)
		switch {
		case err != nil:
			s.wrong("preamble", "%v; see: encase preamble list", err)
		case !forwardable(p):
			s.wrong("preamble", "%q cannot be forwarded: what its server says first is needed behind TLS, too; "+
				"it is for programs that speak the protocol", spec)
		case !wrapped && beginsTLS(p):
			s.wrong("preamble", "%q begins TLS, but this side is plain; set %s", spec, s.name("tls"))
		default:
			list = append(list, p)
		}
	}
	return list
}

// forwardable reports whether a client behind TLS can do without what was said in front of it.
func forwardable(p frame.Preamble) bool {
	switch p.(type) {
	case preamble.MySQL, preamble.NBD:
		return false
	}
	return true
}

// beginsTLS reports whether TLS is what p is for.
func beginsTLS(p frame.Preamble) bool {
	switch p.(type) {
	case preamble.Connect, preamble.Greeting, preamble.Proxy, preamble.SOCKS5, preamble.Upgrade:
		return false
	}
	return true
}

// greetPlainSide gives a plain side the greeting that its peer expects, or says, because the other side has had its own
// in front of TLS.
func (f *forward) greetPlainSide() {
	in, out := &f.accept.preambles, &f.connect.preambles
	if f.accept.tls == nil && f.connect.tls != nil {
		*in = appendGreeting(*in, *out)
	}
	if f.connect.tls == nil && f.accept.tls != nil {
		*out = appendGreeting(*out, *in)
	}
}

// appendGreeting appends to the preambles of a plain side the greeting that belongs to those of the other, unless there
// is one.
func appendGreeting(plain, wrapped []frame.Preamble) []frame.Preamble {
	isGreeting := func(p frame.Preamble) bool { _, ok := p.(preamble.Greeting); return ok }
	if len(wrapped) == 0 || slices.ContainsFunc(plain, isGreeting) {
		return plain
	}
	if g, ok := preamble.GreetingOf(wrapped[len(wrapped)-1]); ok {
		return append(plain, g)
	}
	return plain
}

// An origin is where a client's connection comes from, and where it went: the ends of the socket, or what a proxy in
// front of this program has said of them.
type origin struct{ src, dst net.Addr }

// hold holds the preambles of an end, at most for the time of a handshake. What the client says of its origin, or the
// server is told, is in from.
func (e *end) hold(ctx context.Context, list []frame.Preamble, limit time.Duration, from *origin) error {
	if len(list) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if e.tls != nil {
		ctx = frame.WithServerName(ctx, e.serverName)
	}
	role := frame.Client
	if e.party == client {
		role = frame.Server
	}
	conn, err := preamble.Over(ctx, e.sock, role, from.into(list, role)...)
	if err != nil {
		return err
	}
	if conn != net.Conn(e.sock) {
		return errTooFar
	}
	e.sock.written.Store(0) // what follows is compared with what is sent from here on
	return nil
}

// errTooFar is a fault of a preamble, not of a peer.
var errTooFar = errors.New("forward: a preamble has looked at bytes that it did not take")

// into makes those of the preambles that tell of an origin tell of this one.
func (o *origin) into(list []frame.Preamble, role frame.Role) []frame.Preamble {
	list = slices.Clone(list)
	for i, p := range list {
		proxy, ok := p.(preamble.Proxy)
		switch {
		case !ok:
			continue
		case role == frame.Server:
			proxy.Accept = func(_ context.Context, h preamble.ProxyHeader) error {
				if h.Src != nil {
					*o = origin{h.Src, h.Dst}
				}
				return nil
			}
		case proxy.Header.Src == nil && o.tellable():
			proxy.Header.Src, proxy.Header.Dst = o.src, o.dst
		}
		list[i] = proxy
	}
	return list
}

// tellable reports whether both ends have addresses: those of an unnamed Unix socket have none.
func (o *origin) tellable() bool {
	return o.src != nil && o.dst != nil && o.src.String() != "" && o.src.String() != "@" && o.dst.String() != ""
}
