package desc_test

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/spec/vectors"
)

// vectorFiles returns the vectors of descriptions.
func vectorFiles(t *testing.T) fs.FS {
	t.Helper()
	if _, err := fs.Stat(vectors.FS, "desc"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("spec/vectors/desc is not generated: go run ./spec/vectors/gen")
	}
	files, err := fs.Sub(vectors.FS, "desc")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestVectors(t *testing.T) { codectest.Vectors(t, vectorFiles(t), codecs.Parse) }

// Every vector that the specification names is there.
func TestSpecificationVectors(t *testing.T) {
	files := vectorFiles(t)
	text := strings.Join(strings.Fields(specification(t)), " ")
	for _, list := range regexp.MustCompile(`\[V: ([^\]]+)\]`).FindAllStringSubmatch(text, -1) {
		for _, id := range strings.Split(list[1], ", ") {
			if _, err := fs.Stat(files, id+".txt"); err != nil {
				t.Errorf("the specification names a vector that is not there: %v", err)
			}
		}
	}
}
