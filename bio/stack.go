package bio

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/encase-tls/encase/frame"
)

// Config is what an engine needs to know. Credentials and the session cache live in it, outside every stack, so that a
// program can change its stack and keep them. It must not change once an engine was made from it.
type Config struct {
	// TLS holds certificates, trusted roots, names, versions and the session cache, for every stack. A client needs
	// ServerName, or InsecureSkipVerify with a VerifyConnection of its own.
	TLS *tls.Config

	// ChooseLate makes a server pause after the ClientHello until [Chooser].Choose.
	ChooseLate bool

	// Peer names the peer for the session cache of a client that has no ServerName. Two peers must not share a name.
	Peer string

	// MTU bounds what Flush returns of a handshake over datagrams, in bytes; 0 leaves it to the stack. A stack with a
	// bound of its own takes the lesser.
	MTU int

	// NewCID, if set, makes the connection IDs that the peer is asked to put into its records, of CIDLen bytes each, for
	// whoever has many connections on one socket; it comes before options of the stack. It may be called by several
	// goroutines. Stacks that have no connection IDs ignore both. https://www.rfc-editor.org/rfc/rfc9146
	NewCID func() []byte
	CIDLen int
}

// A Maker makes engines that share a configuration. It is safe for concurrent use.
type Maker func(role frame.Role) (Engine, error)

// A Stack is an implementation of TLS or DTLS that can be chosen by name.
type Stack struct {
	Name         string
	Datagram     bool     // carries datagrams, as DTLS does, rather than a byte stream
	Versions     []uint16 // protocol versions, as in crypto/tls
	CipherSuites []uint16 // as registered with IANA
	Async        bool     // its handshake has timers and goroutines of its own
	// New checks cfg, once for many engines.
	New func(cfg *Config) (Maker, error)
}

var stacks struct {
	sync.RWMutex
	byName map[string]Stack
}

// Register adds a stack. It panics if the name is empty or taken, or if New is nil; call it from an init function.
func Register(s Stack) {
	if s.Name == "" || s.New == nil {
		panic(fmt.Sprintf("bio: Register(%q): a stack needs a name and New", s.Name))
	}
	stacks.Lock()
	defer stacks.Unlock()
	if _, taken := stacks.byName[s.Name]; taken {
		panic(fmt.Sprintf("bio: Register(%q): the name is taken", s.Name))
	}
	if stacks.byName == nil {
		stacks.byName = map[string]Stack{}
	}
	stacks.byName[s.Name] = s
}

// Stacks returns the stacks that this program was built with, sorted by name.
func Stacks() []Stack {
	stacks.RLock()
	defer stacks.RUnlock()
	list := make([]Stack, 0, len(stacks.byName))
	for _, s := range stacks.byName {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b Stack) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Lookup returns the stack with a name. The error lists those that there are.
func Lookup(name string) (Stack, error) {
	stacks.RLock()
	s, ok := stacks.byName[name]
	stacks.RUnlock()
	if ok {
		return s, nil
	}
	var have []string
	for _, s := range Stacks() {
		have = append(have, s.Name)
	}
	return Stack{}, fmt.Errorf("bio: unknown stack %q (have %s; forgotten import?)", name, strings.Join(have, ", "))
}
