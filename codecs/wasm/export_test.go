package wasm

import "github.com/tetratelabs/wazero"

// Interpreted returns the plugin that New would, on machines that the runtime has no compiler for.
func Interpreted(name string, file []byte, options string) (*Plugin, error) {
	p, err := compile(file, wazero.NewRuntimeConfigInterpreter())
	if err != nil {
		return nil, named(err, name, options)
	}
	return newPlugin(name, options, p)
}

// Unchecked returns the plugin that New would, before the rules of codecs are checked.
func Unchecked(name string, file []byte, options string) (*Plugin, error) {
	program, err := compile(file, wazero.NewRuntimeConfig())
	if err != nil {
		return nil, named(err, name, options)
	}
	p := &Plugin{name: name, options: options, program: program}
	if err := p.describeAll(); err != nil {
		return nil, p.named(err)
	}
	return p, nil
}

// Rules returns the contracts by the names of the rules.
func Rules() map[string]string {
	all := map[string]string{}
	for _, r := range rules {
		all[r.name] = r.contract
	}
	return all
}

// SameProgram reports whether two plugins have been compiled together.
func SameProgram(a, b *Plugin) bool { return a.program == b.program }

// Read returns the contents of a file or of a sample.
var Read = read
