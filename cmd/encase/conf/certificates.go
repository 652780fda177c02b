package conf

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
)

// Certificates returns those in a PEM file, at least one. The error says what to do.
func Certificates(file string) (chain []*x509.Certificate, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s; name a PEM file with certificates that this user may read", FileFault(err))
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d: %w; make it anew", file, len(chain)+1, err)
		}
		chain = append(chain, cert)
	}
	if chain == nil {
		return nil, fmt.Errorf(`%s: no certificate in PEM form is in it; it needs "-----BEGIN CERTIFICATE-----"`, file)
	}
	return chain, nil
}

// EncodeCertificates returns certificates in PEM form.
func EncodeCertificates(chain []*x509.Certificate) (out []byte) {
	for _, cert := range chain {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return out
}

// PrivateKey returns the contents of a PEM file with a private key in clear that nobody but its owner may read. The
// error says what to do.
func PrivateKey(file string) ([]byte, error) {
	data, mode, err := readWithMode(file)
	if err != nil {
		return nil, fmt.Errorf("%s; name a PEM file with a private key that this user may read", FileFault(err))
	}
	if mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("%s: others than its owner may use this private key (mode %04o); run: chmod 600 %[1]s", file,
			mode)
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return nil, fmt.Errorf("%s: the private key is encrypted; run: openssl pkey -in %[1]s -out NEW, and name NEW", file)
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return data, nil
		}
	}
	return nil, fmt.Errorf(`%s: no private key in PEM form is in it; it needs "-----BEGIN PRIVATE KEY-----"`, file)
}

// readWithMode reads a file and its permissions, both of the same one.
func readWithMode(name string) ([]byte, fs.FileMode, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	data, err := io.ReadAll(f)
	return data, info.Mode().Perm(), err
}

// MayServe reports whether a certificate may be used for one usage: it says so, or does not say for what.
func MayServe(cert *x509.Certificate, usage x509.ExtKeyUsage) bool {
	if len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) == 0 {
		return true
	}
	for _, u := range cert.ExtKeyUsage {
		if u == usage || u == x509.ExtKeyUsageAny {
			return true
		}
	}
	return false
}

// FileFault returns an error of a file without the name of the system call.
func FileFault(err error) string {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Path + ": " + e.Err.Error()
	}
	return err.Error()
}
