package datagrams

import (
	"crypto/tls"

	"github.com/encase-tls/encase/bio/dtls"
)

// suites are those of package dtls, the good ones first. CCM is for constrained devices, and is used only where it is
// asked for.
var suites = []struct {
	id           uint16
	openssl, own string // own: the name in the standard where crypto/tls has none
}{
	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE-ECDSA-AES128-GCM-SHA256", ""},
	{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE-RSA-AES128-GCM-SHA256", ""},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "ECDHE-ECDSA-AES256-GCM-SHA384", ""},
	{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE-RSA-AES256-GCM-SHA384", ""},
	{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-ECDSA-CHACHA20-POLY1305", ""},
	{tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-RSA-CHACHA20-POLY1305", ""},
	{dtls.TLS_ECDHE_ECDSA_WITH_AES_128_CCM, "ECDHE-ECDSA-AES128-CCM", "TLS_ECDHE_ECDSA_WITH_AES_128_CCM"},
	{dtls.TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8, "ECDHE-ECDSA-AES128-CCM8", "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8"},
	{dtls.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-PSK-CHACHA20-POLY1305",
		"TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256"},
	{dtls.TLS_PSK_WITH_AES_128_GCM_SHA256, "PSK-AES128-GCM-SHA256", "TLS_PSK_WITH_AES_128_GCM_SHA256"},
	{dtls.TLS_PSK_WITH_CHACHA20_POLY1305_SHA256, "PSK-CHACHA20-POLY1305", "TLS_PSK_WITH_CHACHA20_POLY1305_SHA256"},
	{dtls.TLS_PSK_WITH_AES_128_CCM, "PSK-AES128-CCM", "TLS_PSK_WITH_AES_128_CCM"},
	{dtls.TLS_PSK_WITH_AES_128_CCM_8, "PSK-AES128-CCM8", "TLS_PSK_WITH_AES_128_CCM_8"},
	{dtls.TLS_PSK_WITH_AES_256_CCM_8, "PSK-AES256-CCM8", "TLS_PSK_WITH_AES_256_CCM_8"},
}

// Suite returns the number of a cipher suite by its name in the standard or in OpenSSL.
func Suite(name string) (id uint16, ok bool) {
	for _, s := range suites {
		if name == s.openssl || name == SuiteName(s.id) {
			return s.id, true
		}
	}
	return 0, false
}

// SuiteName returns the name of a cipher suite in the standard, its number if it is none of these.
func SuiteName(id uint16) string {
	for _, s := range suites {
		if s.id == id && s.own != "" {
			return s.own
		}
	}
	return tls.CipherSuiteName(id)
}

// SuiteNames returns the names in OpenSSL.
func SuiteNames() (names []string) {
	for _, s := range suites {
		names = append(names, s.openssl)
	}
	return names
}

// VersionName returns the name of a version of DTLS or TLS.
func VersionName(v uint16) string {
	if v == dtls.VersionDTLS12 {
		return "DTLS 1.2"
	}
	return tls.VersionName(v)
}
