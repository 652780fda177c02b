package wasm_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/encase-tls/encase/wrap/needtest"
)

var update = flag.Bool("update", false, "write testdata/modules.txt anew; wat2wasm has to be installed")

const modulesFile = "testdata/modules.txt"

// right is a plugin that does what length:16be does, without a window, in parts that can be replaced one by one.
var right = map[string]string{
	"memory": `(memory (export "memory") 2)`,
	"abi":    `(func (export "encase_abi") (result i32) (i32.const 1))`,
	"buffer": `(func (export "encase_buffer") (result i32) (i32.const 16))`,
	"limits": `(func (export "encase_limits") (param i32) (result i32)` + limits(2, 0, 65535, 0, 2, 0) + `)`,
	"encode": `(func $encode (export "encase_encode") (param $n i32) (result i64)
		(i32.store8 (i32.const 16) (i32.shr_u (local.get $n) (i32.const 8)))
		(i32.store8 (i32.const 17) (local.get $n))
		(i64.add (i64.extend_i32_u (local.get $n)) (i64.const 2)))`,
	"frame_len": `(func $frame_len (export "encase_frame_len") (param $n i32) (result i32)
		(if (i32.lt_u (local.get $n) (i32.const 2)) (then (return (i32.const 0))))
		(i32.add (i32.const 2) (i32.or (i32.shl (i32.load8_u (i32.const 16)) (i32.const 8)) (i32.load8_u (i32.const 17)))))`,
	"decode": `(func $decode (export "encase_decode") (param $n i32) (result i64)` + decode + `)`,
	"more":   ``,
}

const decode = `
		(if (i32.lt_u (local.get $n) (i32.const 2)) (then (return (i64.const -1))))
		(if (i32.ne (call $frame_len (i32.const 2)) (local.get $n)) (then (return (i64.const -1))))
		(i64.add (i64.extend_i32_u (local.get $n)) (i64.const 0x1fffffffe))`

// limits returns the body of a function that returns one of them, or 0.
func limits(values ...int) string {
	var b strings.Builder
	for i, v := range values {
		fmt.Fprintf(&b, "\n\t\t(if (i32.eq (local.get 0) (i32.const %d)) (then (return (i32.const %d))))", i, v)
	}
	return b.String() + " (i32.const 0)"
}

// wat returns the text of right with other parts.
func wat(parts map[string]string) string {
	text := "(module"
	for _, name := range []string{"memory", "abi", "buffer", "limits", "encode", "frame_len", "decode", "more"} {
		part, ok := parts[name]
		if !ok {
			part = right[name]
		}
		text += "\n\t" + part
	}
	return text + ")\n"
}

// modules returns every module of the tests that is written as text, by name.
func modules(t testing.TB) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile(modulesFile)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for line := range strings.Lines(string(text)) {
		name, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
		if all[name], err = hex.DecodeString(digits); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// The modules are those that wat2wasm makes of their text.
func TestModulesAreTheirText(t *testing.T) {
	needtest.Program(t, "wat2wasm", "wabt")
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(texts())) {
		fmt.Fprintf(&b, "%s %x\n", name, assemble(t, texts()[name]))
	}
	if *update {
		if err := os.WriteFile(modulesFile, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(modulesFile)
	if err != nil || !bytes.Equal(have, b.Bytes()) {
		t.Errorf("%s is not what wat2wasm makes of the texts: go test -run %s -update (%v)", modulesFile, t.Name(), err)
	}
}

func assemble(t *testing.T, text string) []byte {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "m.wat"), filepath.Join(dir, "m.wasm")
	if err := os.WriteFile(in, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("wat2wasm", "--no-check", "--enable-threads", "--enable-tail-call", "--enable-exceptions",
		"--enable-multi-memory", in, "-o", out)
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n%s", err, msg, text)
	}
	p, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
