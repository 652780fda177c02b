package desc_test

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/codectest"
)

func TestVectors(t *testing.T) { codectest.SpecVectors(t, "desc") }

// Every vector that the specification names is there.
func TestSpecificationVectors(t *testing.T) {
	files := codectest.SpecFiles(t, "desc")
	text := strings.Join(strings.Fields(specification(t)), " ")
	for _, list := range regexp.MustCompile(`\[V: ([^\]]+)\]`).FindAllStringSubmatch(text, -1) {
		for _, id := range strings.Split(list[1], ", ") {
			if _, err := fs.Stat(files, id+".txt"); err != nil {
				t.Errorf("the specification names a vector that is not there: %v", err)
			}
		}
	}
}
