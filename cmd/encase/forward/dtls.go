package forward

import (
	"crypto/tls"
	"slices"
	"strings"
	"time"

	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/cmd/encase/datagrams"
	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap/datagram"
)

const (
	// defaultIdle is when a client of UDP is taken for gone: nothing else tells.
	defaultIdle = time.Minute

	// defaultAnswer is when a server is taken for gone that does not answer: DTLS does not notice that its peer was
	// started anew.
	defaultAnswer = 30 * time.Second

	// defaultDTLSHandshake leaves room for flights that get lost four times in a row.
	defaultDTLSHandshake = datagram.DefaultListenHandshakeTimeout

	// serverSessions and sessionLife bound what a side that accepts remembers for clients that come again.
	serverSessions = 4096
	sessionLife    = time.Hour

	leastMTU, mostMTU = 300, 65507
)

// A dtlsSide is the DTLS of a side.
type dtlsSide struct {
	tls     *tls.Config
	options dtls.Options
	spec    string // of the codec; empty: none
	codec   frame.Maker
	mtu     int // 0: as package datagram has it
	cids    bool
	answer  time.Duration // of a client: 0 is never
}

// readDTLS reads the DTLS of a side. It returns nil if the side is plain UDP. overStream says that it is not UDP.
func (r *sideReader) readDTLS(overStream bool) *dtlsSide {
	d := &dtlsSide{tls: &r.tls, spec: r.text("codec"), cids: true}
	wrapped := r.yes("dtls") || r.has("codec")
	if r.has("codec") && r.has("dtls") && !r.yes("dtls") {
		r.wrong("dtls", "is false, but a codec carries DTLS; take one of the two out")
	}
	r.tls.NextProtos = r.alpn()
	r.rules.pins = r.pins("pins")
	d.options.CipherSuites = r.dtlsCiphers()
	r.readPath(d, overStream)
	r.refuseStreamKeys()
	if !wrapped {
		r.refuseWrappedKeys("DTLS", "dtls")
		return nil
	}
	r.identity(&r.tls, r.role)
	r.roots = r.authorities()
	r.tls.VerifyConnection = r.rules.check()
	d.codec = r.datagramCodec(d.spec, overStream)
	return d
}

// readPath reads what depends on what the datagrams travel on.
func (r *sideReader) readPath(d *dtlsSide, overStream bool) {
	if n, ok := r.number("mtu"); ok && (n < leastMTU || n > mostMTU) {
		r.wrong("mtu", "is out of bounds; %d to %d are allowed: the length of a datagram without the headers of UDP and IP",
			leastMTU, mostMTU)
	} else if ok {
		d.mtu = int(n)
	}
	if r.has("connection_ids") {
		d.cids = r.yes("connection_ids")
	}
	for _, key := range []string{"mtu", "connection_ids"} {
		if overStream && r.has(key) {
			r.wrong(key, "is for UDP, this side is DTLS over a stream; take it out")
		}
	}
}

// refuseStreamKeys reports keys that mean nothing without a stream.
func (r *sideReader) refuseStreamKeys() {
	if r.yes("tls") {
		r.wrong("tls", "is for streams, this side has datagrams; set %s", r.name("dtls"))
	} else {
		r.has("tls")
	}
	if r.has("preamble") {
		r.wrong("preamble", "is for TLS and plain streams, not for datagrams; take it out")
	}
	for _, key := range tlsKeys {
		if key.role[r.role] && key.only == "tls" && r.has(key.name) {
			r.wrong(key.name, "is for TLS, this side has datagrams: of DTLS there is version 1.2; take it out")
		}
	}
}

// datagramCodec returns the codec, nil for none or if a mistake was reported.
func (r *sideReader) datagramCodec(spec string, overStream bool) frame.Maker {
	if spec == "" {
		if overStream {
			r.wrong("dtls", `needs a codec over a stream, which tells datagrams apart; set %s, for example "length:16be"`,
				r.name("codec"))
		}
		return nil
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
	_, delimits := m.(frame.Delimiter)
	switch {
	case !overStream && !frame.IsRaw(m) && !carries(spec, codecs.Datagram):
		r.wrong("codec", "%q is for streams, this side is UDP; see: encase codec list", spec)
	case converses(m):
		r.wrong("codec", "%q holds a conversation of its own, for TLS; DTLS wants a codec that frames each datagram by "+
			"itself, see: encase codec list", spec)
	case overStream && !delimits:
		r.wrong("codec", "%q does not tell its frames apart in a stream; see: encase codec list", spec)
	}
	return mk
}

// converses reports whether a codec acts by a clock or holds data back: it makes a stream of datagrams by itself.
func converses(m frame.Machine) bool {
	_, timed := m.(frame.Timed)
	_, holds := m.(frame.Backlogger)
	return timed || holds
}

// carries reports whether a codec is meant for a kind of carrier.
func carries(spec string, kind codecs.Carriers) bool {
	name, _, _ := strings.Cut(spec, ":")
	i := slices.IndexFunc(codecs.List(), func(info codecs.Info) bool { return info.Name == name })
	return i >= 0 && codecs.List()[i].Carriers&kind != 0
}

func (r *sideReader) dtlsCiphers() (ids []uint16) {
	for _, name := range r.texts("ciphers") {
		id, ok := datagrams.Suite(name)
		if !ok {
			r.wrong("ciphers", "%q is not allowed; choose from %s", name, strings.Join(datagrams.SuiteNames(), ", "))
			continue
		}
		ids = append(ids, id)
	}
	return ids
}
