package main

import (
	"bytes"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/encase-tls/encase/spec/vectors"
)

// The files in the tree are those that this program writes.
func TestUpToDate(t *testing.T) {
	want, err := files()
	if err != nil {
		t.Fatal(err)
	}
	err = fs.WalkDir(vectors.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		have, err := fs.ReadFile(vectors.FS, name)
		if !bytes.Equal(have, want[name]) {
			t.Errorf("%s differs: go run ./spec/vectors/gen", name)
		}
		delete(want, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range want {
		t.Errorf("%s is missing: go run ./spec/vectors/gen", name)
	}
}

// So is the file of vectors for DTLS.
func TestDTLSUpToDate(t *testing.T) {
	have, err := os.ReadFile("../" + dtlsName)
	if err != nil || !bytes.Equal(have, dtlsFile()) {
		t.Errorf("%s differs (%v): go run ./spec/vectors/gen", dtlsName, err)
	}
}

// The vectors for DTLS that carriage.md names are there.
func TestDTLSNamed(t *testing.T) {
	text, err := os.ReadFile("../../carriage.md")
	if err != nil {
		t.Fatal(err)
	}
	have, words := string(dtlsFile()), strings.Join(strings.Fields(string(text)), " ")
	lists := regexp.MustCompile(`\[V: ([^\]]+)\]`).FindAllStringSubmatch(words, -1)
	for _, list := range lists {
		for id := range strings.SplitSeq(list[1], ", ") {
			if !strings.Contains(have, "\nid: "+id+"\n") {
				t.Errorf("carriage.md names the vector %q, which there is not", id)
			}
		}
	}
	if len(lists) == 0 {
		t.Error("carriage.md names no vector")
	}
}

// Every flag that a vector has is explained in the README, and the README explains no other.
func TestFlagsExplained(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n## Flags\n")
	section, _, _ = strings.Cut(section, "\n## ")
	explained := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|").FindAllStringSubmatch(section, -1) {
		explained[m[1]] = false
	}
	for _, v := range allVectors() {
		for flag := range strings.FieldsSeq(v.flags) {
			if _, ok := explained[flag]; !ok {
				t.Errorf("%s: the flag %s is not explained", v.id, flag)
			}
			explained[flag] = true
		}
	}
	for flag, used := range explained {
		if !used {
			t.Errorf("no vector has the flag %s", flag)
		}
	}
}
