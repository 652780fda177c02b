package connect

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"io"
	"os"
	"runtime"

	"github.com/encase-tls/encase/cmd/encase/exit"
	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/wrap"
)

var versions = map[string]version{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// config makes the configuration of a stream from flags and files.
func (o *options) config(at endpoint) (*wrap.Config, error) {
	if err := o.codec.Streams(); err != nil {
		return nil, exit.Usagef("--codec %s: %w; for DTLS give --dtls", o.codec, err)
	}
	t, err := o.tls(at)
	if err != nil {
		return nil, err
	}
	t.MinVersion, t.MaxVersion = cmp.Or(uint16(o.min), tls.VersionTLS12), cmp.Or(uint16(o.max), tls.VersionTLS13)
	if t.MinVersion > t.MaxVersion {
		return nil, exit.Usagef("--min-version is newer than --max-version")
	}
	cfg := &wrap.Config{TLS: t, Codec: o.codec.Maker, HandshakeTimeout: o.timeout, Linger: maxLinger}
	for _, spec := range o.preambles {
		p, err := preamble.Parse(spec)
		if err != nil {
			return nil, exit.Usagef("--preamble: %w; see: encase preamble list", err)
		}
		cfg.Preambles = append(cfg.Preambles, p)
	}
	return cfg, nil
}

// tls makes the configuration of an end with certificates.
func (o *options) tls(at endpoint) (*tls.Config, error) {
	t := &tls.Config{NextProtos: o.alpn, ServerName: cmp.Or(o.serverName, at.host())}
	switch {
	case o.listen && o.cert == "":
		return nil, exit.Usagef("a server needs a certificate: give --cert and --key")
	case o.listen && o.serverName != "":
		return nil, exit.Usagef("--server-name is for clients: with --listen the name stands in the certificate")
	case !o.listen && t.ServerName == "":
		return nil, exit.Usagef("which name must the server prove? %s does not say: give --server-name", at)
	case o.key != "" && o.cert == "":
		return nil, exit.Usagef("--key without --cert")
	}
	return t, o.addFiles(t)
}

// addFiles reads the authorities, the certificate and its key.
func (o *options) addFiles(t *tls.Config) error {
	if o.ca != "" {
		pool, err := readAuthorities(o.ca)
		if err != nil {
			return err
		}
		if o.listen {
			t.ClientCAs, t.ClientAuth = pool, tls.RequireAndVerifyClientCert
		} else {
			t.RootCAs = pool
		}
	}
	if o.cert != "" {
		cert, err := readIdentity(o.cert, cmp.Or(o.key, o.cert))
		if err != nil {
			return err
		}
		t.Certificates = []tls.Certificate{cert}
		// By itself a client keeps back what the server's hints do not name. The server's refusal says more.
		t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	}
	return nil
}

func readAuthorities(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, exit.Usagef("--ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, exit.Usagef("--ca: %s holds no certificate in PEM", path)
	}
	return pool, nil
}

func readIdentity(certPath, keyPath string) (tls.Certificate, error) {
	certPEM, err := os.ReadFile(certPath)
	if err != nil {
		return tls.Certificate{}, exit.Usagef("--cert: %w", err)
	}
	keyPEM, err := readSecret(keyPath)
	if err != nil {
		return tls.Certificate{}, exit.Usagef("--key: %w", err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return tls.Certificate{}, exit.Usagef("%s and %s: %w", certPath, keyPath, err)
	}
	return cert, nil
}

// readSecret reads a file that only its owner may read.
func readSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat() // of what was opened, not of what the path leads to by now
	if err != nil {
		return nil, err
	}
	const others = 0o077
	if mode := info.Mode().Perm(); mode&others != 0 && runtime.GOOS != "windows" {
		return nil, exit.Usagef("%s holds a private key and has mode %04o, so that others can use it: chmod 600 %s",
			path, mode, path)
	}
	return io.ReadAll(f)
}
