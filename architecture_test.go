// Package encase_test holds what is true of the module as a whole: who may import whom, and that what is exported is
// documented. It has no code of its own.
package encase_test

import (
	"go/ast"
	"go/doc"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/encase-tls/encase"

// architecture says, for each package of the module, what it may import besides the standard library. "..." stands for
// all packages below; the longest pattern that matches a package rules it. A package that no line matches fails the
// test. To make a failing test pass, change the code, not this table: it is the plan of the module.
const architecture = `
frame                 : github.com/valyala/bytebufferpool
bio                   : frame
bio/ephemeral         :
bio/dtls              : frame bio github.com/pion/... golang.org/x/crypto/...
bio/dtls/pionv2       : frame bio github.com/pion/...
bio/enginetest        : frame bio bio/ephemeral
codecs                : frame
codecs/all            : codecs/...
codecs/check          : frame
codecs/crc16          :
codecs/codectest      : frame codecs codecs/check codecs/vector spec/vectors
codecs/desc           : frame codecs codecs/check codecs/crc16
codecs/wasm           : frame codecs codecs/check github.com/tetratelabs/wazero/...
codecs/described      : frame codecs codecs/desc
codecs/dissector      : frame codecs codecs/desc codecs/described
codecs/dtlstest       : frame codecs wrap/porttest wrap/needtest
codecs/tsharktest     : frame codecs wrap/needtest
codecs/eapol          : frame codecs codecs/eap
codecs/radius         : frame codecs codecs/eap
codecs/inspect        : frame codecs codecs/... github.com/gopacket/gopacket/...
codecs/...            : frame codecs codecs/crc16
wrap                  : frame bio golang.org/x/sys/...
wrap/udp              : frame golang.org/x/net/... golang.org/x/sys/...
wrap/admission        :
wrap/porttest         :
wrap/needtest         :
wrap/datagram         : frame bio wrap wrap/udp wrap/admission
wrap/datagram/lossy   :
tun/packet            :
tun/device            : tun/packet golang.org/x/sys/...
tun/network           : golang.org/x/sys/... github.com/vishvananda/...
tun/carrier           : frame wrap/udp tun/device tun/packet golang.org/x/sys/... github.com/vishvananda/...
tun/...               : bio wrap wrap/datagram tun/... golang.org/x/sys/...
tun/bench/...         : ...
tun                   : frame bio wrap wrap/... tun/... golang.org/x/sys/...
cmd/...               : ... github.com/spf13/... github.com/pelletier/go-toml/... github.com/prometheus/... golang.org/x/term golang.org/x/sys/...
cmd/encase/confine   : github.com/landlock-lsm/... kernel.org/pub/... golang.org/x/net/bpf golang.org/x/sys/...
examples/...          : ... golang.org/x/net/... golang.org/x/sys/... github.com/pion/...
spec/...              : ...
`

// heavy are modules that a program which only wants TLS in its own framing must not link, even indirectly.
var heavy = map[string][]string{
	"frame": {"github.com/pion", "github.com/tetratelabs", "github.com/vishvananda", "github.com/spf13", module + "/codecs"},
	"bio":   {"github.com/pion", "github.com/tetratelabs", "github.com/vishvananda", "github.com/spf13", module + "/codecs"},
	"wrap":  {"github.com/pion", "github.com/tetratelabs", "github.com/vishvananda", "github.com/spf13", module + "/codecs"},
}

func TestImportDirections(t *testing.T) {
	rules := readRules(t)
	for dir, files := range packages(t) {
		allowed, ok := rules.of(dir)
		if !ok {
			t.Errorf("%s: no line of the architecture names this package: where does it belong?", dir)
			continue
		}
		for _, file := range files {
			for _, imp := range file.imports {
				if !standard(imp) && !matchesAny(allowed, strings.TrimPrefix(imp, module+"/")) {
					t.Errorf("%s imports %s: %s may import only %v", file.name, imp, dir, allowed)
				}
			}
		}
	}
}

func TestNothingHeavyIsLinked(t *testing.T) {
	for pkg, banned := range heavy {
		out, err := exec.Command("go", "list", "-deps", "./"+pkg).Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		for dep := range strings.Lines(string(out)) {
			for _, b := range banned {
				if strings.HasPrefix(dep, b) {
					t.Errorf("%s links %s", pkg, strings.TrimSpace(dep))
				}
			}
		}
	}
}

func TestTopLevelFolders(t *testing.T) {
	want := []string{"bio", "cmd", "codecs", "examples", "frame", "spec", "tun", "wrap"}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !slices.Contains(want, e.Name()) && !ignored(e.Name()) {
			t.Errorf("%s/ lies on top: what belongs to a package lies in it (%v)", e.Name(), want)
		}
	}
}

// ignored reports whether a folder holds only what is built.
func ignored(dir string) bool { return dir == "bin" || dir == "man" }

func TestExportedNamesAreDocumented(t *testing.T) {
	for dir := range packages(t) {
		fset := token.NewFileSet()
		var files []*ast.File
		for _, name := range goFiles(t, dir) {
			f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		p, err := doc.NewFromFiles(fset, files, module+"/"+dir)
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(p.Doc) == "" {
			t.Errorf("%s: the package has no comment", dir)
		}
		for _, name := range undocumented(p) {
			t.Errorf("%s: %s is exported and has no comment", dir, name)
		}
	}
}

// undocumented returns the exported names of p without a comment. Methods that an interface of the standard library
// prescribes, such as Error and Unwrap, speak for themselves.
func undocumented(p *doc.Package) (names []string) {
	selfEvident := []string{"Error", "Unwrap"}
	funcs := func(list []*doc.Func, recv string) {
		for _, f := range list {
			if f.Doc == "" && token.IsExported(f.Name) && !slices.Contains(selfEvident, f.Name) {
				names = append(names, recv+f.Name)
			}
		}
	}
	values := func(list []*doc.Value) {
		for _, v := range list {
			if v.Doc == "" && !specsDocumented(v.Decl) {
				names = append(names, strings.Join(v.Names, ", "))
			}
		}
	}
	funcs(p.Funcs, "")
	values(p.Consts)
	values(p.Vars)
	for _, typ := range p.Types {
		if typ.Doc == "" {
			names = append(names, typ.Name)
		}
		funcs(typ.Funcs, "")
		funcs(typ.Methods, typ.Name+".")
		values(typ.Consts)
		values(typ.Vars)
	}
	return names
}

// specsDocumented reports whether each exported name of a group has a comment of its own.
func specsDocumented(d *ast.GenDecl) bool {
	for _, s := range d.Specs {
		v, ok := s.(*ast.ValueSpec)
		if ok && v.Names[0].IsExported() && v.Doc == nil && v.Comment == nil {
			return false
		}
	}
	return true
}

func TestFormat(t *testing.T) {
	for dir := range packages(t) {
		all, _ := filepath.Glob(filepath.Join(dir, "*.go"))
		for _, name := range all {
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			want, err := format.Source(src)
			if err != nil || string(want) != string(src) {
				t.Errorf("%s: not as gofmt writes it (%v)", name, err)
			}
		}
	}
}

type rules map[string][]string

func readRules(t *testing.T) rules {
	r := rules{}
	for line := range strings.Lines(strings.TrimSpace(architecture)) {
		pkg, allowed, ok := strings.Cut(line, ":")
		if !ok {
			t.Fatalf("no colon in %q", line)
		}
		r[strings.TrimSpace(pkg)] = strings.Fields(allowed)
	}
	return r
}

func (r rules) of(dir string) ([]string, bool) {
	if allowed, ok := r[dir]; ok {
		return allowed, true
	}
	for p := dir; p != "."; p = path.Dir(p) {
		if allowed, ok := r[p+"/..."]; ok {
			return allowed, true
		}
	}
	return nil, false
}

func matchesAny(patterns []string, imp string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		prefix, below := strings.CutSuffix(p, "...")
		if prefix == "" && below {
			return !strings.Contains(strings.Split(imp, "/")[0], ".") // any package of this module
		}
		return imp == p || below && strings.HasPrefix(imp+"/", prefix)
	})
}

func standard(imp string) bool { return !strings.Contains(strings.Split(imp, "/")[0], ".") }

type goFile struct {
	name    string
	imports []string
}

// packages returns the non-test files of every package of the module, by folder.
func packages(t *testing.T) map[string][]goFile {
	t.Helper()
	found := map[string][]goFile{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return filepath.SkipDir
		case d.IsDir():
			for _, file := range goFiles(t, name) {
				found[filepath.ToSlash(name)] = append(found[filepath.ToSlash(name)], goFile{file, imports(t, file)})
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatal("no packages found")
	}
	return found
}

func goFiles(t *testing.T, dir string) (names []string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if !strings.HasSuffix(name, "_test.go") {
			names = append(names, name)
		}
	}
	return names
}

func imports(t *testing.T, name string) (list []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range f.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}
