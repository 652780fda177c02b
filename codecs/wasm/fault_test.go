package wasm_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs/wasm"
	"github.com/encase-tls/encase/frame"
)

// A plugin that breaks a rule is refused for it, in bounded time, with the explanation of the rule.
func TestBroken(t *testing.T) {
	modules := modules(t)
	seen := map[string]bool{"size": true} // by TestMalformedFiles
	for _, b := range broken {
		t.Run(b.name, func(t *testing.T) {
			seen[b.rule] = true
			start := time.Now()
			_, err := wasm.New(b.name, modules[b.name], "")
			if spent := time.Since(start); spent > time.Minute {
				t.Errorf("it takes %v", spent)
			}
			checkFault(t, err, b.name, b.rule, b.why)
		})
	}
	for rule := range wasm.Rules() {
		if !seen[rule] {
			t.Errorf("no plugin breaks %s", rule)
		}
	}
}

// So it is where code is interpreted.
func TestBrokenInterpreted(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes the interpreter ten times slower, and there is nothing to race")
	}
	modules := modules(t)
	for _, b := range broken {
		switch b.rule {
		case "steps", "stack", "trap", "code", "range":
			if b.name == "slow" {
				continue // for a minute
			}
			_, err := wasm.Interpreted(b.name, modules[b.name], "")
			checkFault(t, err, b.name, b.rule, b.why)
		}
	}
}

// checkFault checks that err is a Fault, complete and fit to be shown.
func checkFault(t *testing.T, err error, file, rule, why string) {
	t.Helper()
	var f *wasm.Fault
	if !errors.As(err, &f) || errors.Is(err, frame.ErrMalformed) && rule != "codec" {
		t.Fatalf("got %v, want a *Fault that is not the peer's", err)
	}
	if f.File != file || f.Rule != rule || f.Contract == "" || f.Contract != wasm.Rules()[rule] || f.Err == nil {
		t.Errorf("the fault is %+v, want one of %s against %s", f, file, rule)
	}
	text := f.Error()
	if !strings.Contains(f.Err.Error(), why) || !strings.HasSuffix(text, "\n\tthe rule: "+f.Contract) {
		t.Errorf("the error says %q, want %q", text, why)
	}
}

// The parts of right make a right plugin: what is wrong with the broken ones is what they have of their own. So are
// those that differ, but are not wrong.
func TestRight(t *testing.T) {
	modules := modules(t)
	for _, name := range []string{"right", "moved", "peek", "trailer"} {
		p, err := wasm.New(name, modules[name], "")
		if err != nil {
			t.Error(err)
			continue
		}
		t.Run(name, func(t *testing.T) { runRules(t, p.Maker()) })
	}
}

// What is no module, or one that no text can say, is refused before the runtime sees it.
func TestMalformedFiles(t *testing.T) {
	section := func(id byte, content ...byte) []byte {
		return append([]byte{id, byte(len(content)) | 0x80, byte(len(content) >> 7)}, content...)
	}
	file := func(sections ...[]byte) []byte {
		return append([]byte("\x00asm\x01\x00\x00\x00"), bytes.Join(sections, nil)...)
	}
	types, function, memory := section(1, 1, 0x60, 0, 0), section(3, 1, 0), section(5, 1, 0, 1)
	many := []byte{0xff, 0xff, 0xff, 0xff, 0x0f}
	code := func(body ...byte) []byte {
		p := append([]byte{1, byte(len(body)&0x7f) | 0x80, byte(len(body)>>7&0x7f) | 0x80, byte(len(body) >> 14)}, body...)
		n := len(p)
		return append([]byte{10, byte(n&0x7f) | 0x80, byte(n>>7&0x7f) | 0x80, byte(n >> 14)}, p...)
	}
	for _, c := range []struct {
		name, rule, why string
		file            []byte
	}{
		{"empty", "module", "does not begin", nil},
		{"text", "module", "does not begin", []byte("(module)")},
		{"elf", "module", "does not begin", []byte("\x7fELF\x02\x01\x01\x00")},
		{"component", "module", "does not begin", []byte("\x00asm\x0d\x00\x01\x00")},
		{"long file", "size", "1048576 bytes", make([]byte, 1<<20+1)},
		{"cut section", "module", "more elements", append(file(), 1, 5, 0)},
		{"section twice", "module", "out of order", file(types, types)},
		{"sections in another order", "module", "out of order", file(function, types)},
		{"unknown section", "module", "section 77", file(section(77))},
		{"bytes behind", "module", "1 bytes are too many", file(section(1, 1, 0x60, 0, 0, 0), memory)},
		{"many imports", "module", "more elements", file(section(2, many...))},
		{"many types", "module", "more elements", file(section(1, many...))},
		{"many parameters", "module", "more elements", file(section(1, append([]byte{1, 0x60}, many...)...))},
		{"many functions", "module", "more elements", file(types, section(3, many...))},
		{"many globals", "module", "more elements", file(types, memory, section(6, many...))},
		{"many exports", "module", "more elements", file(types, memory, section(7, many...))},
		{"long name", "module", "more elements", file(types, memory, section(7, append([]byte{1}, many...)...))},
		{"many elements", "module", "more elements", file(types, memory,
			section(9, append([]byte{1, 0, 0x41, 0, 0x0b}, many...)...))},
		{"much data", "module", "more elements", file(types, memory, section(11, append([]byte{1, 1}, many...)...))},
		{"no bodies", "module", "1 functions have 0 bodies", file(types, function, memory, section(10, 0))},
		{"no type", "module", "type 7 of 1", file(types, section(3, 1, 7), memory)},
		{"number too long", "module", "longer than its type", file(section(1, 0x80, 0x80, 0x80, 0x80, 0x80, 0))},
		{"many locals", "size", "4294967295 parameters and locals", file(types, function, memory,
			code(append(append([]byte{1}, many...), 0x7f, 0x0b)...))},
		{"more locals than a number holds", "size", "8589934590", file(types, function, memory,
			code(append(append(append(append([]byte{2}, many...), 0x7f), many...), 0x7f, 0x0b)...))},
		{"long function", "size", "a function has 32770 bytes", file(types, function, memory,
			code(append(bytes.Repeat([]byte{1}, 32769), 0x0b)...))},
		{"much code", "size", "its functions have 3", file(types, function, memory,
			code(append(bytes.Repeat([]byte{1}, 300000), 0x0b)...))},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := wasm.New(c.name, c.file, "")
			checkFault(t, err, c.name, c.rule, c.why)
		})
	}
	// These are found when the code is read, behind the exports.
	base := modules(t)["right"]
	for _, c := range []struct {
		name, why string
		old, new  []byte
	}{
		{"code that does not end", "cut short", []byte{0x41, 1, 0x0b}, []byte{0x41, 1, 0x41}},
		{"code behind the end", "follows its end", []byte{0x41, 16, 0x0b}, []byte{0x0b, 0, 0x0b}},
		{"type of a block in two ways", "the type of a block", []byte{4, 0x40, 0x41, 0}, []byte{4, 0xc0, 0x7f, 1}},
		{"long immediate", "cut short", []byte{0x41, 1, 0x0b}, []byte{0x41, 0x81, 0x8b}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := wasm.New(c.name, bytes.Replace(base, c.old, c.new, 1), "")
			checkFault(t, err, c.name, "module", c.why)
		})
	}
}

// A fault that shows later ends the connection in which it does, at once and for good, and no other.
func TestFaultAtWork(t *testing.T) {
	modules := modules(t)
	for name, rule := range map[string]string{
		"sleeper-loops": "steps", "sleeper-traps": "trap", "sleeper-lies": "range", "sleeper-says": "code",
	} {
		t.Run(name, func(t *testing.T) {
			p, err := wasm.New(name, modules[name], "")
			if err != nil {
				t.Fatal(err)
			}
			one, other := machine(t, p, frame.Client), machine(t, p, frame.Client)
			good, bad := []byte("\x00\x05hello"), []byte("\x00\x08go sleep")
			for _, m := range []frame.Machine{one, other} {
				if got, err := recv(m, good); err != nil || string(got) != "hello" {
					t.Fatalf("%q, %v", got, err)
				}
			}
			start := time.Now()
			_, err = recv(one, bad)
			t.Logf("%v: %v", time.Since(start), err)
			checkFault(t, err, name, rule, "")
			if _, again := recv(one, good); again != err {
				t.Errorf("afterwards the same connection says %v", again)
			}
			if _, again := one.(frame.Delimiter).FrameLen(good); again != err {
				t.Errorf("afterwards FrameLen says %v", again)
			}
			if got, err := recv(other, good); err != nil || string(got) != "hello" {
				t.Errorf("the other connection: %q, %v", got, err)
			}
		})
	}
}

func machine(t testing.TB, p *wasm.Plugin, role frame.Role) frame.Machine {
	t.Helper()
	m, err := p.Maker()(role)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// recv returns the payload of a frame.
func recv(m frame.Machine, f []byte) ([]byte, error) {
	ev, err := m.Recv(nil, frame.NewBuf(0, f, 0))
	if err != nil || len(ev) == 0 {
		return nil, err
	}
	return ev[0].Buf.Bytes(), nil
}

// What a plugin says to options that it refuses is the operator's to read; it is no fault of the plugin.
func TestOptions(t *testing.T) {
	var f *wasm.Fault
	for arg, want := range map[string]string{
		"@veil":                              `wasm: @veil refuses the options "": "allowed: key=HEX, 1 to 8 bytes`,
		"@veil,key=0":                        `refuses the options "key=0"`,
		"@veil,key=0x":                       `refuses the options "key=0x"`,
		"@veil,key=001122334455667788":       `refuses`,
		"@length16,max=3":                    `wasm: @length16 takes no options`,
		"@veil," + strings.Repeat("k", 2000): `too long`,
		"@none":                              `no sample is called "none" (have length16, stamp, veil;`,
		"":                                   `no module is named`,
		"/no/such/file.wasm":                 `cannot read the module`,
	} {
		_, err := wasm.Parse(arg)
		if err == nil || !strings.Contains(err.Error(), want) || errors.As(err, &f) {
			t.Errorf("Parse(%.40q): %v, want an error with %q", arg, err, want)
		}
	}
	if _, err := wasm.Parse("@veil,key=0123456789abcdef"); err != nil {
		t.Error(err)
	}
}
