// Package codecs gives codecs names, so that a configuration file or a command line can choose one.
//
// A spec is a name, or a name, a colon and an argument: "raw", "length:16be", "websocket:path=/tunnel". What the
// argument may be is the codec's business; its package says so. A codec registers itself when its package is
// imported. Package codecs/all imports every codec of this module.
//
// A program that knows its codec when it is compiled needs no registry: it takes the Maker from the codec's package.
package codecs

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/encase-tls/encase/frame"
)

// Info describes a codec to a person.
type Info struct {
	Name     string   // set by Register
	Summary  string   // one line, without a full stop
	Class    Class    // what the protocol asks of its carrier
	Carriers Carriers // what it runs over
	Syntax   string   // the grammar of the argument, one rule per line; empty: no argument
	Example  string   // a spec that works as it is
	Tested   string   // the programs and documents that it was tested against
}

// A Class says what a protocol does beyond carrying bytes. Each asks for more than the one before.
type Class string

// The classes of protocols that carry TLS.
const (
	Unframed       Class = "no framing"
	Dialogue       Class = "preamble"       // a dialogue, then unframed TLS
	Header         Class = "header"         // a header, fixed or with a length
	Transform      Class = "transform"      // a trailer, a mask, byte stuffing
	Segmenting     Class = "segmenting"     // cuts a flight into several frames
	PhaseSwitch    Class = "phase switch"   // stops framing at some point
	LockStep       Class = "lock-step"      // one frame at a time, in turn
	Retransmitting Class = "retransmission" // sequence numbers, acknowledgements, timers
	Multiplexing   Class = "multiplexing"   // shares its carrier with other traffic
)

// Carriers is a set of kinds of carrier.
type Carriers uint8

// The kinds of carrier.
const (
	Stream   Carriers = 1 << iota // bytes in order, without boundaries: TCP, a serial line
	Datagram                      // packets that may be lost or overtake each other: UDP
)

// String returns "stream", "datagram", or both with a comma between them.
func (c Carriers) String() string {
	switch c {
	case Stream:
		return "stream"
	case Datagram:
		return "datagram"
	case Stream | Datagram:
		return "stream, datagram"
	}
	return "none"
}

type entry struct {
	info  Info
	parse func(arg string) (frame.Maker, error)
}

var (
	mu       sync.RWMutex
	registry = map[string]entry{}
)

// Register adds a codec under a name of lower-case letters, digits and hyphens. parse turns the argument of a spec,
// which is empty if there is none, into a Maker. Its error begins with the name and says what is allowed. Register
// is called from init functions; it panics when name is malformed or taken, or parse is nil.
func Register(name string, info Info, parse func(arg string) (frame.Maker, error)) {
	switch {
	case !validName(name):
		panic(fmt.Sprintf("codecs: Register: bad name %q: lower-case letters, digits and hyphens only", name))
	case parse == nil:
		panic(fmt.Sprintf("codecs: Register(%q): parse is nil", name))
	}
	info.Name = name
	mu.Lock()
	defer mu.Unlock()
	if _, taken := registry[name]; taken {
		panic(fmt.Sprintf("codecs: Register(%q): the name is taken", name))
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

// Parse returns the Maker that spec describes. The argument is checked here, once; the Maker fails only for reasons
// that lie outside it.
func Parse(spec string) (frame.Maker, error) {
	name, arg, _ := strings.Cut(spec, ":")
	mu.RLock()
	e, ok := registry[name]
	mu.RUnlock()
	if !ok {
		have := strings.Join(Names(), ", ")
		if have == "" {
			have = "none"
		}
		return nil, fmt.Errorf("codecs: unknown codec %q (have %s; forgotten import?)", name, have)
	}
	return e.parse(arg)
}

// Names returns the names of all registered codecs, sorted.
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

// List returns the description of each registered codec, sorted by name.
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
