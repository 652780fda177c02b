package wasm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// A module is what a file says, as far as it has to be known: the rest is looked at by the runtime.
type module struct {
	sections  [sections][]byte // as they are in the file; nil: not there
	types     []signature
	functions []int // of each, the index of its type
	globals   []global
	exports   map[string]export
	bodies    []body
	pages     uint32 // of memory at the start
	frames    uint32 // estimate of the longest frame that a function needs on the stack, in bytes
}

// A signature is the parameters and the results of a function, one byte each.
type signature struct{ params, results string }

type global struct {
	valueType byte
	mutable   bool
}

type export struct {
	kind  byte
	index uint32
}

// Kinds of exports.
const (
	functionExport = iota
	tableExport
	memoryExport
	globalExport
)

// A body is the code of a function.
type body struct {
	locals   []byte // their declaration, its count included
	scratch  uint32 // the index of one more local than there are
	code     []byte // ends with opEnd
	estimate uint32 // what it needs on the stack, in bytes, roughly
}

// The sections of a module.
//
// https://www.w3.org/TR/wasm-core-2/#sections%E2%91%A0
const (
	customSection = iota
	typeSection
	importSection
	functionSection
	tableSection
	memorySection
	globalSection
	exportSection
	startSection
	elementSection
	codeSection
	dataSection
	dataCountSection
	sections
)

// sectionOrder is theirs in a file.
var sectionOrder = [...]int{typeSection, importSection, functionSection, tableSection, memorySection, globalSection,
	exportSection, startSection, elementSection, dataCountSection, codeSection, dataSection}

// Limits of a module. They bound what loading it can cost, and what one connection does.
const (
	maxFile     = 1 << 20 // bytes
	maxPages    = 16      // of 64 KiB
	maxElements = 1 << 10 // of the table
	maxLocals   = 1 << 10 // of one function, parameters included
	maxBody     = 64 << 10
)

const preamble = "\x00asm\x01\x00\x00\x00"

// parse takes a module apart. It returns the rule that the module breaks, and how.
func parse(file []byte) (*module, error) {
	if len(file) > maxFile {
		return nil, breaks(ruleSize, "it has more than %d bytes", maxFile)
	}
	rest, ok := bytes.CutPrefix(file, []byte(preamble))
	if !ok {
		return nil, breaks(ruleModule, "it does not begin as a module of WebAssembly does")
	}
	m := &module{exports: map[string]export{}}
	if err := m.cut(rest); err != nil {
		return nil, breaks(ruleModule, "%w", err)
	}
	for _, part := range []struct {
		section int
		read    func(*reader) error
	}{
		{importSection, m.readImports}, {typeSection, m.readTypes}, {functionSection, m.readFunctions},
		{tableSection, m.readTables}, {memorySection, m.readMemory}, {globalSection, m.readGlobals},
		{exportSection, m.readExports}, {startSection, m.readStart}, {elementSection, m.readElements},
		{dataCountSection, m.readDataCount}, {codeSection, m.readCode}, {dataSection, m.readData},
	} {
		r := &reader{rest: m.sections[part.section]}
		if m.sections[part.section] == nil && part.section != memorySection {
			continue
		}
		if b := part.read(r); b != nil {
			return nil, b
		}
		if r.err == nil && r.more() {
			r.failf("%d bytes are too many", len(r.rest))
		}
		if r.err != nil {
			return nil, breaks(ruleModule, "section %d: %w", part.section, r.err)
		}
	}
	return m, nil
}

// cut finds the sections. Custom ones are left out.
func (m *module) cut(file []byte) error {
	r := &reader{rest: file}
	next := 0
	for r.more() {
		id := int(r.byte())
		p := r.vector()
		if r.err != nil || id == customSection {
			continue
		}
		for next < len(sectionOrder) && sectionOrder[next] != id {
			next++
		}
		if next == len(sectionOrder) {
			return fmt.Errorf("section %d is unknown or out of order", id)
		}
		next++
		m.sections[id] = p
	}
	return r.err
}

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
	r.u32()
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
		estimate: 64 + 16*(uint32(locals)+uint32(len(r.rest))),
	}, nil
}

// clip shortens a name that is shown to people.
func clip(name []byte) []byte { return name[:min(len(name), 64)] }

// appendU32 appends v as a module has it.
func appendU32(p []byte, v uint32) []byte { return binary.AppendUvarint(p, uint64(v)) }

// appendI32 appends v, which is not negative, as a signed number.
func appendI32(p []byte, v uint32) []byte {
	for v >= 0x40 {
		p = append(p, byte(v)|0x80)
		v >>= 7
	}
	return append(p, byte(v))
}
