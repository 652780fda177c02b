package wasm

import (
	"context"
	"runtime"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// What a module exports for the host.
const (
	memoryName     = "memory"
	abiName        = "encase_abi"
	bufferName     = "encase_buffer"
	initName       = "encase_init"
	limitsName     = "encase_limits"
	encodeName     = "encase_encode"
	decodeName     = "encase_decode"
	frameLenName   = "encase_frame_len"
	nowName        = "encase_now"
	randomName     = "encase_random"
	initializeName = "_initialize"
)

// interfaces are the functions with their types, and whether they may be missing.
var interfaces = []struct {
	name     string
	typ      signature
	optional bool
}{
	{abiName, signature{"", "\x7f"}, false},
	{bufferName, signature{"", "\x7f"}, false},
	{limitsName, signature{"\x7f", "\x7f"}, false},
	{encodeName, signature{"\x7f", "\x7e"}, false},
	{decodeName, signature{"\x7f", "\x7e"}, false},
	{frameLenName, signature{"\x7f", "\x7f"}, true},
	{initName, signature{"\x7f\x7f\x7f", "\x7f"}, true},
	{initializeName, signature{"", ""}, true},
}

// checkExports reports what the module does not export as the host needs it.
func (m *module) checkExports() error {
	if e, ok := m.exports[memoryName]; !ok || e.kind != memoryExport {
		return breaks(ruleExports, "it exports no memory called %q", memoryName)
	}
	for _, f := range interfaces {
		e, ok := m.exports[f.name]
		switch {
		case !ok && f.optional:
		case !ok:
			return breaks(ruleExports, "it exports no %s", f.name)
		case e.kind != functionExport || uint64(e.index) >= uint64(len(m.functions)):
			return breaks(ruleExports, "%s is no function", f.name)
		case m.types[m.functions[e.index]] != f.typ:
			return breaks(ruleExports, "%s is a function of another type", f.name)
		}
	}
	for _, name := range []string{nowName, randomName} {
		e, ok := m.exports[name]
		if !ok {
			continue
		}
		if e.kind != globalExport || uint64(e.index) >= uint64(len(m.globals)) ||
			m.globals[e.index] != (global{valueType: typeI32}) {
			return breaks(ruleExports, "%s is no constant of type i32, which is the address of what it is called after", name)
		}
	}
	return nil
}

// A program is a module that has been compiled. All its instances share it, those of plugins with other options, too.
type program struct {
	runtime wazero.Runtime
	code    wazero.CompiledModule
	stream  bool // it tells frames apart
	options bool // it takes options
}

// compile makes a program of a file. Nothing of it runs yet.
func compile(file []byte, config wazero.RuntimeConfig) (*program, error) {
	m, err := parse(file)
	if err == nil {
		err = m.checkExports()
	}
	if err != nil {
		return nil, err
	}
	metered, err := m.meter()
	if err != nil {
		return nil, err
	}
	config = config.WithCoreFeatures(api.CoreFeaturesV2).WithMemoryLimitPages(maxPages).
		WithMemoryCapacityFromMax(true).WithDebugInfoEnabled(false)
	p := &program{runtime: wazero.NewRuntimeWithConfig(context.Background(), config)}
	code, err := p.runtime.CompileModule(context.Background(), metered)
	if err != nil {
		p.runtime.Close(context.Background())
		return nil, breaks(ruleModule, "%w", err)
	}
	p.code = code
	_, p.stream = m.exports[frameLenName]
	_, p.options = m.exports[initName]
	runtime.AddCleanup(p, func(r wazero.Runtime) { r.Close(context.Background()) }, p.runtime)
	return p, nil
}
