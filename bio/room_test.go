package bio_test

import (
	"crypto/tls"
	"testing"
)

// TestDstRoom opens records into every amount of room in dst: none of the data may wait inside the engine, whatever the
// cipher suite adds to a record.
func TestDstRoom(t *testing.T) {
	tests := map[string]struct{ version, suite uint16 }{
		"TLS 1.3":        {tls.VersionTLS13, 0},
		"AES-GCM":        {tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		"ChaCha20":       {tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256},
		"AES-CBC":        {tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA},
		"AES-CBC-SHA256": {tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256},
		"RC4":            {tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA}, // adds least
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			client, server := clientConfig(tt.version), serverConfig(tt.version)
			if client.CurvePreferences = nil; tt.suite != 0 {
				client.CipherSuites, server.CipherSuites = []uint16{tt.suite}, []uint16{tt.suite}
			}
			c, s := newPair(t, client, server)
			shake(t, c, s)
			const size = 300
			for room := range size + 2 {
				wire, n, err := c.Seal(nil, make([]byte, size))
				if err != nil || n != size || len(wire) > size+c.Overhead() {
					t.Fatalf("Seal took %d bytes and made %d, Overhead %d: %v", n, len(wire), c.Overhead(), err)
				}
				plain, st, err := s.Open(make([]byte, 0, room), wire)
				if err != nil || len(plain) != size || st.Consumed != len(wire) {
					t.Errorf("into room for %d bytes: %d bytes of %d: %v", room, len(plain), size, err)
				}
			}
		})
	}
}
