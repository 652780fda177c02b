package forward

import (
	"crypto/tls"
	"io"
	"log/slog"
)

// newLogger returns a logger that writes lines to w.
func newLogger(w io.Writer, l logging) *slog.Logger {
	opt := &slog.HandlerOptions{Level: l.level}
	if l.json {
		return slog.New(slog.NewJSONHandler(w, opt))
	}
	return slog.New(slog.NewTextHandler(w, opt))
}

// tlsAttrs tells what was negotiated with the peer of a wrapped end. None of it is secret.
func tlsAttrs(e *end) []any {
	cs := e.tls.ConnectionState()
	attrs := []any{
		slog.String("version", tls.VersionName(cs.Version)),
		slog.String("cipher", tls.CipherSuiteName(cs.CipherSuite)),
		slog.Bool("resumed", cs.DidResume),
	}
	if cs.NegotiatedProtocol != "" {
		attrs = append(attrs, slog.String("alpn", cs.NegotiatedProtocol))
	}
	if len(cs.PeerCertificates) > 0 {
		attrs = append(attrs, slog.String("peer", cs.PeerCertificates[0].Subject.String()))
	}
	return attrs
}
