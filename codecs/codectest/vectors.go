package codectest

import (
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/codecs/vector"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/spec/vectors"
)

// SpecVectors runs the vectors that spec/vectors has for a codec of this module, which must be registered.
func SpecVectors(t *testing.T, name string) {
	Vectors(t, SpecFiles(t, name), codecs.Parse)
}

// SpecFiles returns the files of those vectors, for who has to help with their specs.
func SpecFiles(t *testing.T, name string) fs.FS {
	t.Helper()
	files, err := fs.Sub(vectors.FS, name)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Vectors runs every test vector in fsys, each file called *.txt, in a subtest named after its id. Their form is
// described in spec/vectors/README.md. parse makes a Maker of what a vector says under "codec".
func Vectors(t *testing.T, fsys fs.FS, parse func(spec string) (frame.Maker, error)) {
	ran := 0
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".txt" {
			return err
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		ran++
		t.Run(strings.TrimSuffix(path.Base(name), ".txt"), func(t *testing.T) {
			if err := vector.Run(text, parse); err != nil {
				t.Error(err)
			}
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if ran == 0 {
		t.Fatal("codectest: no vector is there")
	}
}
