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

// Rules returns the contracts by the names of the rules.
func Rules() map[string]string {
	all := map[string]string{}
	for _, r := range rules {
		all[r.name] = r.contract
	}
	return all
}

// Metered returns the module as it is compiled.
func Metered(file []byte) ([]byte, error) {
	m, err := parse(file)
	if err != nil {
		return nil, err
	}
	return m.meter()
}

// Read returns the contents of a file or of a sample.
var Read = read
