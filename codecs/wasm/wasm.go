// Package wasm makes codecs from plugins: modules of WebAssembly that any language can be compiled to. A plugin needs
// nothing of its host but memory: it imports nothing, reads no file and no clock, and what is random is given to it.
// The document spec/plugin.md of this module describes the interface; samples in C and in Rust lie in the directory
// samples.
//
// # Safety
//
// A plugin is checked before it is compiled, and every rule of package codecs/check before it is used. After that, it
// can still be wrong, but what it can do is to end the connection in which it is: its memory is bounded and is that of
// one direction of one connection, each call ends within a bounded number of steps, counted by the code itself, and
// what it returns is compared with the room that it was given. What is its fault is a [*Fault], which names the rule;
// what is the peer's fault wraps [frame.ErrMalformed].
//
// As every codec, a plugin authenticates nothing. It sees what is on the wire, never plaintext or keys of TLS inside.
//
// # Cost
//
// The code is compiled to that of the machine where the runtime can (amd64 and arm64, unless the system forbids memory
// that can be executed), once for all connections, and is interpreted elsewhere, fifty times slower. A frame costs
// about 50 ns more than in Go, and the copies: bytes that a plugin is to see are copied into its memory and out of it,
// which is 10 ns for 1350 bytes. A plugin that only has a header says that it needs no more than the front of a frame.
//
// A connection has an instance for each direction, made with its first frame. Each has its memory, 64 KiB at least, and
// 12 KiB for each function that is called: 180 KiB for both directions of a plugin that one page is enough for. They go
// with the connection, when the garbage collector finds that.
//
// A call that does not end is stopped within a tenth of a second. Machine code holds up the garbage collector so long.
// Loading a plugin takes some tenths of a second, for the rules; those that are in use already take none.
//
// # Grammar
//
// In the registry the codec is called wasm. Its argument is the path of a file and, behind a comma, options, which are
// the plugin's business:
//
//	wasm:/etc/encase/demo.wasm
//	wasm:/etc/encase/demo.wasm,key=00112233
//	wasm:@veil,key=00112233        a sample, which needs no file: @length16, @stamp or @veil
package wasm

import (
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/tetratelabs/wazero"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
)

func init() {
	codecs.Register("wasm", codecs.Info{
		Summary:  "whatever a WebAssembly module makes of a frame, in C, Rust or another language",
		Class:    codecs.Transform,
		Carriers: codecs.Stream | codecs.Datagram,
		Syntax:   syntax,
		Example:  "wasm:@veil,key=c0ffee",
		Tested:   "clang 14, rustc 1.63 and wabt 1.0, own vectors, those of length",
	}, Parse)
}

const syntax = `PATH[,OPTIONS] or @SAMPLE[,OPTIONS]
PATH     a module of WebAssembly
SAMPLE   length16, stamp or veil
OPTIONS  what the module takes; veil: key=HEX, 1 to 8 bytes`

//go:embed samples/*.wasm
var samples embed.FS

// Parse returns the Maker that the argument of a spec describes. It fails as New does.
func Parse(arg string) (frame.Maker, error) {
	path, options, _ := strings.Cut(arg, ",")
	file, err := read(path)
	if err != nil {
		return nil, err
	}
	p, err := New(path, file, options)
	if err != nil {
		return nil, err
	}
	return p.Maker(), nil
}

// read returns the contents of a file, as far as they are needed to see that it is too long.
func read(path string) ([]byte, error) {
	if path == "" {
		return nil, errors.New("wasm: no module is named (allowed: wasm:PATH, wasm:PATH,OPTIONS or wasm:@SAMPLE,OPTIONS)")
	}
	if name, ok := strings.CutPrefix(path, "@"); ok {
		file, err := samples.ReadFile("samples/" + name + ".wasm")
		if err != nil {
			return nil, fmt.Errorf("wasm: no sample is called %q (have length16, stamp, veil; a file: ./@..)", name)
		}
		return file, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("wasm: cannot read the module: %w", err)
	}
	defer f.Close()
	file, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("wasm: cannot read the module: %w", err)
	}
	return file, nil
}

// A Plugin is a module with its options that has been checked. It does not change and may be used by several goroutines
// at once.
type Plugin struct {
	name    string
	options string
	program *program
	shapes  [2][2]shape // by the role of the sender and the direction
}

// New returns the plugin that a module is with these options. name is what messages call it, such as the path of its
// file. Nothing of file is retained. Modules that are in use already are neither compiled nor checked again.
//
// An error is a [*Fault] if the module breaks a rule of plugins, or of codecs. Otherwise the module refuses the
// options.
func New(name string, file []byte, options string) (*Plugin, error) {
	key := pluginKey{sha256.Sum256(file), name, options}
	if p := plugins.get(key); p != nil {
		return p, nil
	}
	program := programs.get(key.file)
	if program == nil {
		var err error
		if program, err = compile(file, wazero.NewRuntimeConfig()); err != nil {
			return nil, named(err, name, options)
		}
		programs.put(key.file, program)
	}
	p, err := newPlugin(name, options, program)
	if err != nil {
		return nil, err
	}
	plugins.put(key, p)
	return p, nil
}

// newPlugin starts an instance for each role and direction and checks the rules of codecs.
func newPlugin(name, options string, program *program) (*Plugin, error) {
	if len(options) > maxOptions {
		return nil, fmt.Errorf("wasm: the options of %s are too long (allowed: up to %d bytes)", name, maxOptions)
	}
	if options != "" && !program.options {
		return nil, fmt.Errorf("wasm: %s takes no options", name)
	}
	p := &Plugin{name: name, options: options, program: program}
	if err := p.describeAll(); err != nil {
		return nil, p.named(err)
	}
	if err := p.admit(); err != nil {
		return nil, err
	}
	return p, nil
}

// describeAll finds the shapes.
func (p *Plugin) describeAll() (err error) {
	for sender := range p.shapes {
		s := &p.shapes[sender]
		for d := range s {
			if s[d], err = p.describe(frame.Role(sender), direction(d)); err != nil {
				return err
			}
		}
		if s[encoding].Limits != s[decoding].Limits {
			return breaks(ruleLimits, "a %v encodes with %+v, its peer decodes with %+v", frame.Role(sender),
				s[encoding].Limits, s[decoding].Limits)
		}
	}
	return nil
}

// named returns err as people are to see it: with the name of the plugin.
func (p *Plugin) named(err error) error { return named(err, p.name, p.options) }

func named(err error, name, options string) error {
	var b *broken
	if errors.As(err, &b) {
		r := rules[b.rule]
		return &Fault{File: name, Rule: r.name, Contract: r.contract, Err: b.err}
	}
	return fmt.Errorf("wasm: %s refuses the options %q: %.200q", name, options, err.Error())
}

// Name returns the name that New was given.
func (p *Plugin) Name() string { return p.name }

// Maker returns the Maker of the codec that the plugin is. If it can tell frames apart, that is a [frame.StreamCodec].
func (p *Plugin) Maker() frame.Maker { return p.maker(nil) }

func (p *Plugin) maker(a *audit) frame.Maker {
	return frame.Codecs(func(role frame.Role) (send, recv frame.Codec, err error) {
		return p.codec(role, a), p.codec(role.Peer(), a), nil
	})
}

// codec returns a new codec of the frames that sender writes.
func (p *Plugin) codec(sender frame.Role, a *audit) frame.Codec {
	c := codec{plugin: p, sender: sender, audit: a}
	if p.program.stream {
		return &streamCodec{c}
	}
	return &c
}
