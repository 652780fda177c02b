package wasm

import "strings"

// The methods below read one section each.

func (m *module) readImports(r *reader) error {
	if r.count() == 0 {
		return nil
	}
	from, name := clip(r.vector()), clip(r.vector())
	if r.err != nil {
		return nil
	}
	return breaks(ruleImports, "it imports %q of %q", name, from)
}

func (m *module) readTypes(r *reader) error {
	for range r.count() {
		if r.byte() != 0x60 {
			r.failf("a type is not that of a function")
		}
		m.types = append(m.types, signature{string(r.vector()), string(r.vector())})
	}
	return nil
}

func (m *module) readFunctions(r *reader) error {
	for range r.count() {
		typ := r.u32()
		if uint64(typ) >= uint64(len(m.types)) {
			r.failf("a function has type %d of %d", typ, len(m.types))
			typ = 0
		}
		m.functions = append(m.functions, int(typ))
	}
	return nil
}

func (m *module) readTables(r *reader) error {
	if n := r.count(); n > 1 {
		return breaks(ruleTable, "it has %d tables", n)
	} else if n == 0 {
		return nil
	}
	if typ := r.byte(); typ != 0x70 && r.err == nil {
		return breaks(ruleTable, "its table is not one of functions")
	}
	least, _ := r.limits()
	if least > maxElements {
		return breaks(ruleTable, "its table has %d elements", least)
	}
	return nil
}

func (m *module) readMemory(r *reader) error {
	n := 0
	if r.more() {
		n = r.count()
	}
	if n != 1 {
		return breaks(ruleMemory, "it has %d memories", n)
	}
	var most uint32
	m.pages, most = r.limits()
	if m.pages > maxPages {
		return breaks(ruleMemory, "its memory has %d pages at the start", m.pages)
	}
	if m.pages > most {
		r.failf("its memory is larger at the start than it may become")
	}
	return nil
}

// limits reads those of a table or a memory that one thread uses and 32 bits address.
func (r *reader) limits() (least, most uint32) {
	flags := r.byte()
	least, most = r.u32(), ^uint32(0)
	switch flags {
	case 0:
	case 1:
		most = r.u32()
	default:
		r.failf("the limits of a table or of memory are of kind %d", flags)
	}
	return least, most
}

func (m *module) readGlobals(r *reader) error {
	for range r.count() {
		g := global{valueType: r.byte()}
		switch r.byte() {
		case 0:
		case 1:
			g.mutable = true
		default:
			r.failf("a global is neither mutable nor constant")
		}
		m.globals = append(m.globals, g)
		r.constant()
	}
	return nil
}

// constant skips an expression.
func (r *reader) constant() {
	p := r.rest
	for r.err == nil && r.instruction(p).op != opEnd {
	}
}

func (m *module) readExports(r *reader) error {
	for range r.count() {
		name := string(r.vector())
		m.exports[name] = export{r.byte(), r.u32()}
		if strings.HasPrefix(name, reserved) {
			return breaks(ruleExports, "it exports %q, a name that begins as those of the host do", clip([]byte(name)))
		}
	}
	return nil
}

func (m *module) readStart(r *reader) error {
	m.start = r.rest
	if f := r.u32(); uint64(f) >= uint64(len(m.functions)) || m.types[m.functions[f]] != (signature{}) {
		r.failf("the start function is none without parameters and results")
	}
	return nil
}

// readElements takes only what fills the table at the start with functions that are named by their index.
func (m *module) readElements(r *reader) error {
	for range r.count() {
		if kind := r.u32(); kind != 0 && r.err == nil {
			return breaks(ruleTable, "it has elements of kind %d", kind)
		}
		r.constant()
		for range r.count() {
			r.u32()
		}
	}
	return nil
}

func (m *module) readDataCount(r *reader) error {
	r.u32()
	return nil
}

func (m *module) readData(r *reader) error {
	for range r.count() {
		switch kind := r.u32(); kind {
		case 0:
			r.constant()
		case 1: // for memory.init
		default:
			r.failf("data of kind %d", kind)
		}
		r.vector()
	}
	return nil
}

func (m *module) readCode(r *reader) error {
	if len(r.rest) > maxCode {
		return breaks(ruleSize, "its functions have %d bytes", len(r.rest))
	}
	n := r.count()
	if n != len(m.functions) {
		r.failf("%d functions have %d bodies", len(m.functions), n)
		return nil
	}
	for i := range n {
		b, err := m.readBody(r.vector(), len(m.types[m.functions[i]].params))
		if err != nil {
			return err
		}
		m.bodies = append(m.bodies, b)
		m.frames = max(m.frames, b.estimate)
	}
	return nil
}

// readBody reads the body p of a function with so many parameters.
func (m *module) readBody(p []byte, params int) (body, error) {
	if len(p) > maxBody {
		return body{}, breaks(ruleSize, "a function has %d bytes", len(p))
	}
	r := &reader{rest: p}
	locals := uint64(params)
	for range r.count() {
		locals += uint64(r.u32())
		r.byte()
	}
	if r.err != nil {
		return body{}, breaks(ruleModule, "a function: %w", r.err)
	}
	if locals > maxLocals {
		return body{}, breaks(ruleSize, "a function has %d parameters and locals", locals)
	}
	return body{
		locals:   p[:len(p)-len(r.rest)],
		scratch:  uint32(locals),
		code:     r.rest,
		estimate: leastFrame + 16*(uint32(locals)+uint32(len(r.rest))),
	}, nil
}
