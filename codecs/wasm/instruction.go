package wasm

import "fmt"

// Instructions that are more than their immediates to this package.
//
// https://www.w3.org/TR/wasm-core-2/#a7-index-of-instructions
const (
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opCall         = 0x10
	opCallIndirect = 0x11
	opDrop         = 0x1a
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opI32Load8U    = 0x2d
	opI32Const     = 0x41
	opI32Add       = 0x6a
	opI32Sub       = 0x6b
	opI32ShrS      = 0x75
	opI32ShrU      = 0x76
	opBulk         = 0xfc // and a number
	opVector       = 0xfd // and a number

	opMemoryInit = opBulk<<8 | 8
	opMemoryCopy = opBulk<<8 | 10
	opMemoryFill = opBulk<<8 | 11
)

// An instruction is one of a function: where it begins, where the next one does, and the first index that it names.
type instruction struct {
	op       int // opBulk<<8 and opVector<<8 with the number that follows them
	at, next int
	index    uint32
}

// errNotAllowed is an instruction that exists, perhaps, but that a plugin has no use for: those of tables and
// references at run time, of threads, exceptions, tail calls and further memories.
type errNotAllowed struct{ op int }

func (e errNotAllowed) Error() string { return fmt.Sprintf("the instruction %#x is not allowed", e.op) }

// instruction reads the next one of body, whose rest r has.
func (r *reader) instruction(body []byte) instruction {
	in := instruction{at: len(body) - len(r.rest)}
	in.op = int(r.byte())
	switch op := in.op; {
	case op == opBulk:
		in.op, in.index = r.bulk()
	case op == opVector:
		in.op = r.vectorInstruction()
	default:
		in.index = r.immediate(op)
	}
	in.next = len(body) - len(r.rest)
	return in
}

// immediate reads what follows op.
func (r *reader) immediate(op int) (index uint32) {
	switch {
	case op <= 0x01, op == opElse, op == opEnd, op == 0x0f, op == 0x1a, op == 0x1b, op >= 0x45 && op <= 0xc4:
	case op >= opBlock && op <= opIf:
		r.blockType()
	case op == 0x0c, op == 0x0d, op == opCall, op >= opLocalGet && op <= opGlobalSet:
		return r.u32()
	case op == 0x0e: // br_table
		for range r.count() + 1 {
			r.u32()
		}
	case op == opCallIndirect:
		index = r.u32()
		if r.u32() != 0 {
			r.fail(errNotAllowed{op})
		}
	case op == 0x1c: // select with types
		r.vector()
	case op >= 0x28 && op <= 0x3e:
		r.memoryArgument()
	case op == 0x3f, op == 0x40: // memory.size, memory.grow
		r.zero(op)
	case op == opI32Const:
		r.signed(5)
	case op == 0x42:
		r.signed(10)
	case op == 0x43:
		r.take(4)
	case op == 0x44:
		r.take(8)
	default:
		r.fail(errNotAllowed{op})
	}
	return index
}

// bulk reads an instruction that begins with opBulk.
func (r *reader) bulk() (op int, index uint32) {
	n := r.u32()
	op = opBulk<<8 | int(min(n, 0xff))
	switch {
	case n <= 7: // truncations of floating-point numbers
	case op == opMemoryInit:
		index = r.u32()
		r.zero(op)
	case n == 9: // data.drop
		index = r.u32()
	case op == opMemoryCopy:
		r.zero(op)
		r.zero(op)
	case op == opMemoryFill:
		r.zero(op)
	default:
		r.fail(errNotAllowed{op})
	}
	return op, index
}

// vectorInstruction reads an instruction that begins with opVector.
//
// https://www.w3.org/TR/wasm-core-2/#vector-instructions%E2%91%A6
func (r *reader) vectorInstruction() (op int) {
	n := r.u32()
	op = opVector<<8 | int(min(n, 0x100))
	switch {
	case n <= 11, n == 92, n == 93: // loads and stores
		r.memoryArgument()
	case n == 12, n == 13: // v128.const, i8x16.shuffle
		r.take(16)
	case n >= 21 && n <= 34: // of one lane
		r.take(1)
	case n >= 84 && n <= 91: // loads and stores of one lane
		r.memoryArgument()
		r.take(1)
	case n > 0xff:
		r.fail(errNotAllowed{op})
	}
	return op
}

// memoryArgument skips an alignment and an offset.
func (r *reader) memoryArgument() {
	r.u32()
	r.u32()
}

// zero reads the index of the only memory.
func (r *reader) zero(op int) {
	if r.byte() != 0 {
		r.fail(errNotAllowed{op})
	}
}
