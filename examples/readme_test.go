// Package examples_test checks what README.md says of the folders beside it.
package examples_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadme checks that each example has a test and a line in README.md.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if !strings.Contains(string(readme), "\n| ["+e.Name()+"]("+e.Name()+") |") {
			t.Errorf("README.md has no line for %s", e.Name())
		}
		if tests, err := filepath.Glob(filepath.Join(e.Name(), "*_test.go")); err != nil || len(tests) == 0 {
			t.Errorf("%s has no test", e.Name())
		}
	}
}
