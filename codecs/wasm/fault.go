package wasm

import "fmt"

// A Fault is what is wrong with a plugin. It is not the fault of a peer, whatever the peer has sent: a plugin that is
// right refuses that. So it does not wrap frame.ErrMalformed, and over datagrams, too, it ends the connection in which
// it shows. Other connections have instances of their own, and go on.
type Fault struct {
	File     string // the name that New was given
	Rule     string // the stable name under which spec/plugin.md explains the rule, such as "range"
	Contract string // the rule, in one sentence
	Err      error  // how the plugin breaks it
}

// Error says which rule the plugin breaks, how, and what the rule is.
func (f *Fault) Error() string {
	return fmt.Sprintf("wasm: %s breaks the rule %q of plugins: %v\n\tthe rule: %s", f.File, f.Rule, f.Err, f.Contract)
}

func (f *Fault) Unwrap() error { return f.Err }

// A rule is one promise of a plugin.
type rule int

const (
	ruleSize rule = iota
	ruleModule
	ruleImports
	ruleInstruction
	ruleMemory
	ruleTable
	ruleExports
	ruleStart
	ruleABI
	ruleBuffer
	ruleLimits
	ruleSteps
	ruleStack
	ruleTrap
	ruleCode
	ruleRange
	ruleCodec
)

var rules = [...]struct{ name, contract string }{
	ruleSize: {"size", "A file has at most 1048576 bytes, its code 262144; a function has at most 32768, 1024 " +
		"parameters and locals together, and 255 blocks within each other."},
	ruleModule:  {"module", "A file is a valid module of WebAssembly 2.0, with no more in it than the other rules name."},
	ruleImports: {"imports", "A module imports nothing: no WASI, no memory, no function of the host."},
	ruleInstruction: {"instruction", "A module has no instruction that changes or reads a table, and none of threads, " +
		"exceptions, tail calls, references or relaxed vectors."},
	ruleMemory: {"memory", "A module has one memory, of at most 16 pages of 64 KiB at the start."},
	ruleTable: {"table", "A module has at most one table, of at most 1024 functions, filled at the start by their " +
		"index."},
	ruleExports: {"exports", "A module exports what the interface demands, with these names and types, and none that " +
		"begins with \"encase:\"."},
	ruleStart: {"start", "The data of a module lies in its memory and its elements in its table; encase_init returns 0 " +
		"to 1024."},
	ruleABI: {"abi", "encase_abi returns 1, the version of the interface."},
	ruleBuffer: {"buffer", "The buffer lies within memory and has room for 1024 bytes, and for the longest frame or its " +
		"window."},
	ruleLimits: {"limits", "Limits are within their range; HEAD, TAIL and MAX of an encoder are those of the decoder at " +
		"the other end."},
	ruleSteps: {"steps", "A call ends within 33554432 steps; a step is about a byte of code."},
	ruleStack: {"stack", "Calls within calls need at most 1048576 bytes of stack."},
	ruleTrap:  {"trap", "No call ends in a trap."},
	ruleCode:  {"code", "A function returns no negative number but those that the interface has for it."},
	ruleRange: {"range", "What a function returns lies within the room that it was given; with a window, it ends where " +
		"the payload or the frame ends."},
	ruleCodec: {"codec", "A plugin keeps the contract of codecs, as far as it can be tested before it is used."},
}

// broken is a rule that is broken, and how, of a file that is not yet named.
type broken struct {
	rule rule
	err  error
}

func (b *broken) Error() string { return b.err.Error() }

// breaks returns that r is broken. The arguments are those of fmt.Errorf.
func breaks(r rule, format string, args ...any) error { return &broken{r, fmt.Errorf(format, args...)} }
