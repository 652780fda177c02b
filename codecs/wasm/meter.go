package wasm

import (
	"errors"
	"fmt"
)

// A module that loops cannot be stopped from outside at a bearable price. The runtime has no way to interrupt machine
// code but to make it ask, in every turn of every loop, whether it shall end, and to start a goroutine with every call:
// that costs 750 ns and three allocations a call, and 25 ns a turn. And code that does not ask is worse than slow: the
// garbage collector waits for it, and with it the program.
//
// So the code counts for itself. Before a module is compiled, instructions are put into it that take steps from an
// allowance which the host fills up before each call. A step is about one byte of code: a function takes its length
// when it begins, a loop its length in every turn, a copy a sixteenth of its. Whatever happens between two such places
// is paid for by the one before, so the time that a call can take is bounded, and it is the same on every machine and
// in every run. When the allowance is used up, the code traps.
//
// The stack is bounded in the same way: each call takes what the function may need, and gives it back at its end.

const (
	maxSteps  = 1 << 25 // of one call: a tenth of a second at most
	maxStack  = 1 << 20 // bytes, as estimated
	loopSteps = 8       // of a turn of a loop, besides its length
	bulkShift = 4       // makes steps of bytes that are copied or filled
)

// Exports that are added. No export of a module may begin as they do.
const (
	reserved  = "encase:"
	stepsName = reserved + "steps"
	stackName = reserved + "stack"
	startName = reserved + "start" // the start function, which is called like any other
)

const (
	typeI32  = 0x7f
	noCharge = -1 // in place of the index of an edit
)

// meter returns the module with the instructions that count, and with a memory that cannot grow.
func (m *module) meter() ([]byte, error) {
	code, err := m.meteredCode()
	var forbidden errNotAllowed
	switch {
	case errors.As(err, &forbidden):
		return nil, breaks(ruleInstruction, "%w", err)
	case errors.Is(err, errDepth):
		return nil, breaks(ruleSize, "%w", err)
	case err != nil:
		return nil, breaks(ruleModule, "%w", err)
	}
	out := []byte(preamble)
	for _, id := range sectionOrder {
		p := m.sections[id]
		switch id {
		case memorySection:
			p = appendU32(appendU32([]byte{1, 1}, m.pages), m.pages)
		case globalSection:
			p = m.meteredGlobals()
		case exportSection:
			p = m.meteredExports()
		case startSection:
			p = nil
		case codeSection:
			p = code
		}
		if p != nil {
			out = append(out, byte(id))
			out = append(appendU32(out, uint32(len(p))), p...)
		}
	}
	return out, nil
}

// steps and stack are the indices of the globals that are added.
func (m *module) steps() uint32 { return uint32(len(m.globals)) }
func (m *module) stack() uint32 { return uint32(len(m.globals)) + 1 }

func (m *module) meteredGlobals() []byte {
	p := grown(m.sections[globalSection], 2)
	for _, v := range []uint32{maxSteps, maxStack} {
		p = append(p, typeI32, 1, opI32Const)
		p = append(appendI32(p, v), opEnd)
	}
	return p
}

func (m *module) meteredExports() []byte {
	n := uint32(2)
	if m.start != nil {
		n++
	}
	p := grown(m.sections[exportSection], n)
	p = appendExport(p, stepsName, globalExport, appendU32(nil, m.steps()))
	p = appendExport(p, stackName, globalExport, appendU32(nil, m.stack()))
	if m.start != nil {
		p = appendExport(p, startName, functionExport, m.start)
	}
	return p
}

func appendExport(p []byte, name string, kind byte, index []byte) []byte {
	p = append(appendU32(p, uint32(len(name))), name...)
	return append(append(p, kind), index...)
}

// grown returns the vector of a section with n more elements, which are to follow.
func grown(section []byte, n uint32) []byte {
	r := &reader{rest: section}
	if section != nil {
		n += r.u32()
	}
	return append(appendU32(nil, n), r.rest...)
}

func (m *module) meteredCode() ([]byte, error) {
	if m.bodies == nil {
		return nil, nil
	}
	p := appendU32(nil, uint32(len(m.bodies)))
	for i := range m.bodies {
		b := &m.bodies[i]
		edits, err := m.edits(b)
		if err != nil {
			return nil, fmt.Errorf("function %d: %w", i, err)
		}
		metered := apply(b.code, edits)
		locals := append(grown(b.locals, 1), 1, typeI32) // for bulk
		p = appendU32(p, uint32(len(locals)+len(metered)))
		p = append(append(p, locals...), metered...)
	}
	return p, nil
}

// An edit is code that is put in.
type edit struct {
	at   int // in front of which byte
	code []byte
}

func apply(code []byte, edits []edit) []byte {
	var p []byte
	done := 0
	for _, e := range edits {
		p = append(append(p, code[done:e.at]...), e.code...)
		done = e.at
	}
	return append(p, code[done:]...)
}

// edits returns what has to be put into a function, in order.
func (m *module) edits(b *body) ([]edit, error) {
	list := []edit{{0, m.charge(uint32(len(b.code)))}}
	blocks := []int{noCharge} // of each that is open, the edit that charges for it, or noCharge
	r := &reader{rest: b.code}
	for len(blocks) > 0 {
		in := r.instruction(b.code)
		if r.err == nil {
			r.err = m.indices(in, b)
		}
		if r.err != nil {
			return nil, r.err
		}
		if len(blocks)-1 > maxDepth {
			return nil, errDepth
		}
		switch in.op {
		case opBlock, opIf:
			blocks = append(blocks, noCharge)
		case opLoop:
			blocks = append(blocks, len(list))
			list = append(list, edit{at: in.next})
		case opEnd:
			if e := blocks[len(blocks)-1]; e != noCharge {
				list[e].code = m.charge(uint32(in.next-list[e].at) + loopSteps)
			}
			blocks = blocks[:len(blocks)-1]
		case opCall, opCallIndirect:
			estimate := m.frames
			if in.op == opCall {
				estimate = m.bodies[in.index].estimate
			}
			list = append(list, edit{in.at, m.enter(estimate)}, edit{in.next, m.leave(estimate)})
		case opMemoryCopy, opMemoryFill, opMemoryInit:
			list = append(list, edit{in.at, m.bulk(b.scratch)})
		}
	}
	if r.more() {
		return nil, errors.New("code follows its end")
	}
	return list, nil
}

var errDepth = fmt.Errorf("blocks lie in blocks, more than %d deep", maxDepth)

// indices reports an index that is one of nothing in the module, but would be one of what is added to it.
func (m *module) indices(in instruction, b *body) error {
	limit := uint64(1) << 32
	switch in.op {
	case opLocalGet, opLocalSet, opLocalTee:
		limit = uint64(b.scratch)
	case opGlobalGet, opGlobalSet:
		limit = uint64(len(m.globals))
	case opCall:
		limit = uint64(len(m.bodies))
	}
	if uint64(in.index) >= limit {
		return fmt.Errorf("the instruction %#x names %d of %d", in.op, in.index, limit)
	}
	return nil
}

// charge returns code that takes n steps.
func (m *module) charge(n uint32) []byte {
	p := appendU32([]byte{opGlobalGet}, m.steps())
	p = appendI32(append(p, opI32Const), n)
	return take(append(p, opI32Sub), m.steps())
}

// bulk returns code that takes steps for the length on top of the operands, which it leaves there.
func (m *module) bulk(scratch uint32) []byte {
	p := appendU32([]byte{opLocalTee}, scratch)
	p = appendU32(append(p, opGlobalGet), m.steps())
	p = appendU32(append(p, opLocalGet), scratch)
	return take(append(p, opI32Const, bulkShift, opI32ShrU, opI32Sub), m.steps())
}

// enter returns code that takes n bytes of stack.
func (m *module) enter(n uint32) []byte {
	p := appendU32([]byte{opGlobalGet}, m.stack())
	p = appendI32(append(p, opI32Const), n)
	return take(append(p, opI32Sub), m.stack())
}

// leave returns code that gives them back.
func (m *module) leave(n uint32) []byte {
	p := appendU32([]byte{opGlobalGet}, m.stack())
	p = appendI32(append(p, opI32Const), n)
	return appendU32(append(p, opI32Add, opGlobalSet), m.stack())
}

// take appends code that sets a global to the operand, and traps if that is negative: it then reads from the end of the
// address space, otherwise from address 0. An if would say so more plainly, and would make two blocks of code of one,
// which takes the compiler of the runtime quadratic time.
func take(p []byte, index uint32) []byte {
	p = appendU32(append(p, opGlobalSet), index)
	p = appendU32(append(p, opGlobalGet), index)
	return append(p, opI32Const, 31, opI32ShrS, opI32Load8U, 0, 0, opDrop)
}
