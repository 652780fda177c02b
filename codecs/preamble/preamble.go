// Package preamble holds dialogues that come before TLS: what a client of PostgreSQL, a mail program, a web proxy says
// to its server in clear, and is answered, before both go on in plain TLS. Each is a [frame.Preamble], for either
// side.
//
//	cfg := &wrap.Config{TLS: tlsConfig, Preambles: []frame.Preamble{
//		preamble.Connect{Target: "db.example:5432"}, // first through the web proxy that was dialled
//		preamble.Postgres{},                         // then what a PostgreSQL server wants to hear
//	}}
//	conn := wrap.Client(wrap.Stream(tcp), cfg)
//
// The types are the protocols, their fields the choices that there are; zero values work where the protocol allows it.
// They have no state and may be shared by connections. [Over] holds a dialogue where there is no wrap.Config.
//
// # Names
//
// For a configuration file or a command line [Parse] makes one from a spec: a name, or a name, a colon and an
// argument, such as "postgres", "smtp:name=mail.example", "connect:db.example:5432". The argument is a list of
// options, with commas between them; [List] describes it for each name. There is no way to write a comma, and no
// secret: a user name and a password stand in a file, see [ReadSecret].
//
// # What a preamble is worth
//
// All that it says and hears travels in clear, and whoever is on the path can change it. So no answer can make a side
// go on without TLS: the one way out is an error. What a server says of itself is shown in errors and used for nothing
// else. Nothing is read beyond the dialogue: bytes slipped in behind it in clear reach TLS, which refuses them.
//
// Every line, message and number of messages is bounded; time is bounded by the handshake's timeout. An error that the
// peer's bytes caused is an [*Error], which wraps frame.ErrMalformed. It quotes what came, and never a password.
package preamble

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/encase-tls/encase/frame"
)

// Info describes a preamble to a person.
type Info struct {
	Name    string // set by Register
	Summary string // one line, without a full stop
	Syntax  string // the grammar of the argument, one rule per line; empty: no argument
	Example string // a spec that works as it is
	Tested  string // the programs and documents that it was tested against
}

type entry struct {
	info  Info
	parse func(arg string) (frame.Preamble, error)
}

var (
	mu       sync.RWMutex
	registry = map[string]entry{}
)

// Register adds a preamble under a name of lower-case letters, digits and hyphens. parse turns the argument of a spec,
// which is empty if there is none, into a Preamble that connections share. Its error begins with the name and says what
// is allowed. Register is called from init functions; it panics when name is malformed or taken, or parse is nil.
func Register(name string, info Info, parse func(arg string) (frame.Preamble, error)) {
	switch {
	case !validName(name):
		panic(fmt.Sprintf("preamble: Register: bad name %q: lower-case letters, digits and hyphens only", name))
	case parse == nil:
		panic(fmt.Sprintf("preamble: Register(%q): parse is nil", name))
	}
	info.Name = name
	mu.Lock()
	defer mu.Unlock()
	if _, taken := registry[name]; taken {
		panic(fmt.Sprintf("preamble: Register(%q): the name is taken", name))
	}
	registry[name] = entry{info, parse}
}

func validName(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return name != ""
}

// Parse returns the Preamble that spec describes. The argument is checked here, and files that it names are read here.
func Parse(spec string) (frame.Preamble, error) {
	name, arg, _ := strings.Cut(spec, ":")
	mu.RLock()
	e, ok := registry[name]
	mu.RUnlock()
	if !ok {
		have := strings.Join(Names(), ", ")
		return nil, fmt.Errorf("preamble: unknown preamble %q (have %s; forgotten import?)", name, have)
	}
	return e.parse(arg)
}

// Names returns the names of all registered preambles, sorted.
func Names() []string {
	mu.RLock()
	defer mu.RUnlock()
	names := make([]string, 0, len(registry))
	for name := range registry {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// List returns the description of each registered preamble, sorted by name.
func List() []Info {
	mu.RLock()
	defer mu.RUnlock()
	list := make([]Info, 0, len(registry))
	for _, e := range registry {
		list = append(list, e.info)
	}
	slices.SortFunc(list, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return list
}
