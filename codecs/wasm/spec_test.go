package wasm_test

import (
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/wasm"
	"github.com/encase-tls/encase/spec/vectors"
)

func specification(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../spec/plugin.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The specification names the rules of the package, and each number that a rule gives.
func TestSpecificationRules(t *testing.T) {
	_, section, _ := strings.Cut(specification(t), "\n## 1. ")
	section, _, _ = strings.Cut(section, "\n## 2. ")
	var named []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z]+)` \\| (.*) \\|").FindAllStringSubmatch(section, -1) {
		named = append(named, row[1])
		for _, n := range regexp.MustCompile(`\d{3,}`).FindAllString(wasm.Rules()[row[1]], -1) {
			if !strings.Contains(row[2], n) {
				t.Errorf("%s: the package says %s, the specification %q", row[1], n, row[2])
			}
		}
	}
	var have []string
	for name := range wasm.Rules() {
		have = append(have, name)
	}
	slices.Sort(have)
	slices.Sort(named)
	if !slices.Equal(named, have) {
		t.Errorf("the specification names the rules %v\nthe package has %v", named, have)
	}
}

// The plugin in the specification is the sample, and every vector that it names is there.
func TestSpecificationExamples(t *testing.T) {
	text := specification(t)
	_, code, _ := strings.Cut(text, "```c\n")
	code, _, _ = strings.Cut(code, "```")
	source, err := os.ReadFile("samples/length16.c")
	if err != nil {
		t.Fatal(err)
	}
	if code == "" || !strings.HasSuffix(string(source), code) {
		t.Errorf("samples/length16.c does not end with the example:\n%s", code)
	}
	files, err := fs.Sub(vectors.FS, "wasm")
	if err != nil {
		t.Fatal(err)
	}
	lists := regexp.MustCompile(`\[V: ([^\]]+)\]`).FindAllStringSubmatch(strings.Join(strings.Fields(text), " "), -1)
	for _, list := range lists {
		for _, id := range strings.Split(list[1], ", ") {
			if _, err := fs.Stat(files, id+".txt"); err != nil {
				t.Errorf("the specification names a vector that is not there: %v", err)
			}
		}
	}
	if len(lists) == 0 {
		t.Error("the specification names no vector")
	}
}
