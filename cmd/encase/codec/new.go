package codec

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"text/template"

	"github.com/spf13/cobra"

	"github.com/encase-tls/encase/cmd/encase/exit"
	"github.com/encase-tls/encase/codecs"
)

//go:embed skeleton
var skeletons embed.FS

func newCommand() *cobra.Command {
	var s skeleton
	c := &cobra.Command{
		Use:   "new NAME",
		Short: "Make a codec of one's own: a skeleton that works, with tests",
		Long: `Make a directory with a codec that works and passes its tests, to be changed
into one's own:

  --lang desc  a description, a text with one line for each field. It is enough
               for headers and trailers, and needs no compiler
  --lang go    a package in Go, for anything
  --lang c     a plugin in C, compiled to WebAssembly by clang and lld

All three make the same frames, and come with the same test vectors.`,
		Example: `  encase codec new demo
  encase codec new demo --lang go
  encase codec new demo --lang c --dir plugins/demo`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s.Name = args[0]
			return s.make(c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&s.lang, "lang", "desc", "`LANGUAGE`: desc, go or c")
	c.Flags().StringVar(&s.dir, "dir", "", "`DIR`ectory to make (default NAME)")
	c.Flags().StringVar(&s.Replace, "replace", "", "go: `DIR`ectory with the sources of encase, not a published version")
	must(c.RegisterFlagCompletionFunc("lang", cobra.FixedCompletions([]string{"desc", "go", "c"},
		cobra.ShellCompDirectiveNoFileComp)))
	return c
}

// A skeleton is what the files of a new codec are made of.
type skeleton struct {
	lang, dir string

	Name    string // of the codec
	Package string // of Go
	Import  string // path of the package
	Spec    string // of the codec, in its own directory
	Module  bool   // there is a go.mod in the directory
	Go      string // version of Go that the module needs
	Version string // of encase that it needs
	Replace string // path of that version; empty: it is a published one
}

// make makes the directory and says what to do with it.
func (s *skeleton) make(w io.Writer) error {
	if err := s.check(); err != nil {
		return err
	}
	if s.lang == "go" {
		if err := s.module(); err != nil {
			return err
		}
	}
	files, err := s.files()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return exit.Usagef("%s is there already: choose another name, or another --dir", s.dir)
		}
		return err
	}
	for _, f := range files {
		if err := f.write(s.dir); err != nil {
			return err
		}
		fmt.Fprintln(w, filepath.Join(s.dir, filepath.FromSlash(f.name)))
	}
	_, err = fmt.Fprintf(w, "\nWhat to do with them is in %s.\n", filepath.Join(s.dir, "README.md"))
	return err
}

// specs are what a codec of each language is called in its own directory.
var specs = map[string]string{"desc": "desc:%s.frame", "go": "%s", "c": "wasm:%s.wasm"}

// check refuses what would not work, and completes s.
func (s *skeleton) check() error {
	spec, known := specs[s.lang]
	s.Package = strings.ReplaceAll(s.Name, "-", "")
	switch {
	case !known:
		return exit.Usagef("--lang: there are desc, go and c, not %q", s.lang)
	case !validName(s.Name):
		return exit.Usagef("bad name %q (allowed: a lower-case letter, then such letters, digits and hyphens; up to 32)",
			s.Name)
	case s.lang == "go" && (token.IsKeyword(s.Package) || slices.Contains([]string{"main", "codecs", "frame", "init"},
		s.Package)):
		return exit.Usagef("%q is no good name for a package of Go", s.Package)
	case s.lang == "go" && slices.Contains(codecs.Names(), s.Name):
		return exit.Usagef("there is a codec %q already (see: encase codec list)", s.Name)
	case s.Replace != "" && s.lang != "go":
		return exit.Usagef("--replace is for --lang go")
	}
	s.Spec = fmt.Sprintf(spec, s.Name)
	if s.dir == "" {
		s.dir = s.Name
	}
	return nil
}

func validName(s string) bool {
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || c != '-' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

const encase = "github.com/encase-tls/encase"

// module finds out whether the directory lies in a module already, and what its packages are called.
func (s *skeleton) module() error {
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return err
	}
	if s.Import = importPath(dir); s.Import != "" {
		return nil
	}
	s.Module, s.Import, s.Go, s.Version = true, "example.com/"+s.Package, "1.26", "v0.0.0"
	if s.Replace == "" {
		if s.Version = published(); s.Version == "" {
			return exit.Usagef("this program was built from sources without a version: say where they are, with --replace DIR")
		}
		return nil
	}
	if s.Replace, err = filepath.Abs(s.Replace); err != nil {
		return err
	}
	if text, err := os.ReadFile(filepath.Join(s.Replace, "go.mod")); err != nil || moduleOf(text) != encase {
		return exit.Usagef("--replace: %s does not have the sources of %s", s.Replace, encase)
	}
	return nil
}

// published returns the version that this program was published with, "" if it has none.
func published() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || !strings.HasPrefix(info.Main.Version, "v") || strings.Contains(info.Main.Version, "+") {
		return ""
	}
	return info.Main.Version
}

// importPath returns the path of a package in dir, "" if no directory above it has a go.mod.
func importPath(dir string) string {
	for below := filepath.Base(dir); ; below = path.Join(filepath.Base(dir), below) {
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
		if text, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil {
			return path.Join(moduleOf(text), below)
		}
	}
}

// moduleOf returns the path that a go.mod gives its module.
func moduleOf(text []byte) string {
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "module" {
			return strings.Trim(words[1], `"`)
		}
	}
	return ""
}

// A newFile is one that is to be written.
type newFile struct {
	name string // with slashes
	text []byte
}

func (f newFile) write(dir string) error {
	name := filepath.Join(dir, filepath.FromSlash(f.name))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if bytes.HasPrefix(f.text, []byte("#!")) {
		mode = 0o755
	}
	return os.WriteFile(name, f.text, mode)
}

// files returns the files of the language, and the test vectors.
func (s *skeleton) files() (all []newFile, err error) {
	for _, part := range []struct{ from, to string }{{s.lang, ""}, {"vectors", "vectors"}} {
		entries, err := skeletons.ReadDir("skeleton/" + part.from)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			f, err := s.file(path.Join("skeleton", part.from, e.Name()))
			if err != nil {
				return nil, err
			}
			if f.name != "go.mod" || s.Module {
				f.name = path.Join(part.to, f.name)
				all = append(all, f)
			}
		}
	}
	return all, nil
}

// file returns one file: a template has the ending .tmpl, any other file is as it has to be.
func (s *skeleton) file(name string) (f newFile, err error) {
	text, err := skeletons.ReadFile(name)
	if err != nil {
		return f, err
	}
	f.name = strings.NewReplacer("NAME", s.Name, "PACKAGE", s.Package).Replace(path.Base(name))
	base, isTemplate := strings.CutSuffix(f.name, ".tmpl")
	if !isTemplate {
		f.text = text
		return f, nil
	}
	t, err := template.New(name).Parse(string(text))
	if err != nil {
		return f, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, s)
	return newFile{base, b.Bytes()}, err
}
