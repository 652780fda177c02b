package conf

import (
	"errors"
	"strings"
	"testing"
)

func TestLines(t *testing.T) {
	l := LinesOf([]byte("a = 1\n[b]\nc.d = { e = 2 }\n[[f]]\ng = 1\n[[f]]\n[f.h]\ni = [\n {j = 1},\n]\n"))
	for path, want := range map[string]int{
		"a": 1, "b": 2, "b.c.d": 3, "b.c.d.e": 3, "f": 4, "f[0]": 4, "f[0].g": 5, "f[1]": 6, "f[1].h": 7, "f[1].h.i[0].j": 9,
		"f[1].missing": 6, "nothing": 1,
	} {
		if got := l.Nearest(path); got != want {
			t.Errorf("%s stands on line %d, want %d", path, got, want)
		}
	}
	if got := KeyOf("f[1].h.i[0].j"); got != "f.h.i.j" {
		t.Error(got)
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"address", "codec", "mtu"}
	for in, want := range map[string]string{"adress": `did you mean "address"?`, "MTU": "known here: address, codec, mtu",
		"codecs": `did you mean "codec"?`} {
		if got := Suggest(in, known); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

func TestSizes(t *testing.T) {
	for in, want := range map[string]int64{"1B": 1, "64KiB": 64 << 10, "3 MiB": 3 << 20, "1GiB": 1 << 30} {
		n, ok := ParseSize(in)
		if !ok || n != want || parseBack(t, n) != want {
			t.Errorf("%s is %d, %v", in, n, ok)
		}
	}
	for _, in := range []string{"", "1", "KiB", "-1B", "1.5MiB", "99999999999GiB", "1kB"} {
		if n, ok := ParseSize(in); ok {
			t.Errorf("%q is %d", in, n)
		}
	}
}

// parseBack returns what the text of n means.
func parseBack(t *testing.T, n int64) int64 {
	t.Helper()
	back, ok := ParseSize(SizeText(n))
	if !ok {
		t.Errorf("%s is no size", SizeText(n))
	}
	return back
}

// Mistakes are told in the order of the file, each with its place, and warnings are none.
func TestProblems(t *testing.T) {
	var l Problems
	l.Add(Place{File: "f", Line: 3, Key: "b"}, "is %d", 2)
	l.Warn(Place{File: "f", Line: 1}, "careful")
	if l[1:].Err() != nil {
		t.Error("a warning is a mistake")
	}
	l.Add(Place{File: "f", Line: 2}, "no")
	l.Add(Place{Key: "--flag"}, "bad")
	var out strings.Builder
	err := l.Complain(&out)
	var exit interface{ ExitCode() int }
	if !errors.As(err, &exit) || exit.ExitCode() != Status || err.Error() != "3 mistakes in the configuration" {
		t.Error(err)
	}
	if out.String() != "--flag: bad\nf:2: no\nf:3: b: is 2\n" {
		t.Errorf("%s", &out)
	}
	if w := l.Warnings(); len(w) != 1 || w[0].String() != "f:1: warning: careful" {
		t.Error(w)
	}
}
