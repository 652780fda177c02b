package wasm_test

import "strings"

// A part is one that a broken plugin has in place of that of right.
type part = map[string]string

const spin = `(loop $l (br $l)) (unreachable)`

// broken are plugins that break one rule each, in every way that there is a check for.
var broken = []struct {
	name, rule, why string
	parts           part
}{
	{"import-wasi", "imports", `it imports "fd_write" of "wasi_snapshot_preview1"`, part{"memory": `
		(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
		(memory (export "memory") 2)`}},
	{"deep-blocks", "size", "255 deep", part{"more": `
		(func ` + strings.Repeat("(block ", 256) + strings.Repeat(")", 256) + `)`}},

	{"import-memory", "imports", `"memory" of "env"`, part{"memory": `
		(import "env" "memory" (memory 2)) (export "memory" (memory 0))`}},

	{"invalid", "module", "invalid function", part{"more": `(func (result i32) (i64.const 1))`}},
	{"global-of-host", "module", "names 1 of 1", part{"more": `(global (mut i32) (i32.const 0))
		(func (global.set 1 (i32.const 0x7fffffff)))`}},
	{"local-of-host", "module", "names 1 of 1", part{"more": `(func (param i32) (local.set 1 (i32.const 1)))`}},
	{"no-such-function", "module", "names 7 of 7", part{"more": `(func (call 7))`}},

	{"start-with-result", "module", "the start function", part{"more": `(func $s (result i32) (i32.const 1)) (start $s)`}},

	{"atomic", "instruction", "0xfe", part{"more": `(func (atomic.fence))`}},
	{"tail-call", "instruction", "0x12", part{"more": `(func $f (return_call $f))`}},
	{"reference", "instruction", "0xd0", part{"more": `(func (drop (ref.null func)))`}},
	{"table-set", "instruction", "0x25", part{"more": `(table 1 funcref)
		(func (table.set 0 (i32.const 0) (table.get 0 (i32.const 0))))`}},
	{"table-grow", "instruction", "0xfc0f", part{"more": `(table 1 funcref)
		(func (param funcref) (drop (table.grow 0 (local.get 0) (i32.const 1))))`}},
	{"try", "instruction", "0x6", part{"more": `(func (try (do)))`}},
	{"second-memory", "memory", "2 memories", part{"more": `(memory 1)`}},

	{"no-memory", "memory", "0 memories", part{"memory": ``, "encode": `
		(func (export "encase_encode") (param i32) (result i64) (i64.const 0))`, "frame_len": ``, "decode": `
		(func (export "encase_decode") (param i32) (result i64) (i64.const 0))`}},
	{"much-memory", "memory", "17 pages", part{"memory": `(memory (export "memory") 17)`}},
	{"shared-memory", "module", "kind 3", part{"memory": `(memory (export "memory") 2 2 shared)`}},
	{"memory-max", "module", "larger at the start", part{"memory": `(memory (export "memory") 2 1)`}},
	{"memory-hidden", "exports", `no memory called "memory"`, part{"memory": `(memory (export "mem") 2)`}},
	{"data-outside", "start", "out of bounds", part{"more": `(data (i32.const 131071) "ab")`}},

	{"long-table", "table", "1025 elements", part{"more": `(table 1025 funcref)`}},
	{"two-tables", "table", "2 tables", part{"more": `(table 1 funcref) (table 1 funcref)`}},
	{"extern-table", "table", "not one of functions", part{"more": `(table 1 externref)`}},
	{"passive-elements", "table", "elements of kind 1", part{"more": `(table 1 funcref) (elem func $encode)`}},

	{"no-decode", "exports", "no encase_decode", part{"decode": ``}},
	{"decode-is-memory", "exports", "encase_decode is no function", part{"decode": `(export "encase_decode" (memory 0))`}},
	{"encode-type", "exports", "encase_encode is a function of another type", part{"encode": `
		(func (export "encase_encode") (param i32) (result i32) (i32.const 0))`}},
	{"init-type", "exports", "encase_init", part{"more": `(func (export "encase_init"))`}},
	{"frame-len-type", "exports", "encase_frame_len", part{"frame_len": `
		(func $frame_len (param i32) (result i32) (i32.const 0))
		(func (export "encase_frame_len") (param i32 i32) (result i32) (i32.const 0))`}},
	{"now-mutable", "exports", "encase_now", part{"more": `(global (export "encase_now") (mut i32) (i32.const 0))`}},
	{"random-wide", "exports", "encase_random", part{"more": `(global (export "encase_random") i64 (i64.const 0))`}},
	{"name-of-host", "exports", `"encase:steps"`, part{"more": `(global (export "encase:steps") i32 (i32.const 0))`}},

	{"start-traps", "trap", "encase:start: unreachable", part{"more": `(func $s (unreachable)) (start $s)`}},
	{"start-loops", "steps", "encase:start does not end", part{"more": `(func $s ` + spin + `) (start $s)`}},
	{"initialize-loops", "steps", "_initialize does not end", part{"more": `(func (export "_initialize") ` + spin + `)`}},
	{"init-negative", "start", "encase_init returns -1", part{"more": `
		(func (export "encase_init") (param i32 i32 i32) (result i32) (i32.const -1))`}},
	{"init-verbose", "start", "encase_init returns 1025", part{"more": `
		(func (export "encase_init") (param i32 i32 i32) (result i32) (i32.const 1025))`}},

	{"abi-2", "abi", "encase_abi returns 2", part{"abi": `(func (export "encase_abi") (result i32) (i32.const 2))`}},

	{"buffer-outside", "buffer", "131072", part{"buffer": `
		(func (export "encase_buffer") (result i32) (i32.const 130049))`}},
	{"buffer-negative", "buffer", "4294967295", part{"buffer": `
		(func (export "encase_buffer") (result i32) (i32.const -1))`}},
	{"buffer-short", "buffer", "it has 65536 bytes", part{"buffer": `
		(func (export "encase_buffer") (result i32) (i32.const 65536))`}},
	{"random-outside", "buffer", "encase_random", part{"more": `
		(global (export "encase_random") i32 (i32.const 131041))`}},

	{"max-none", "limits", "encase_limits(2) is 0", part{"limits": limited(2, 0, 0)}},
	{"head-negative", "limits", "encase_limits(0) is -1", part{"limits": limited(-1, 0, 10)}},
	{"tail-huge", "limits", "encase_limits(1) is 65537", part{"limits": limited(2, 65537, 10)}},
	{"max-huge", "limits", "encase_limits(2) is 16777217", part{"limits": limited(2, 0, 1<<24+1)}},
	{"lenient-number", "limits", "encase_limits(5) is 2", part{"limits": limited(2, 0, 10, 0, 0, 2)}},
	{"window-tail", "limits", "a tail of 1", part{"limits": limited(2, 1, 10, 2)}},
	{"limits-of-direction", "limits", "its peer decodes with", part{"limits": `
		(func (export "encase_limits") (param i32) (result i32)
			(if (i32.eqz (local.get 0)) (then (return (global.get $head))))
			(if (i32.eq (local.get 0) (i32.const 2)) (then (return (i32.const 100)))) (i32.const 0))
		(global $head (mut i32) (i32.const 0))
		(func (export "encase_init") (param i32 i32 i32) (result i32)
			(global.set $head (i32.add (i32.const 2) (local.get 1))) (i32.const 0))`}},

	{"abi-loops", "steps", "encase_abi does not end", part{"abi": `
		(func (export "encase_abi") (result i32) ` + spin + `)`}},
	{"encode-loops", "steps", "encase_encode does not end", part{"encode": `
		(func $encode (export "encase_encode") (param i32) (result i64) ` + spin + `)`}},
	{"decode-loops", "steps", "encase_decode does not end", part{"decode": `
		(func $decode (export "encase_decode") (param $n i32) (result i64)
			(if (i32.eq (i32.load8_u (i32.const 16)) (i32.const 0xff)) (then ` + spin + `))` + decode + `)`}},
	{"frame-len-loops", "steps", "does not end", part{"frame_len": `
		(func $frame_len (export "encase_frame_len") (param $n i32) (result i32) (local i32)
			(block $out (loop $l (br_table $l $out $l (local.get 1)))) (i32.const 0))`}},
	{"nested-loops", "steps", "does not end", part{"encode": `
		(func $encode (export "encase_encode") (param $n i32) (result i64) (local i32 i32)
			(loop $a (local.set 1 (i32.const 0))
				(loop $b (br_if $b (i32.lt_u (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (i32.const 99999))))
				(br_if $a (i32.lt_u (local.tee 2 (i32.add (local.get 2) (i32.const 1))) (i32.const 99999))))
			(i64.const 0))`}},
	{"loop-with-parameters", "steps", "does not end", part{"encode": `
		(func $encode (export "encase_encode") (param $n i32) (result i64)
			(i64.const 1) (loop $l (param i64) (result i64) (i64.const 1) (i64.add) (br $l)))`}},
	{"fills", "steps", "does not end", part{"encode": `
		(func $encode (export "encase_encode") (param $n i32) (result i64)
			(loop $l
				` + strings.Repeat(`(memory.fill (i32.const 0) (i32.const 1) (i32.const 131072))`, 70) + `
				(br $l)) (unreachable))`}},
	{"copies", "steps", "does not end", part{"encode": `
		(func $encode (export "encase_encode") (param $n i32) (result i64)
			(loop $l
				` + strings.Repeat(`(memory.copy (i32.const 0) (i32.const 1) (i32.const 131071))`, 70) + `
				(br $l)) (unreachable))`}},
	{"divides-on", "steps", "does not end", part{"encode": `
		(func $encode (export "encase_encode") (param $n i32) (result i64) (local i64)
			(local.set 1 (i64.const -1))
			(loop $l ` + strings.Repeat(`(local.set 1 (i64.div_u (i64.const -1) (i64.or (local.get 1) (i64.const 1))))`, 200) + `
				(br $l)) (unreachable))`}},
	{"calls", "steps", "does not end", part{"more": `
		(func $a (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
		(func $b (param i32) (result i32) (call $a (call $a (call $a (call $a (local.get 0))))))
		(func $c (param i32) (result i32) (call $b (call $b (call $b (call $b (call $b (call $b (local.get 0))))))))
		` + powers("c", 9), "encode": `
		(func $encode (export "encase_encode") (param $n i32) (result i64) (i64.extend_i32_u (call $c9 (i32.const 0))))`}},
	{"slow", "steps", "together", part{"decode": `
		(func $decode (export "encase_decode") (param $n i32) (result i64) (local i32)
			(loop $l (br_if $l (i32.lt_u (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (i32.const 1000000))))` +
		decode + `)`}},

	{"recursion", "stack", "encase_encode calls too deep", part{"encode": `
		(func $encode (export "encase_encode") (param $n i32) (result i64) (call $encode (local.get $n)))`}},
	{"indirect-recursion", "stack", "encase_encode calls too deep", part{"encode": `
		(type $t (func (param i32) (result i64))) (table 1 funcref) (elem (i32.const 0) func $encode)
		(func $encode (export "encase_encode") (param $n i32) (result i64)
			(call_indirect (type $t) (local.get $n) (i32.const 0)))`}},

	{"traps", "trap", "encase_decode: unreachable", part{"decode": `
		(func $decode (export "encase_decode") (param $n i32) (result i64)
			(if (i32.lt_u (local.get $n) (i32.const 2)) (then (unreachable)))` + decode + `)`}},
	{"divides", "trap", "integer divide by zero", part{"encode": `
		(func $encode (export "encase_encode") (param $n i32) (result i64)
			(i64.div_u (i64.const 1) (i64.extend_i32_u (local.get $n))))`}},
	{"reads-outside", "trap", "out of bounds memory access", part{"frame_len": `
		(func $frame_len (export "encase_frame_len") (param $n i32) (result i32) (i32.load (i32.const 131070)))`}},
	{"grows", "trap", "out of bounds memory access", part{"encode": `
		(func $encode (export "encase_encode") (param $n i32) (result i64)
			(drop (memory.grow (i32.const 1))) (i32.store (i32.const 131072) (i32.const 1)) (i64.const 0))`}},

	{"encode-malformed", "code", "encase_encode returns -1", part{"encode": `
		(func $encode (export "encase_encode") (param $n i32) (result i64) (i64.const -1))`}},
	{"decode-too-large", "code", "encase_decode returns -2", part{"decode": `
		(func (export "encase_decode") (param $n i32) (result i64) (i64.const -2))`}},
	{"encode-code", "code", "encase_encode returns -9223372036854775808", part{"encode": `
		(func $encode (export "encase_encode") (param $n i32) (result i64) (i64.const 0x8000000000000000))`}},
	{"frame-len-code", "code", "encase_frame_len returns -2", part{"frame_len": `
		(func $frame_len (export "encase_frame_len") (param $n i32) (result i32) (i32.const -2))`}},

	{"encode-long", "range", "returns bytes 0 to 4 of 3", part{"encode": `
		(func $encode (export "encase_encode") (param $n i32) (result i64)
			(i64.add (i64.extend_i32_u (local.get $n)) (i64.const 3)))`}},
	{"encode-far", "range", "encase_encode returns bytes 2147483647", part{"encode": `
		(func $encode (export "encase_encode") (param $n i32) (result i64) (i64.const 0x7fffffffffffffff))`}},
	{"decode-long", "range", "encase_decode returns bytes", part{"decode": `
		(func $decode (export "encase_decode") (param $n i32) (result i64)
			(i64.add (i64.extend_i32_u (local.get $n)) (i64.const 0x200000000)))`}},
	{"frame-len-long", "range", "encase_frame_len returns 65538, the longest frame has 65537 bytes", part{"frame_len": `
		(func $frame_len (export "encase_frame_len") (param $n i32) (result i32)
			(if (i32.lt_u (local.get $n) (i32.const 2)) (then (return (i32.const 0))))
			(i32.add (i32.const 3)
				(i32.or (i32.shl (i32.load8_u (i32.const 16)) (i32.const 8)) (i32.load8_u (i32.const 17)))))`}},
	{"window-end", "range", "an end at", part{"limits": limited(2, 0, 65535, 2, 2), "encode": `
		(func $encode (export "encase_encode") (param $n i32) (result i64) (i64.extend_i32_u (local.get $n)))`}},
	{"window-offset", "range", "with a window from 0 to 2", part{"limits": limited(2, 0, 65535, 2, 2), "decode": `
		(func $decode (export "encase_decode") (param $n i32) (result i64)
			(if (i32.lt_u (local.get $n) (i32.const 3)) (then (return (i64.const -1))))
			(i64.add (i64.extend_i32_u (local.get $n)) (i64.const 0x2fffffffd)))`}},

	{"spoils", "codec", "RoundTrip", part{"encode": `
		(func $encode (export "encase_encode") (param $n i32) (result i64)
			(i32.store8 (i32.const 16) (i32.shr_u (local.get $n) (i32.const 8)))
			(i32.store8 (i32.const 17) (local.get $n)) (i32.store8 (i32.const 18) (i32.const 7))
			(i64.add (i64.extend_i32_u (local.get $n)) (i64.const 2)))`}},
	{"lenient-in-secret", "codec", "Canonical", part{"limits": limited(2, 0, 255, 0, 2), "frame_len": `
		(func $frame_len (export "encase_frame_len") (param $n i32) (result i32)
			(if (i32.lt_u (local.get $n) (i32.const 2)) (then (return (i32.const 0))))
			(i32.add (i32.const 2) (i32.load8_u (i32.const 17))))`}},
	{"counts-datagrams", "codec", "Lossy", part{"frame_len": ``, "decode": `
		(global $count (mut i32) (i32.const 0))
		(func $decode (export "encase_decode") (param $n i32) (result i64)
			(if (i32.lt_u (local.get $n) (i32.const 2)) (then (return (i64.const -1))))
			(global.set $count (i32.add (global.get $count) (i32.const 1)))
			(if (i32.gt_u (global.get $count) (i32.const 9)) (then (return (i64.const -1))))
			(i64.add (i64.extend_i32_u (local.get $n)) (i64.const 0x1fffffffe)))`}},
}

func limited(values ...int) string {
	return `(func (export "encase_limits") (param i32) (result i32)` + limits(values...) + `)`
}

// powers returns functions called after name, 1 to n, each of which calls the one before eight times.
func powers(name string, n int) string {
	text, before := "", name
	for i := range n {
		next := name + string(rune('1'+i))
		text += "(func $" + next + " (param i32) (result i32) " +
			strings.Repeat("(call $"+before+" ", 8) + "(local.get 0)" + strings.Repeat(")", 8) + ")\n"
		before = next
	}
	return text
}

// texts returns the text of every module that is written so, by name.
func texts() map[string]string {
	all := map[string]string{"right": wat(nil)}
	for name, parts := range unusual {
		all[name] = wat(parts)
	}
	for _, b := range broken {
		all[b.name] = wat(b.parts)
	}
	for name, parts := range sleepers {
		all[name] = wat(parts)
	}
	return all
}

// unusual are plugins that are right, and use what others do not.
var unusual = map[string]part{
	"trailer": { // a datagram, and 7e behind it
		"limits": limited(0, 1, 1400),
		"encode": `(func (export "encase_encode") (param $n i32) (result i64)
			(i32.store8 (i32.add (local.get $n) (i32.const 16)) (i32.const 0x7e))
			(i64.add (i64.extend_i32_u (local.get $n)) (i64.const 1)))`,
		"frame_len": ``,
		"decode": `(func (export "encase_decode") (param $n i32) (result i64)
			(if (i32.eqz (local.get $n)) (then (return (i64.const -1))))
			(if (i32.ne (i32.load8_u (i32.add (local.get $n) (i32.const 15))) (i32.const 0x7e))
				(then (return (i64.const -1))))
			(i64.sub (i64.extend_i32_u (local.get $n)) (i64.const 1)))`,
	},
	"peek": { // it has never more to look at than it has asked for
		"frame_len": `(func $frame_len (export "encase_frame_len") (param $n i32) (result i32)
			(if (i32.gt_u (local.get $n) (i32.const 2)) (then (unreachable)))
			(if (i32.lt_u (local.get $n) (i32.const 2)) (then (return (i32.const 0))))
			(i32.add (i32.const 2)
				(i32.or (i32.shl (i32.load8_u (i32.const 16)) (i32.const 8)) (i32.load8_u (i32.const 17)))))`,
	},
	"moved": { // the frame is made elsewhere in the buffer, and vectors and a table are used
		"limits": limited(40, 0, 1400, 0, 2),
		"encode": `(func $encode (export "encase_encode") (param $n i32) (result i64)
			(memory.copy (i32.const 18) (i32.const 56) (local.get $n))
			(i32.store8 (i32.const 16) (i32.shr_u (local.get $n) (i32.const 8)))
			(i32.store8 (i32.const 17) (local.get $n))
			(i64.add (i64.extend_i32_u (local.get $n)) (i64.const 2)))`,
		"decode": `(type $t (func (param i32) (result i32))) (table 1 funcref) (elem (i32.const 0) func $frame_len)
			(func $decode (export "encase_decode") (param $n i32) (result i64)
			(if (i32.lt_u (local.get $n) (i32.const 2)) (then (return (i64.const -1))))
			(if (i32.ne (call_indirect (type $t) (i32.const 2) (i32.const 0)) (local.get $n))
				(then (return (i64.const -1))))
			(v128.store (i32.const 4096) (i8x16.swizzle (v128.load (i32.const 4096)) (v128.const i64x2 1 2)))
			(i64.add (i64.extend_i32_u (local.get $n)) (i64.const 0x1fffffffe)))`,
		"frame_len": `(func $frame_len (export "encase_frame_len") (param $n i32) (result i32)
			(if (i32.lt_u (local.get $n) (i32.const 2)) (then (return (i32.const 0))))
			(if (i32.gt_u (i32.add (i32.const 2)
					(i32.or (i32.shl (i32.load8_u (i32.const 16)) (i32.const 8)) (i32.load8_u (i32.const 17))))
				(i32.const 1402)) (then (return (i32.const -1))))
			(i32.add (i32.const 2)
				(i32.or (i32.shl (i32.load8_u (i32.const 16)) (i32.const 8)) (i32.load8_u (i32.const 17)))))`,
	},
}

// sleepers pass every check, and break a rule when a frame with a certain byte comes.
var sleepers = func() map[string]part {
	all := map[string]part{}
	for name, does := range map[string]string{
		"sleeper-loops": spin,
		"sleeper-traps": `(unreachable)`,
		"sleeper-lies":  `(return (i64.const 0xffffffff))`,
		"sleeper-says":  `(return (i64.const -7))`,
	} {
		all[name] = part{"decode": `(func $decode (export "encase_decode") (param $n i32) (result i64)
			(if (i64.eq (i64.load (i32.const 18)) (i64.const 0x7065656c73206f67)) (then ` + does + `))` + decode + `)`}
	}
	return all
}()
