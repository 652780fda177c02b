package forward

import (
	"crypto/tls"
	"net"
	"strings"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// sessionsKept is how many sessions a forward remembers that it could resume as a client.
const sessionsKept = 64

// readServerTLS reads how what is accepted is wrapped; nil: it is plain.
func readServerTLS(s *section) (*wrap.Config, faults) {
	side := sideReader{section: s, role: frame.Server}
	side.tls.ClientAuth = side.clientAuth()
	cfg := side.common()
	if cfg == nil {
		return nil, faults{}
	}
	if len(side.tls.Certificates) == 0 && !s.has("cert") {
		s.wrong("cert", "is missing: who accepts TLS needs a certificate; name its file, and that of its key")
	}
	side.tls.ClientCAs = side.roots
	side.checkClientAuth()
	return cfg, side.faults()
}

// readClientTLS reads how what is connected is wrapped; nil: it is plain.
func readClientTLS(s *section, addresses []address) (*wrap.Config, faults) {
	side := sideReader{section: s, role: frame.Client}
	side.tls.ServerName = s.text("server_name")
	side.tls.ClientSessionCache = tls.NewLRUClientSessionCache(sessionsKept)
	cfg := side.common()
	if cfg == nil {
		return nil, faults{}
	}
	side.tls.RootCAs = side.roots
	side.chooseServerName(addresses)
	return cfg, side.faults()
}

// A sideReader reads the TLS of one side.
type sideReader struct {
	*section
	role  frame.Role
	tls   tls.Config
	roots rootPool
	rules peerRules
}

// common reads what servers and clients have in common. It returns nil if the side is plain.
func (r *sideReader) common() *wrap.Config {
	codec := r.text("codec")
	wrapped := r.yes("tls") || r.has("codec")
	if r.has("codec") && r.has("tls") && !r.yes("tls") {
		r.wrong("tls", "is false, but a codec carries TLS; take one of the two out")
	}
	r.tls.NextProtos = r.alpn()
	r.tls.MinVersion, r.tls.MaxVersion = r.version("min_version"), r.version("max_version")
	r.tls.CipherSuites = r.ciphers("ciphers")
	r.rules.pins = r.pins("pins")
	r.refuseDatagramKeys(wrapped)
	if !wrapped {
		r.refuseWrappedKeys("TLS", "tls")
		return nil
	}
	r.identity(&r.tls, r.role)
	r.roots = r.authorities()
	r.checkVersions()
	r.tls.VerifyConnection = r.rules.check()
	return &wrap.Config{TLS: &r.tls, Codec: r.maker(codec)}
}

// refuseWrappedKeys reports keys without effect: whoever writes one of them believes that the side is protected.
func (r *sideReader) refuseWrappedKeys(what, key string) {
	for _, k := range tlsKeys {
		if k.role[r.role] && (k.only == "" || k.only == key) && r.has(k.name) {
			r.wrong(k.name, "has no effect, this side is plain; set %s for plain %s, or %s for %[2]s in a protocol",
				r.name(key), what, r.name("codec"))
		}
	}
}

// refuseDatagramKeys reports keys that only DTLS has.
func (r *sideReader) refuseDatagramKeys(wrapped bool) {
	r.has("dtls") // false, or another would read this side
	for _, k := range tlsKeys {
		if !k.role[r.role] || k.only != "dtls" || !r.has(k.name) {
			continue
		}
		if wrapped {
			r.wrong(k.name, "is for DTLS, this side has TLS; take it out, or set %s", r.name("dtls"))
		} else {
			r.wrong(k.name, "is for DTLS, this side is a plain stream; take it out, or set %s", r.name("dtls"))
		}
	}
}

// A tlsKey is a key that only a wrapped side has.
type tlsKey struct {
	name string
	role [2]bool // which roles have it
	only string  // "tls" or "dtls"; empty: both
	kind string  // "", "list" of several values, "number", or "yes" for true and false
	help string
}

var tlsKeys = []tlsKey{
	{"cert", both, "", "", "certificate chain, a PEM `FILE`; the key may be in it"},
	{"key", both, "", "", "private key, a PEM `FILE` that only its owner may read"},
	{"ca", both, "", "",
		"authorities whose certificates are accepted, a PEM `FILE` (client: else those of the system)"},
	{"server_name", onlyClient, "", "", "`NAME` in the server's certificate (else the host that is connected to)"},
	{"client_auth", onlyServer, "", "",
		"whether clients need a certificate: `HOW` is none, request (verified if there is one), require (default none)"},
	{"client_names", onlyServer, "", "list", "accept only certificates for one of these `NAMES`"},
	{"pins", both, "", "list", "accept only these public keys, `SHA256` in hexadecimal, besides all other checks"},
	{"alpn", both, "", "list", "application `PROTOCOLS`, most wanted first, such as h2,http/1.1"},
	{"min_version", both, "tls", "", "least `VERSION` of TLS: 1.2 or 1.3 (default 1.2)"},
	{"max_version", both, "tls", "", "highest `VERSION` of TLS (default 1.3)"},
	{"ciphers", both, "", "list", "cipher `SUITES` for TLS 1.2 and DTLS"},
	{"psk_file", both, "dtls", "", "DTLS with pre-shared keys: a `FILE` of lines identity:key, the key in hexadecimal"},
	{"psk_identity", onlyClient, "dtls", "", "whose key to use, if the file has several: `IDENTITY`"},
	{"mtu", both, "dtls", "number", "longest datagram to send, `BYTES` without the headers of UDP and IP (default 1200)"},
	{"connection_ids", both, "dtls", "yes", "let clients of DTLS change their address (default true)"},
	{"answer_timeout", onlyClient, "dtls", "",
		"`TIME` without an answer after which a server of DTLS is greeted anew (default 30s; 0s is never)"},
}

var onlyClient, onlyServer = [2]bool{frame.Client: true}, [2]bool{frame.Server: true}

var both = [2]bool{true, true}

// maker returns the codec, nil if that has been reported as a mistake.
func (r *sideReader) maker(spec string) frame.Maker {
	if spec == "" {
		return frame.Raw
	}
	mk, err := codecs.Parse(spec)
	if err != nil {
		r.wrong("codec", "%v; see: encase codec list", err)
		return nil
	}
	m, err := mk(r.role)
	if err != nil {
		r.wrong("codec", "%v", err)
		return nil
	}
	if _, delimits := m.(frame.Delimiter); !delimits && !frame.IsRaw(m) {
		r.wrong("codec", "%q needs datagrams, this side is a stream; connect to udp:HOST:PORT, or see: encase codec list",
			spec)
	}
	return mk
}

func (r *sideReader) alpn() []string {
	const maxName = 255 // https://www.rfc-editor.org/rfc/rfc7301#section-3.1
	list := r.texts("alpn")
	for _, name := range list {
		if name == "" || len(name) > maxName {
			r.wrong("alpn", `%q is no protocol; names have 1 to %d bytes, for example "h2"`, name, maxName)
		}
	}
	return list
}

func (r *sideReader) checkVersions() {
	least, most := r.tls.MinVersion, r.tls.MaxVersion
	if most != 0 && least > most {
		r.wrong("max_version", "is less than %s; exchange them", r.name("min_version"))
	}
	if least == tls.VersionTLS13 && r.has("ciphers") {
		r.wrong("ciphers", "are for TLS 1.2, which %s forbids; take one of the two out", r.name("min_version"))
	}
}

func (r *sideReader) clientAuth() tls.ClientAuthType {
	r.rules.names = r.texts("client_names")
	switch r.choice("client_auth", "none", "request", "require") {
	case "request":
		return tls.VerifyClientCertIfGiven
	case "require":
		return tls.RequireAndVerifyClientCert
	}
	return tls.NoClientCert
}

// checkClientAuth reports what would let more clients in than its author thinks.
func (r *sideReader) checkClientAuth() {
	auth := r.tls.ClientAuth
	if auth != tls.NoClientCert && !r.has("ca") {
		r.wrong("ca", "is missing: %s needs to know whose certificates to accept; name the authority's file",
			r.name("client_auth"))
	}
	if auth == tls.NoClientCert && r.has("ca") {
		r.wrong("ca", `has no effect: no client is asked for a certificate; set %s to "require"`, r.name("client_auth"))
	}
	for _, key := range []string{"pins", "client_names"} {
		if auth != tls.RequireAndVerifyClientCert && r.has(key) {
			r.wrong(key, `lets clients without a certificate pass; set %s to "require"`, r.name("client_auth"))
		}
	}
}

// chooseServerName takes the name that the certificate must have from the address, if there is none.
func (r *sideReader) chooseServerName(addresses []address) {
	name := r.tls.ServerName
	switch {
	case strings.ContainsAny(name, "/: ") && net.ParseIP(name) == nil:
		r.wrong("server_name", "%q is no host name; write it without port or scheme", name)
	case name != "" || r.has("server_name") || len(addresses) == 0:
	default:
		r.tls.ServerName = commonHost(addresses)
		if r.tls.ServerName == "" {
			r.wrong("server_name", "is missing, and the address does not tell it; write the name in the server's certificate")
		}
	}
}

// commonHost returns the host of all addresses, empty if they differ.
func commonHost(addresses []address) string {
	host := addresses[0].host()
	for _, a := range addresses {
		if a.host() != host {
			return ""
		}
	}
	return host
}

// faults prepares what is said about errors of this side.
func (r *sideReader) faults() faults {
	named := func(key string) string {
		if v := r.values[key]; v != nil {
			return r.name(key) + " (" + r.values[key].(string) + ")"
		}
		return r.name(key)
	}
	if r.doc.problems.Err() != nil {
		return faults{}
	}
	return faults{
		psk: named("psk_file"), hasKey: r.has("psk_file"), ciphers: r.name("ciphers"),
		role: r.role, ca: named("ca"), cert: named("cert"), codec: named("codec"),
		serverName: r.tls.ServerName, nameKey: r.name("server_name"),
		clientAuth: r.name("client_auth"), versions: r.name("min_version"), alpn: r.name("alpn"),
	}
}
