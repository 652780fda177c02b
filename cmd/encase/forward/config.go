package forward

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

const configVersion = 1

const (
	defaultDrain          = 30 * time.Second
	defaultConnect        = 10 * time.Second
	defaultMaxConnections = 10000
	defaultBuffer         = 256 << 10         // per direction, while data moves; half of it is measurably slower
	minBuffer, maxBuffer  = 32 << 10, 4 << 20 // a record must fit; more only costs memory
	defaultMode           = fs.FileMode(0o600)
)

// A config is a configuration that holds together: files are loaded, names are resolved to what they stand for. It is
// never changed.
type config struct {
	forwards       []*forward
	log            logging
	maxConnections int64
	drain          time.Duration
}

// A forward is one way through the program: what is accepted here is connected there.
type forward struct {
	name    string
	accept  listenSide
	connect dialSide
	limits  limits
}

type listenSide struct {
	at      place
	address address
	mode    fs.FileMode  // of a Unix socket
	tls     *wrap.Config // nil: plain, or datagrams
	dtls    *dtlsSide    // nil: plain, or a stream
	fault   faults

	preambles []frame.Preamble
}

type dialSide struct {
	at        place
	addresses []address // tried in this order
	tls       *wrap.Config
	dtls      *dtlsSide
	fault     faults
	preambles []frame.Preamble
}

type limits struct {
	maxConnections           int64 // 0: only the one over all forwards
	handshake, connect, idle time.Duration
	buffer                   int
}

// unset is a time that nobody has chosen; 0 may mean something.
const unset = time.Duration(-1)

// settle fills in what depends on what is forwarded.
func (l *limits) settle(s *section, datagrams bool) {
	handshake, idle := wrap.DefaultHandshakeTimeout, time.Duration(0)
	if datagrams {
		handshake, idle = defaultDTLSHandshake, defaultIdle
	}
	if l.handshake == 0 {
		l.handshake = handshake
	}
	if l.idle == unset {
		l.idle = idle
	}
	if datagrams && l.idle == 0 {
		s.wrong("idle_timeout", "is 0, never, but UDP does not tell when a client has gone; write how long to wait: \"5m\"")
	}
}

type logging struct {
	level slog.Level
	json  bool
}

// read makes a config of a document. The config is nil if the problems include mistakes.
func read(doc *document) (*config, problems) {
	r := reader{doc: doc, names: map[string]place{}, accepts: map[string]place{}}
	cfg := r.config(doc.root())
	if doc.problems.Err() != nil {
		return nil, doc.problems
	}
	return cfg, doc.problems
}

// readFile makes a config of a file.
func readFile(name string) (*config, problems) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, problems{{Place: place{Key: name}, Text: fmt.Sprintf("%s; name a file that can be read with --config",
			pathFault(err))}}
	}
	doc, bad := parseTOML(name, data)
	if doc == nil {
		return nil, bad
	}
	return read(doc)
}

// A reader gives meaning to a document.
type reader struct {
	doc     *document
	names   map[string]place // of forwards
	accepts map[string]place
}

func (r *reader) config(s *section) *config {
	cfg := &config{}
	if v, _ := s.number("config_version"); v != configVersion {
		s.wrong("config_version",
			"must be there and be %d, the version that this program reads; write: config_version = %[1]d", configVersion)
	}
	cfg.log = readLogging(s.table("log"))
	l := s.table("limits")
	cfg.maxConnections = readMaxConnections(l)
	cfg.drain = l.duration("drain_timeout", defaultDrain, 0)
	common := readLimits(l, limits{connect: defaultConnect, idle: unset, buffer: defaultBuffer})
	l.done()
	for _, f := range s.tables("forward") {
		cfg.forwards = append(cfg.forwards, r.forward(f, common))
	}
	if !s.has("forward") {
		s.wrong("forward", "there is none; write [[forward]] with [forward.accept] and [forward.connect]")
	}
	s.done()
	return cfg
}

// readMaxConnections returns how many connections there may be. By default no more than there are files for.
func readMaxConnections(s *section) int64 {
	const own, each = 64, 2 // files
	def := int64(defaultMaxConnections)
	have := fileLimit()
	possible := (have - own) / each
	if have > 0 {
		def = max(1, min(def, possible))
	}
	n := s.count("max_connections", def)
	if have > 0 && n > possible {
		s.doc.problems.Warn(s.at("max_connections"), "%d connections need %d open files, %d are allowed; raise the limit"+
			" (ulimit -n, LimitNOFILE=), or set this to %d", n, each*n+own, have, possible)
	}
	return n
}

func readLogging(s *section) (l logging) {
	level := s.choice("level", "info", "debug", "warn", "error")
	_ = l.level.UnmarshalText([]byte(level)) // choice allows only what it knows
	l.json = s.choice("format", "text", "json") == "json"
	s.done()
	return l
}

// readLimits returns limits of one connection; def holds for what is missing.
func readLimits(s *section, def limits) limits {
	return limits{
		handshake: s.duration("handshake_timeout", def.handshake, time.Millisecond),
		connect:   s.duration("connect_timeout", def.connect, time.Millisecond),
		idle:      s.duration("idle_timeout", def.idle, 0),
		buffer:    int(s.size("buffer", int64(def.buffer), minBuffer, maxBuffer)),
	}
}

func (r *reader) forward(s *section, common limits) *forward {
	f := &forward{name: s.text("name")}
	if f.name == "" && !s.has("name") {
		s.wrong("name", `is missing; write: name = "web"`)
	}
	r.once(r.names, f.name, s.at("name"), "the name is taken")
	f.accept = r.acceptSide(s.table("accept"))
	f.connect = r.connectSide(s.table("connect"))
	r.compareSides(f)
	l := s.table("limits")
	f.limits = readLimits(l, common)
	f.limits.maxConnections = l.count("max_connections", 0)
	f.limits.settle(l, f.datagrams())
	l.done()
	f.greetPlainSide()
	for _, cfg := range []*wrap.Config{f.accept.tls, f.connect.tls} {
		if cfg != nil {
			cfg.HandshakeTimeout = f.limits.handshake
		}
	}
	s.done()
	return f
}

// datagrams reports whether f forwards datagrams, and not streams.
func (f *forward) datagrams() bool { return f.accept.datagrams() }

func (l *listenSide) datagrams() bool { return l.address.isUDP() || l.dtls != nil }

func (d *dialSide) datagrams() bool { return d.overUDP() || d.dtls != nil }

func (d *dialSide) overUDP() bool { return len(d.addresses) > 0 && d.addresses[0].isUDP() }

// compareSides reports what the two sides cannot have together.
func (r *reader) compareSides(f *forward) {
	in, out := &f.accept, &f.connect
	if in.address.network == "" || len(out.addresses) == 0 {
		return
	}
	switch {
	case in.datagrams() && !out.datagrams():
		r.doc.problems.Add(out.at, "is a stream, and what is accepted are datagrams; write udp:HOST:PORT, or give this side "+
			"dtls = true and a codec, for DTLS over a stream")
	case !in.datagrams() && out.datagrams():
		r.doc.problems.Add(out.at, "takes datagrams, and what is accepted is a stream, which has none; let the other side "+
			"accept udp:HOST:PORT")
	case in.datagrams() && out.dtls == nil && len(out.addresses) > 1:
		r.doc.problems.Add(out.at, "has several addresses, but plain UDP does not tell which of them answers; write one")
	case in.datagrams() && in.dtls == nil && out.dtls == nil:
		r.doc.problems.Warn(in.at, "neither side has DTLS: all is forwarded in clear; give one of them dtls or a codec")
	case !in.datagrams() && in.tls == nil && out.tls == nil:
		r.doc.problems.Warn(in.at,
			"neither side has TLS: all is forwarded in clear; give one of them a codec, raw for TLS as it is")
	}
}

// once reports a key that an earlier forward has taken.
func (r *reader) once(taken map[string]place, key string, at place, what string) {
	if key == "" {
		return
	}
	if first, ok := taken[key]; ok {
		r.doc.problems.Add(at, "%s: %q stands in line %d, too; each forward needs its own", what, key, first.Line)
		return
	}
	taken[key] = at
}

func (r *reader) acceptSide(s *section) (side listenSide) {
	side.at = s.at("address")
	if t := s.text("address"); t != "" {
		var err error
		if side.address, err = parseAddress(t, true); err != nil {
			s.wrong("address", "%v", err)
		} else if !side.address.anyPort() {
			r.once(r.accepts, side.address.String(), s.at("address"), "the address is taken")
		}
	} else if !s.has("address") {
		s.wrong("address", `is missing; write where to listen: address = "127.0.0.1:1000" or "unix:/run/name.sock"`)
	}
	side.mode = s.mode("mode", defaultMode)
	if s.has("mode") && side.address.network != "" && !side.address.isUnix() {
		s.wrong("mode", "is for Unix sockets; take it out")
	}
	if side.address.isUDP() || s.yes("dtls") {
		side.dtls, side.fault = readServerDTLS(s, !side.address.isUDP())
	} else {
		side.tls, side.fault = readServerTLS(s)
		side.preambles = readPreambles(s, side.tls != nil)
	}
	s.done()
	return side
}

func (r *reader) connectSide(s *section) (side dialSide) {
	side.at = s.at("address")
	list := s.texts("address")
	for _, t := range list {
		a, err := parseAddress(t, false)
		if err != nil {
			s.wrong("address", "%v", err)
			continue
		}
		side.addresses = append(side.addresses, a)
	}
	const example = `write where to connect: address = "127.0.0.1:1000" or "unix:/run/name.sock"`
	if !s.has("address") {
		s.wrong("address", "is missing; %s", example)
	} else if list, ok := s.values["address"].([]any); ok && len(list) == 0 {
		s.wrong("address", "is an empty list; %s", example)
	}
	side.addresses = ofOneKind(s, side.addresses)
	if side.overUDP() || s.yes("dtls") {
		side.dtls, side.fault = readClientDTLS(s, side.addresses, !side.overUDP())
	} else {
		side.tls, side.fault = readClientTLS(s, side.addresses)
		side.preambles = readPreambles(s, side.tls != nil)
	}
	s.done()
	return side
}

// ofOneKind reports addresses that one side cannot have together, and returns only the first then.
func ofOneKind(s *section, list []address) []address {
	for _, a := range list {
		if a.isUDP() != list[0].isUDP() {
			s.wrong("address", "%v and %v: one is UDP and the other a stream; make a forward for each", list[0], a)
			return list[:1]
		}
	}
	return list
}
