package vectors_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/encase-tls/encase/spec/vectors"
	"github.com/encase-tls/encase/wrap/needtest"
)

// padded is the description that reader.py knows.
const padded = "codec: desc:magic 8 = 0xd7; length 8 len payload; behind 8 = 1; payload; pad to 4; end 8 = 0x7e\n"

// reader runs reader.py and returns what it prints. Without Python the test is skipped, except where the environment
// variable CI says that everything must be there.
func reader(t *testing.T, args ...string) (said string, failure error) {
	t.Helper()
	python := needtest.Program(t, "python3", "python3")
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
	right, wrong := t.TempDir(), t.TempDir()
	faults := []struct{ id, right, wrong string }{
		{"length-encode", "> 00 05", "> 00 06"},
		{"length-encode-over", "too-large", "ok"},
		{"length-decode", "payload: 2", "payload: 3"},
		{"length-trailing", "malformed", "ok"},
		{"length-varint-framelen", "length: 302", "length: 301"},
		{"length-framelen-half", "more", "malformed"},
		{"length-stream", "payload: c", "payload: d"},
		{"length-stream-cut", "more", "ok"},
		{"desc-framelen-pad", "expect: ok", "expect: more"},
	}
	for _, f := range faults {
		text := vector(t, f.id, f.right)
		write(t, right, f.id, text)
		write(t, wrong, f.id, strings.Replace(text, f.right, f.wrong, 1))
	}
	if said, err := reader(t, right); err != nil || said != fmt.Sprintf("%d vectors, 0 failures\n", len(faults)) {
		t.Errorf("as they are: %v\n%s", err, said)
	}
	said, err := reader(t, wrong)
	for _, f := range faults {
		if err == nil || !strings.Contains("\n"+said, "\n"+f.id+": ") {
			t.Errorf("%s with %q passes: %v\n%s", f.id, f.wrong, err, said)
		}
	}
}

// A vector that it does not understand it refuses.
func TestReaderRefuses(t *testing.T) {
	for _, f := range []struct{ id, right, wrong, why string }{
		{"length-varint-decode", "do: decode", "do: guess", "do: guess"},
		{"length-16le-decode", "length:16le", "length:16le,new=1", "unknown option in length:16le,new=1"},
	} {
		dir := t.TempDir()
		write(t, dir, f.id, strings.Replace(vector(t, f.id, f.right), f.right, f.wrong, 1))
		if said, err := reader(t, dir); err == nil || !strings.Contains(said, f.why) {
			t.Errorf("%s: %v\n%s", f.id, err, said)
		}
	}
}

// vector returns the text of one, which has a part once.
func vector(t *testing.T, id, part string) string {
	t.Helper()
	codec, _, _ := strings.Cut(id, "-")
	text, err := fs.ReadFile(vectors.FS, codec+"/"+id+".txt")
	if err != nil || bytes.Count(text, []byte(part)) != 1 {
		t.Fatalf("%s has no %q (%v)", id, part, err)
	}
	return string(text)
}

func write(t *testing.T, dir, id, text string) {
	t.Helper()
	codec, _, _ := strings.Cut(id, "-")
	name := filepath.Join(dir, codec, id+".txt")
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}
