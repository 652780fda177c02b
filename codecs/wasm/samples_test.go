package wasm_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/codecs/check"
	"github.com/encase-tls/encase/codecs/codectest"
	_ "github.com/encase-tls/encase/codecs/length"
	"github.com/encase-tls/encase/codecs/wasm"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap/needtest"
)

// samples are specs of all samples.
var samples = []string{"@length16", "@stamp", "@veil,key=00112233445566"}

func parse(tb testing.TB, arg string) frame.Maker { return codectest.Maker(tb, wasm.Parse, arg) }

// interpreted is parse for machines that the runtime has no compiler for.
func interpreted(t testing.TB, arg string) frame.Maker {
	t.Helper()
	path, options, _ := strings.Cut(arg, ",")
	file, err := wasm.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := wasm.Interpreted(path, file, options)
	if err != nil {
		t.Fatal(err)
	}
	return p.Maker()
}

// Every rule, those of allocations included.
func TestRules(t *testing.T) {
	for _, arg := range samples {
		t.Run(arg, func(t *testing.T) { runRules(t, parse(t, arg)) })
	}
}

// runRules is codectest.Run where the runtime has a compiler. Elsewhere it allocates with each call.
func runRules(t *testing.T, mk frame.Maker) {
	if runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64" {
		codectest.Run(t, mk)
		return
	}
	for _, rule := range check.Rules() {
		if rule.Name == "NoAlloc" || rule.Name == "RejectNoAlloc" {
			continue
		}
		if err := rule.Check(mk); err != nil && !errors.Is(err, check.ErrNotApplicable) {
			t.Error(err)
		}
	}
}

func TestVectors(t *testing.T) {
	files := codectest.SpecFiles(t, "wasm")
	t.Run("compiled", func(t *testing.T) { codectest.Vectors(t, files, codecs.Parse) })
	t.Run("interpreted", func(t *testing.T) {
		made := map[string]frame.Maker{}
		codectest.Vectors(t, files, func(spec string) (frame.Maker, error) {
			if made[spec] == nil {
				made[spec] = interpreted(t, strings.TrimPrefix(spec, "wasm:"))
			}
			return made[spec], nil
		})
	})
}

// The sample length16 and the text right pass the vectors of length:16be.
func TestLengthVectors(t *testing.T) {
	right, err := wasm.New("right", modules(t)["right"], "")
	if err != nil {
		t.Fatal(err)
	}
	files := codectest.SpecFiles(t, "length")
	for name, mk := range map[string]frame.Maker{"length16": parse(t, "@length16"), "right": right.Maker()} {
		t.Run(name, func(t *testing.T) {
			ran := 0
			codectest.Vectors(t, files, func(spec string) (frame.Maker, error) {
				if spec != "length:16be" {
					return codecs.Parse(spec)
				}
				ran++
				return mk, nil
			})
			if ran < 15 {
				t.Errorf("only %d vectors are of length:16be", ran)
			}
		})
	}
}

// A reader of stamp finds the mark, the time and a mask that is another one in each frame.
func TestStamp(t *testing.T) {
	m, err := parse(t, "@stamp")(frame.Client)
	if err != nil {
		t.Fatal(err)
	}
	send, _, _ := frame.CodecsOf(m)
	var masks [2]string
	for i := range masks {
		b := frame.NewBuf(send.Limits().Head, []byte("hello"), 0)
		from := time.Now().Unix()
		if err := send.Encode(b); err != nil {
			t.Fatal(err)
		}
		f := b.Bytes()
		at := int64(f[2])<<24 | int64(f[3])<<16 | int64(f[4])<<8 | int64(f[5])
		if f[0] != 0xd7 || f[1] != 0x57 || at < from || at > time.Now().Unix() || len(f) != 15 {
			t.Errorf("the frame is %x, sent at %d", f, from)
		}
		for j := range 5 {
			f[10+j] ^= f[6+j%4]
		}
		if string(f[10:]) != "hello" {
			t.Errorf("unmasked, the payload is %q", f[10:])
		}
		masks[i] = string(f[6:10])
	}
	if masks[0] == masks[1] {
		t.Errorf("the mask is %x twice", masks[0])
	}
}

// The samples are what the compilers make of their sources. Other versions make other bytes: then only that they build.
func TestSamplesAreTheirSources(t *testing.T) {
	clang := needtest.Program(t, "clang", "clang")
	needtest.Program(t, "wasm-ld", "lld")
	rustc := debianRust(t)
	dir := t.TempDir()
	cmd := exec.Command("samples/build.sh", dir)
	cmd.Env = append(os.Environ(), "CLANG="+clang, "RUSTC="+rustc)
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, msg)
	}
	same := strings.Contains(version(t, clang), "clang version 14.0.6") &&
		strings.Contains(version(t, rustc), "rustc 1.63.0")
	for _, name := range []string{"length16", "stamp", "veil"} {
		built, err := os.ReadFile(filepath.Join(dir, name+".wasm"))
		if err != nil {
			t.Fatal(err)
		}
		have, err := wasm.Read("@" + name)
		if err != nil {
			t.Fatal(err)
		}
		if same && !bytes.Equal(built, have) {
			t.Errorf("%s.wasm is not what its source makes: run samples/build.sh", name)
		}
		options := ""
		if name == "veil" {
			options = "key=00"
		}
		if _, err := wasm.New(name, built, options); err != nil {
			t.Error(err)
		}
	}
}

// debianRust returns the compiler of the distribution, which has the library for wasm32 as a package; one that stands
// in front of it in the path may not.
func debianRust(t *testing.T) string {
	if _, err := os.Stat("/usr/lib/rustlib/wasm32-unknown-unknown"); err == nil {
		return "/usr/bin/rustc"
	}
	needtest.Skip(t, "the library of Rust for wasm32 is not installed: apt-get install rustc libstd-rust-dev-wasm32")
	return ""
}

func version(t *testing.T, program string) string {
	out, err := exec.Command(program, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// A datagram that is longer than any frame is refused before the plugin is to see it.
func TestLongerThanAnyFrame(t *testing.T) {
	for _, arg := range samples {
		_, recv := ends(t, parse(t, arg))
		p := make([]byte, recv.Limits().MaxFrame()+1)
		if err := recv.Decode(frame.NewBuf(0, p, 0)); !errors.Is(err, frame.ErrMalformed) {
			t.Errorf("%s: %d bytes: %v", arg, len(p), err)
		}
	}
}

// The codecs of one plugin do not share what they know: two instances of veil are at their first mask.
func TestInstancesAreIndependent(t *testing.T) {
	mk := parse(t, "@veil,key=00")
	var frames []string
	for range 2 {
		m, err := mk(frame.Client)
		if err != nil {
			t.Fatal(err)
		}
		send, _, _ := frame.CodecsOf(m)
		b := frame.NewBuf(send.Limits().Head, []byte("hello"), 0)
		if err := send.Encode(b); err != nil {
			t.Fatal(err)
		}
		frames = append(frames, hex.EncodeToString(b.Bytes()))
	}
	if frames[0] != frames[1] {
		t.Errorf("the first frames are %q", frames)
	}
}
