package codec

import (
	"bytes"
	"go/format"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/encase-tls/encase/codecs/desc"
	_ "github.com/encase-tls/encase/codecs/wasm"
	"github.com/encase-tls/encase/wrap/needtest"
)

// root is the directory of the module.
const root = "../../.."

// made makes a skeleton, goes into its directory, and returns that.
func made(t *testing.T, s skeleton) {
	t.Helper()
	var err error
	if s.Replace != "" {
		if s.Replace, err = filepath.Abs(s.Replace); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(t.TempDir())
	if err := s.make(io.Discard); err != nil {
		t.Fatal(err)
	}
	t.Chdir(s.Name)
}

// checked runs "codec check" with the vectors of a skeleton.
func checked(t *testing.T, spec string) {
	t.Helper()
	d, err := parse(spec)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c := checker{description: d, out: &out}
	if err := c.run("vectors"); err != nil || c.others > 0 || c.kept < 19 {
		t.Errorf("%v, %d kept, %d of others\n%s", err, c.kept, c.others, &out)
	}
}

func TestNewDescription(t *testing.T) {
	made(t, skeleton{lang: "desc", Name: "my-demo"})
	checked(t, "desc:my-demo.frame")
}

// A package as it is made is formatted, builds in a module of its own, and passes vet and its tests.
func TestNewPackage(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a module")
	}
	made(t, skeleton{lang: "go", Name: "my-demo", Replace: root})
	for _, name := range []string{"mydemo.go", "mydemo_test.go"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if want, err := format.Source(text); err != nil || !bytes.Equal(want, text) {
			t.Errorf("%s is not as gofmt writes it (%v)", name, err)
		}
	}
	for _, args := range []string{"vet ./...", "test ./...", "test -run ^$ -bench . -benchtime 1x"} {
		goCommand(t, strings.Fields(args)...)
	}
	out := goCommand(t, "test", "-v")
	for _, name := range []string{"TestRules/RoundTrip", "TestVectors/my-demo-sender", "FuzzRecv"} {
		if !strings.Contains(out, "--- PASS: "+name) {
			t.Errorf("%s has not run:\n%s", name, out)
		}
	}
}

// goCommand runs the go command, which finds all it needs in what this module needs, too.
func goCommand(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOSUMDB=off", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// A directory within a module becomes a package of it.
func TestNewPackageInModule(t *testing.T) {
	dir := t.TempDir()
	gomod := []byte("// mine\nmodule example.net/mine // it is\n")
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), gomod, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	s := skeleton{lang: "go", Name: "demo", dir: "wire/demo"}
	if err := s.make(io.Discard); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("wire/demo/go.mod"); err == nil {
		t.Error("a module within a module")
	}
	text, err := os.ReadFile("wire/demo/demo_test.go")
	if !strings.Contains(string(text), `"example.net/mine/wire/demo"`) {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestNewPlugin(t *testing.T) {
	for program, pkg := range map[string]string{"clang": "clang", "wasm-ld": "lld"} {
		needtest.Program(t, program, pkg)
	}
	made(t, skeleton{lang: "c", Name: "my-demo"})
	if out, err := exec.Command("./build.sh").CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%v\n%s", err, out)
	}
	checked(t, "wasm:my-demo.wasm")
	if _, err := parse("wasm:my-demo.wasm,x"); err == nil || !strings.Contains(err.Error(), "it takes no options") {
		t.Errorf("options: %v", err)
	}
}

// What plugins include is what the samples include.
func TestHeaderIsCurrent(t *testing.T) {
	ours, err := os.ReadFile("skeleton/c/encase.h")
	if err != nil {
		t.Fatal(err)
	}
	if theirs, err := os.ReadFile(root + "/codecs/wasm/samples/encase.h"); err != nil || !bytes.Equal(ours, theirs) {
		t.Errorf("skeleton/c/encase.h is not codecs/wasm/samples/encase.h (%v)", err)
	}
}

func TestNewRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("there", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		s    skeleton
		want string
	}{
		{skeleton{lang: "rust", Name: "demo"}, "there are desc, go and c"},
		{skeleton{lang: "desc", Name: "../demo"}, "bad name"},
		{skeleton{lang: "desc", Name: "Demo"}, "bad name"},
		{skeleton{lang: "desc", Name: ""}, "bad name"},
		{skeleton{lang: "desc", Name: strings.Repeat("a", 33)}, "up to 32"},
		{skeleton{lang: "go", Name: "func"}, "no good name"},
		{skeleton{lang: "go", Name: "length"}, "there is a codec"},
		{skeleton{lang: "go", Name: "demo"}, "--replace DIR"},
		{skeleton{lang: "go", Name: "demo", Replace: "there"}, "does not have the sources"},
		{skeleton{lang: "c", Name: "demo", Replace: "there"}, "for --lang go"},
		{skeleton{lang: "desc", Name: "demo", dir: "there"}, "there already"},
	} {
		if err := c.s.make(io.Discard); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want an error with %q", c.s, err, c.want)
		}
	}
	if entries, _ := os.ReadDir("."); len(entries) != 1 {
		t.Errorf("what was refused has left something: %v", entries)
	}
}
