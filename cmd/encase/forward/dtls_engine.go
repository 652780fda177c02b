package forward

import (
	"net"
	"strings"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/datagram"
)

// tryDTLS makes an engine that nobody uses, if nothing is wrong so far: what is wrong shows now, and not with the first
// peer. It returns what is said about errors of this side.
func (r *sideReader) tryDTLS(d *dtlsSide) (f faults) {
	if r.doc.problems.Err() != nil {
		return f
	}
	f = r.faults()
	f.dtls = true
	most, err := d.handshakeMTU(r.role)
	if err == nil && most < leastHandshake {
		r.wrong("mtu", "leaves %d bytes for DTLS in a datagram, the handshake needs %d; raise it", most, leastHandshake)
		return f
	}
	var e bio.Engine
	if err == nil {
		e, err = d.engine(&bio.Config{}, r.role, defaultDTLSHandshake)
	}
	if err != nil {
		r.wrong("dtls", "%s", strings.ReplaceAll(err.Error(), "dtls: ", ""))
		return f
	}
	e.Abort(net.ErrClosed)
	return f
}

// leastHandshake is the shortest datagram that a handshake can be cut for.
const leastHandshake = 256

// handshakeMTU returns how many bytes of DTLS fit a datagram.
func (d *dtlsSide) handshakeMTU(role frame.Role) (int, error) {
	const most = 8192
	mtu := d.mtu
	if mtu == 0 {
		mtu = wrap.DefaultMTU
	}
	if d.codec == nil {
		return min(mtu, most), nil
	}
	m, err := d.codec(role)
	if err != nil {
		return 0, err
	}
	l := m.Limits()
	return min(l.Max, mtu-l.Head-l.Tail, most), nil
}

// engine makes an engine; of c only what the listener has to say about connection IDs counts.
func (d *dtlsSide) engine(c *bio.Config, role frame.Role, handshake time.Duration) (bio.Engine, error) {
	mk, err := d.maker(c, role, handshake)
	if err != nil {
		return nil, err
	}
	return mk(role)
}

func (d *dtlsSide) maker(c *bio.Config, role frame.Role, handshake time.Duration) (bio.Maker, error) {
	own, opts := *c, d.options
	own.TLS = d.tls
	opts.HandshakeTimeout = handshake
	var err error
	if own.MTU, err = d.handshakeMTU(role); err != nil {
		return nil, err
	}
	return dtls.New(&own, opts)
}

// config returns how a Conn carries its datagrams.
func (d *dtlsSide) config(role frame.Role, handshake time.Duration) *datagram.Config {
	stack := dtls.Stack(d.options)
	stack.New = func(c *bio.Config) (bio.Maker, error) { return d.maker(c, role, handshake) }
	return &datagram.Config{
		TLS: d.tls, Codec: d.codec, Stack: stack, MTU: d.mtu, PeerTimeout: d.answer, HandshakeTimeout: handshake,
	}
}
