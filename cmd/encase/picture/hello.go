package picture

import (
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/encase-tls/encase/cmd/encase/terminal"
)

const (
	clientHello = 1
	serverHello = 2
)

// Extensions that say something to a person.
// https://www.iana.org/assignments/tls-extensiontype-values/tls-extensiontype-values.xhtml
const (
	extServerName   = 0
	extALPN         = 16
	extPreSharedKey = 41
	extVersions     = 43
	extKeyShare     = 51
)

const maxListed = 8 // values of a list that are shown

// A reader takes a message apart. After the first read that exceeds it, all reads fail.
type reader struct {
	p      []byte
	failed bool
}

func (r *reader) bytes(n int) []byte {
	if r.failed || n > len(r.p) {
		r.failed = true
		return nil
	}
	p := r.p[:n:n]
	r.p = r.p[n:]
	return p
}

func (r *reader) uint8() int {
	if p := r.bytes(1); p != nil {
		return int(p[0])
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if p := r.bytes(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

// vector8 and vector16 read a vector with a length of 8 and 16 bits.
func (r *reader) vector8() *reader  { return r.sub(r.uint8()) }
func (r *reader) vector16() *reader { return r.sub(int(r.uint16())) }

func (r *reader) sub(n int) *reader {
	p := r.bytes(n)
	return &reader{p: p, failed: r.failed}
}

func (r *reader) more() bool { return !r.failed && len(r.p) > 0 }

// readClientHello says what the client asks for; ok is false if that cannot be told.
// https://www.rfc-editor.org/rfc/rfc8446#section-4.1.2
func readClientHello(body []byte) (said []string, ok bool) {
	const randomLen = 32
	r := &reader{p: body}
	version := r.uint16()
	r.bytes(randomLen)
	r.vector8() // session ID
	if version>>8 == dtlsMajor {
		if cookie := r.vector8(); cookie.more() {
			said = append(said, "with the server's cookie")
		}
	}
	r.vector16() // cipher suites
	r.vector8()  // compression
	versions := "offers " + versionName(version)
	var rest []string
	eachExtension(r, func(kind uint16, ext *reader) {
		switch kind {
		case extServerName:
			said = append(said, "server name "+serverName(ext))
		case extALPN:
			rest = append(rest, "ALPN "+strings.Join(protocols(ext.vector16()), ", "))
		case extVersions:
			versions = "offers " + list(ext.vector8(), versionName)
		case extKeyShare:
			rest = append(rest, "key shares "+strings.Join(keyShares(ext.vector16()), ", "))
		case extPreSharedKey:
			rest = append(rest, "resumes a session")
		}
	})
	if r.failed {
		return nil, false
	}
	said = append(said, versions)
	return append(said, rest...), true
}

// eachExtension calls f for each extension of a hello, and makes r fail if they are malformed.
func eachExtension(r *reader, f func(kind uint16, ext *reader)) {
	if !r.more() {
		return // a hello may have none
	}
	all := r.vector16()
	for all.more() {
		kind, ext := all.uint16(), all.vector16()
		if !all.failed {
			f(kind, ext)
		}
	}
	r.failed = r.failed || all.failed
}

// https://www.rfc-editor.org/rfc/rfc6066#section-3
func serverName(ext *reader) string {
	names := ext.vector16()
	if kind, name := names.uint8(), names.vector16(); kind == 0 && name.more() {
		return terminal.Text(string(name.p))
	}
	return "(malformed)"
}

// https://www.rfc-editor.org/rfc/rfc7301#section-3.1
func protocols(r *reader) (names []string) {
	for r.more() && len(names) < maxListed {
		names = append(names, terminal.Text(string(r.vector8().p)))
	}
	return names
}

// https://www.rfc-editor.org/rfc/rfc8446#section-4.2.8
func keyShares(r *reader) (groups []string) {
	for r.more() && len(groups) < maxListed {
		group := r.uint16()
		r.vector16()
		if !isGrease(group) {
			groups = append(groups, groupName(group))
		}
	}
	return groups
}

func list(r *reader, name func(uint16) string) string {
	var names []string
	for r.more() && len(names) < maxListed {
		if v := r.uint16(); !isGrease(v) {
			names = append(names, name(v))
		}
	}
	return strings.Join(names, ", ")
}

func groupName(group uint16) string {
	const firstFFDHE = 0x0100
	if group >= firstFFDHE && group <= firstFFDHE+4 {
		return fmt.Sprintf("ffdhe%d", [...]int{2048, 3072, 4096, 6144, 8192}[group-firstFFDHE])
	}
	if name := tls.CurveID(group).String(); !strings.HasPrefix(name, "CurveID(") {
		return strings.Replace(name, "CurveP", "P-", 1)
	}
	return fmt.Sprintf("group 0x%04x", group)
}

// A serverChoice is what a ServerHello says.
type serverChoice struct {
	retry          bool // it is a HelloRetryRequest
	version, suite uint16
	group          uint16 // 0: not told here
	resumed        bool
}

// retryRandom marks the ServerHello that asks for another ClientHello.
// https://www.rfc-editor.org/rfc/rfc8446#section-4.1.3
const retryRandom = "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"

func readServerHello(body []byte) (h serverChoice, ok bool) {
	const randomLen = 32
	r := &reader{p: body}
	h.version = r.uint16()
	h.retry = hex.EncodeToString(r.bytes(randomLen)) == retryRandom
	r.vector8() // session ID
	h.suite = r.uint16()
	r.uint8() // compression
	eachExtension(r, func(kind uint16, ext *reader) {
		switch kind {
		case extVersions:
			h.version = ext.uint16()
		case extKeyShare:
			h.group = ext.uint16()
		case extPreSharedKey:
			h.resumed = true
		}
	})
	return h, !r.failed
}

func (h *serverChoice) tls13() bool { return h.version == tls.VersionTLS13 }

func (h *serverChoice) said() (said []string) {
	if h.retry {
		said = append(said, "this is a HelloRetryRequest: another key share, please")
	}
	said = append(said, "chooses "+versionName(h.version)+", "+tls.CipherSuiteName(h.suite))
	if h.group != 0 {
		said = append(said, "key share "+groupName(h.group))
	}
	if h.resumed {
		said = append(said, "resumes the session")
	}
	return said
}
