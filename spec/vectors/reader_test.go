package vectors_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/encase-tls/encase/spec/vectors"
)

// padded is the description that reader.py knows.
const padded = "codec: desc:magic 8 = 0xd7; length 8 len payload; behind 8 = 1; payload; pad to 4; end 8 = 0x7e\n"

// reader runs reader.py and returns what it prints. Without Python the test is skipped, except where the environment
// variable CI says that everything must be there.
func reader(t *testing.T, args ...string) (said string, failure error) {
	t.Helper()
	python, err := exec.LookPath("python3")
	switch {
	case err != nil && os.Getenv("CI") != "":
		t.Fatal("python3 is not installed")
	case err != nil:
		t.Skip("python3 is not installed")
	}
	var out bytes.Buffer
	cmd := exec.Command(python, append([]string{"reader.py"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	failure = cmd.Run()
	return out.String(), failure
}

// TestReader: codecs in another language, written by the documentation, do what the vectors say. None is left out.
func TestReader(t *testing.T) {
	want := 0
	err := fs.WalkDir(vectors.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(vectors.FS, name)
		if strings.HasPrefix(name, "length/") || bytes.Contains(text, []byte(padded)) {
			want++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	said, err := reader(t)
	if err != nil || said != fmt.Sprintf("%d vectors, 0 failures\n", want) {
		t.Errorf("%v; want %d vectors:\n%s", err, want, said)
	}
}

// TestReaderFindsFaults changes a vector of each kind, so that it says something wrong.
func TestReaderFindsFaults(t *testing.T) {
	for _, c := range []struct{ id, right, wrong string }{
		{"length-encode", "> 00 05", "> 00 06"},
		{"length-encode-over", "too-large", "ok"},
		{"length-decode", "payload: 2", "payload: 3"},
		{"length-trailing", "malformed", "ok"},
		{"length-varint-framelen", "length: 302", "length: 301"},
		{"length-framelen-half", "more", "malformed"},
		{"length-stream", "payload: c", "payload: d"},
		{"length-stream-cut", "more", "ok"},
		{"length-varint-decode", "do: decode", "do: guess"},
		{"length-16le-decode", "length:16le", "length:16le,new=1"},
		{"desc-framelen-pad", "expect: ok", "expect: more"},
	} {
		codec, _, _ := strings.Cut(c.id, "-")
		text, err := fs.ReadFile(vectors.FS, codec+"/"+c.id+".txt")
		if err != nil || bytes.Count(text, []byte(c.right)) != 1 {
			t.Errorf("%s has no %q (%v)", c.id, c.right, err)
			continue
		}
		dir := t.TempDir()
		name := filepath.Join(dir, codec, c.id+".txt")
		if err := os.Mkdir(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, text, 0o644); err != nil {
			t.Fatal(err)
		}
		if said, err := reader(t, dir); err != nil || said != "1 vectors, 0 failures\n" {
			t.Errorf("%s as it is: %v\n%s", c.id, err, said)
		}
		wrong := bytes.Replace(text, []byte(c.right), []byte(c.wrong), 1)
		if err := os.WriteFile(name, wrong, 0o644); err != nil {
			t.Fatal(err)
		}
		if said, err := reader(t, dir); err == nil {
			t.Errorf("%s with %q passes:\n%s", c.id, c.wrong, said)
		}
	}
}
