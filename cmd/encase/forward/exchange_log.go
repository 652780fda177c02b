package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/cmd/encase/datagrams"
	"github.com/encase-tls/encase/wrap/datagram"
)

// logFailure logs an exchange whose server was not reached.
func (x *exchange) logFailure(err error) {
	if errors.Is(err, errOver) {
		x.log.LogAttrs(context.Background(), slog.LevelDebug, "connection given up", x.attrs()...)
		return
	}
	attrs := append(x.attrs(), slog.String("reason", reason(err)), slog.String("error", oneLine(err)))
	var stage *stageError
	if errors.As(err, &stage) && stage.remedy != "" {
		attrs = append(attrs, slog.String("remedy", stage.remedy))
	}
	x.log.LogAttrs(context.Background(), slog.LevelWarn, "connection failed", attrs...)
}

// logEnd logs an exchange over which datagrams could go. That nothing comes any more is how most end in order.
func (x *exchange) logEnd(by party, err error) {
	level, msg := slog.LevelInfo, "connection closed"
	attrs := append(x.attrs(), x.counts()...)
	attrs = append(attrs, slog.String("by", by.String()))
	for p, conn := range x.conns {
		if conn != nil {
			attrs = append(attrs, dtlsAttrs(party(p), conn))
		}
	}
	if err != nil {
		attrs = append(attrs, slog.String("reason", reason(err)))
	}
	if err != nil && !inOrder(err) {
		level, msg = slog.LevelWarn, "connection cut"
		attrs = append(attrs, slog.String("error", oneLine(err)))
	}
	if text := x.remedy(by, err); text != "" {
		attrs = append(attrs, slog.String("remedy", text))
	}
	x.log.LogAttrs(context.Background(), level, msg, attrs...)
}

func inOrder(err error) bool {
	return errors.Is(err, errIdle) || errors.Is(err, datagram.ErrReplaced)
}

// remedy says what to do about an end, or about datagrams that did not go on.
func (x *exchange) remedy(by party, err error) string {
	for from := range x.ways {
		lost := &x.ways[from].lost
		if lost.tooLong.Load() > 0 {
			return fmt.Sprintf("datagrams of up to %d bytes came, %d go on: let the programs send shorter ones, or raise mtu "+
				"if the path carries more", lost.longest.Load(), lost.most.Load())
		}
	}
	switch {
	case err == nil || inOrder(err):
		return ""
	case errors.Is(err, datagram.ErrPeerSilent):
		return "the server was started anew, or has gone; the next datagram begins anew; if this protocol has no answers, " +
			"set answer_timeout to 0s"
	case by == client && x.accept.dtls != nil:
		return x.accept.fault.remedy(err)
	case by == server && x.connect.dtls != nil:
		return x.connect.fault.remedy(err)
	}
	return ""
}

func (x *exchange) attrs() []slog.Attr {
	x.mu.Lock()
	defer x.mu.Unlock()
	target := ""
	if x.target.network != "" {
		target = x.target.String()
	}
	return []slog.Attr{slog.String("peer", peerText(x.peer)), slog.String("target", target),
		slog.String("duration", time.Since(x.began).Round(time.Millisecond).String())}
}

// counts tells what came, and what of it did not go on.
func (x *exchange) counts() []slog.Attr {
	in, out := &x.ways[client], &x.ways[server]
	attrs := []slog.Attr{
		slog.Int64("from_client", in.bytes.Load()), slog.Int64("from_server", out.bytes.Load()),
		slog.Int64("datagrams_from_client", in.messages.Load()), slog.Int64("datagrams_from_server", out.messages.Load()),
	}
	for _, c := range []struct {
		name string
		n    int64
	}{
		{"not_to_server", in.lost.total()}, {"not_to_client", out.lost.total()},
		{"too_long", in.lost.tooLong.Load() + out.lost.tooLong.Load()},
	} {
		if c.n > 0 {
			attrs = append(attrs, slog.Int64(c.name, c.n))
		}
	}
	return attrs
}

// dtlsAttrs tells what was negotiated with the peer of a connection, and what came that was none of its.
func dtlsAttrs(p party, conn *datagram.Conn) slog.Attr {
	cs := conn.ConnectionState()
	attrs := []any{
		slog.String("version", datagrams.VersionName(cs.Version)),
		slog.String("cipher", datagrams.SuiteName(cs.CipherSuite)),
		slog.Bool("resumed", cs.DidResume),
	}
	if cs.NegotiatedProtocol != "" {
		attrs = append(attrs, slog.String("alpn", cs.NegotiatedProtocol))
	}
	if len(cs.PeerCertificates) > 0 {
		attrs = append(attrs, slog.String("peer", cs.PeerCertificates[0].Subject.String()))
	}
	if e, ok := conn.Engine().(dtlsEngine); ok {
		if identity := e.PSKIdentity(); p == client && len(identity) > 0 {
			attrs = append(attrs, slog.String("identity", string(identity)))
		}
		attrs = append(attrs, hostile(e.Stats(), conn.Stats())...)
	}
	return slog.Group(p.String()+"_tls", attrs...)
}

// A dtlsEngine is an engine of package dtls, or one that is watched.
type dtlsEngine interface {
	Stats() dtls.Stats
	PSKIdentity() []byte
}

// hostile returns what a good network does not bring, as far as it came.
func hostile(e dtls.Stats, c datagram.Stats) (attrs []any) {
	for _, n := range []struct {
		name  string
		count uint64
	}{
		{"forged", e.Forged}, {"replayed", e.Replayed}, {"malformed", e.Malformed + c.Malformed},
		{"plaintext", e.Plaintext}, {"wrong_epoch", e.WrongEpoch}, {"unexpected", e.Unexpected + e.Renegotiate},
	} {
		if n.count > 0 {
			attrs = append(attrs, slog.Uint64(n.name, n.count))
		}
	}
	return attrs
}
