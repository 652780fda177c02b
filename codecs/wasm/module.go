package wasm

import (
	"bytes"
	"encoding/binary"
	"fmt"
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
	start     []byte // index of the start function, as in the file; nil: there is none
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
	maxFile     = 1 << 20   // bytes
	maxCode     = 256 << 10 // of all functions
	maxBody     = 32 << 10  // of one: compiling takes quadratic time in it
	maxLocals   = 1 << 10   // of one function, parameters included
	maxDepth    = 255       // of blocks within blocks
	maxPages    = 16        // of 64 KiB
	maxElements = 1 << 10   // of the table

	leastFrame = 1 << 10 // bytes that a call takes of the stack at least: calls are never deeper than 1024
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
