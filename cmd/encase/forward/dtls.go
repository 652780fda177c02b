package forward

import (
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/cmd/encase/datagrams"
	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
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

// readKeys reads the pre-shared keys of a side, nil if there are none.
func (r *sideReader) readKeys() *datagrams.Keys {
	file := r.text("psk_file")
	if file == "" {
		return nil
	}
	keys, err := datagrams.ReadKeys(file)
	if err != nil {
		r.wrong("psk_file", "%v", err)
		return nil
	}
	if n := keys.Shortest(); n < datagrams.GoodKey {
		r.doc.problems.warn(r.at("psk_file"), "%s: a key has %d bytes and can be guessed; make one with: openssl rand -hex 32",
			file, n)
	}
	return keys
}

// readServerDTLS reads how what is accepted is wrapped; nil: it is plain.
func readServerDTLS(s *section, overStream bool) (*dtlsSide, faults) {
	r := sideReader{section: s, role: frame.Server}
	r.tls.ClientAuth = r.clientAuth()
	d := r.readDTLS(overStream)
	keys := r.readKeys()
	if d == nil {
		return nil, faults{}
	}
	if !r.has("cert") && !r.has("psk_file") {
		r.wrong("cert", "is missing: who accepts DTLS needs a certificate, or pre-shared keys: set %s", r.name("psk_file"))
	}
	r.tls.ClientCAs = r.roots
	r.checkClientAuth()
	if keys != nil {
		d.options.PSK = keys.Server()
		if r.tls.ClientAuth == tls.RequireAndVerifyClientCert {
			r.wrong("psk_file", "lets clients without a certificate in; take it out, or set %s to \"request\"",
				r.name("client_auth"))
		}
	}
	if r.tls.ClientAuth == tls.NoClientCert { // a session that is resumed shows no certificate
		d.options.Sessions = dtls.NewSessionStore(serverSessions, sessionLife)
	}
	return d, r.tryDTLS(d)
}

// readClientDTLS reads how what is connected is wrapped; nil: it is plain.
func readClientDTLS(s *section, addresses []address, overStream bool) (*dtlsSide, faults) {
	r := sideReader{section: s, role: frame.Client}
	r.tls.ServerName = r.text("server_name")
	answer := r.duration("answer_timeout", defaultAnswer, 0)
	d := r.readDTLS(overStream)
	keys, identity := r.readKeys(), r.text("psk_identity")
	if d == nil {
		return nil, faults{}
	}
	d.answer = answer
	r.tls.RootCAs = r.roots
	if d.options.SendCID = d.cids && !overStream; len(r.rules.pins) == 0 { // a session that is resumed shows no certificate
		r.tls.ClientSessionCache = tls.NewLRUClientSessionCache(sessionsKept)
	}
	if r.has("psk_file") {
		r.useKey(d, keys, identity)
		r.tls.ServerName = commonHost(addresses) // by which sessions are remembered
	} else {
		r.chooseServerName(addresses)
	}
	if r.has("psk_identity") && !r.has("psk_file") {
		r.wrong("psk_identity", "has no effect without a key; set %s", r.name("psk_file"))
	}
	return d, r.tryDTLS(d)
}

// useKey takes the pre-shared key of a client.
func (r *sideReader) useKey(d *dtlsSide, keys *datagrams.Keys, identity string) {
	for _, key := range []string{"cert", "key", "ca", "server_name", "pins"} {
		if r.has(key) {
			r.wrong(key, "has no effect with %s: the key alone proves who both ends are; take one of the two out",
				r.name("psk_file"))
		}
	}
	if keys == nil {
		return
	}
	only, one := keys.Only()
	switch {
	case identity == "" && !one:
		r.wrong("psk_identity", "is missing: %s has %d keys; say whose to use", r.text("psk_file"), keys.Len())
		return
	case identity == "":
		identity = only
	case !keys.Has(identity):
		r.wrong("psk_identity", "%q is not in %s; add a line for it, or name another", identity, r.text("psk_file"))
		return
	}
	d.options.PSK, d.options.PSKIdentity = keys.Client(identity), []byte(identity)
}

// tryDTLS makes an engine that nobody uses, if nothing is wrong so far: what is wrong shows now, and not with the first
// peer. It returns what is said about errors of this side.
func (r *sideReader) tryDTLS(d *dtlsSide) (f faults) {
	if r.doc.problems.err() != nil {
		return f
	}
	f = r.faults()
	f.dtls = true
	most, err := d.handshakeMTU(r.role)
	if err == nil && most < leastHandshake {
		r.wrong("mtu", "leaves %d bytes for DTLS in a datagram, the handshake needs %d; raise it", most, leastHandshake)
		return f
	}
	var e bio.Engine
	if err == nil {
		e, err = d.engine(&bio.Config{}, r.role, defaultDTLSHandshake)
	}
	if err != nil {
		r.wrong("dtls", "%s", strings.ReplaceAll(err.Error(), "dtls: ", ""))
		return f
	}
	e.Abort(net.ErrClosed)
	return f
}

// leastHandshake is the shortest datagram that a handshake can be cut for.
const leastHandshake = 256

// handshakeMTU returns how many bytes of DTLS fit a datagram.
func (d *dtlsSide) handshakeMTU(role frame.Role) (int, error) {
	const most = 8192
	mtu := d.mtu
	if mtu == 0 {
		mtu = wrap.DefaultMTU
	}
	if d.codec == nil {
		return min(mtu, most), nil
	}
	m, err := d.codec(role)
	if err != nil {
		return 0, err
	}
	l := m.Limits()
	return min(l.Max, mtu-l.Head-l.Tail, most), nil
}

// engine makes an engine; of c only what the listener has to say about connection IDs counts.
func (d *dtlsSide) engine(c *bio.Config, role frame.Role, handshake time.Duration) (bio.Engine, error) {
	mk, err := d.maker(c, role, handshake)
	if err != nil {
		return nil, err
	}
	return mk(role)
}

func (d *dtlsSide) maker(c *bio.Config, role frame.Role, handshake time.Duration) (bio.Maker, error) {
	own, opts := *c, d.options
	own.TLS = d.tls
	opts.HandshakeTimeout = handshake
	var err error
	if own.MTU, err = d.handshakeMTU(role); err != nil {
		return nil, err
	}
	return dtls.New(&own, opts)
}

// config returns how a Conn carries its datagrams.
func (d *dtlsSide) config(role frame.Role, handshake time.Duration) *datagram.Config {
	stack := dtls.Stack(d.options)
	stack.New = func(c *bio.Config) (bio.Maker, error) { return d.maker(c, role, handshake) }
	return &datagram.Config{
		TLS: d.tls, Codec: d.codec, Stack: stack, MTU: d.mtu, PeerTimeout: d.answer, HandshakeTimeout: handshake,
	}
}
