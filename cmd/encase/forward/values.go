package forward

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/encase-tls/encase/cmd/encase/conf"
)

// duration returns a duration such as "30s", def if the key is missing.
func (s *section) duration(key string, def, least time.Duration) time.Duration {
	t := s.text(key)
	if t == "" {
		return def
	}
	d, err := time.ParseDuration(t)
	switch {
	case err != nil:
		s.wrong(key, `%q is no duration; write "500ms", "30s", "5m" or "1h30m"`, t)
	case d < least:
		s.wrong(key, "%q is too short; the least is %v", t, least)
	default:
		return d
	}
	return def
}

// size returns a number of bytes such as "64KiB", def if the key is missing.
func (s *section) size(key string, def, least, most int64) int64 {
	t := s.text(key)
	if t == "" {
		return def
	}
	n, ok := conf.ParseSize(t)
	switch {
	case !ok:
		s.wrong(key, `%q is no size; write "64KiB" or "1MiB"`, t)
	case n < least || n > most:
		s.wrong(key, "%q is out of bounds; %s to %s are allowed", t, conf.SizeText(least), conf.SizeText(most))
	default:
		return n
	}
	return def
}

// count returns a number of things, def if the key is missing.
func (s *section) count(key string, def int64) int64 {
	const most = 1 << 30
	n, ok := s.number(key)
	if !ok {
		return def
	}
	if n < 1 || n > most {
		s.wrong(key, "must be from 1 to %d", most)
		return def
	}
	return n
}

// choice returns one of the allowed words, the first if the key is missing.
func (s *section) choice(key string, allowed ...string) string {
	t := s.text(key)
	switch {
	case t == "":
		return allowed[0]
	case !slices.Contains(allowed, t):
		s.wrong(key, "%q is not allowed; choose one of %s", t, strings.Join(allowed, ", "))
		return allowed[0]
	}
	return t
}

// mode returns the permissions of a Unix socket.
func (s *section) mode(key string, def fs.FileMode) fs.FileMode {
	t := s.text(key)
	if t == "" {
		return def
	}
	n, err := strconv.ParseUint(t, 8, 9)
	if err != nil {
		s.wrong(key, `%q are no permissions; write them in octal: "0660"`, t)
		return def
	}
	return fs.FileMode(n)
}

// version returns a version of TLS, 0 if the key is missing.
func (s *section) version(key string) uint16 {
	if !s.has(key) {
		return 0
	}
	if s.choice(key, "1.2", "1.3") == "1.3" {
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}

// suites are those for TLS 1.2 with forward secrecy and authenticated encryption; the suites of TLS 1.3 cannot be
// chosen and need not be.
var suites = []struct {
	id      uint16
	openssl string
}{
	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE-ECDSA-AES128-GCM-SHA256"},
	{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE-RSA-AES128-GCM-SHA256"},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "ECDHE-ECDSA-AES256-GCM-SHA384"},
	{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE-RSA-AES256-GCM-SHA384"},
	{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-ECDSA-CHACHA20-POLY1305"},
	{tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-RSA-CHACHA20-POLY1305"},
}

// ciphers returns cipher suites of TLS 1.2, by their names in the standard or in OpenSSL.
func (s *section) ciphers(key string) (ids []uint16) {
	for _, name := range s.texts(key) {
		id := suiteOf(name)
		if id == 0 {
			s.wrong(key, "%q is not allowed; choose from %s", name, strings.Join(suiteNames(), ", "))
			continue
		}
		ids = append(ids, id)
	}
	return ids
}

func suiteOf(name string) uint16 {
	for _, suite := range suites {
		if name == suite.openssl || name == tls.CipherSuiteName(suite.id) {
			return suite.id
		}
	}
	return 0
}

func suiteNames() (names []string) {
	for _, suite := range suites {
		names = append(names, suite.openssl)
	}
	return names
}

// A pin is the SHA-256 of a public key as it stands in a certificate (SubjectPublicKeyInfo).
type pin [sha256.Size]byte

func (s *section) pins(key string) (list []pin) {
	for _, t := range s.texts(key) {
		digits := strings.ReplaceAll(strings.TrimPrefix(strings.ToLower(t), "sha256:"), ":", "")
		b, err := hex.DecodeString(digits)
		if err != nil || len(b) != sha256.Size {
			s.wrong(key, "%q is no SHA-256 of a public key; take 64 hexadecimal digits from: openssl x509 -in CERT -noout"+
				" -pubkey | openssl pkey -pubin -outform der | sha256sum", t)
			continue
		}
		list = append(list, pin(b))
	}
	return list
}
