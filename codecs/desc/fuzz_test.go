package desc_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/desc"
	"github.com/encase-tls/encase/frame"
)

// FuzzParse reads any text. What is refused is refused with a place in the text; what is accepted works as the
// reference says, and can be drawn.
func FuzzParse(f *testing.F) {
	for _, name := range protocols(f) {
		_, text := protocol(f, name)
		f.Add([]byte(text))
	}
	for _, c := range refusals {
		if len(c.text) < 1000 {
			f.Add([]byte(strings.ReplaceAll(c.text, ";", "\n")))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		given := givenTo(string(text))
		d, err := desc.Compile("f", text, given)
		if err != nil {
			judgeMistakes(t, string(text), err)
			return
		}
		if len(d.Fields()) > 40 {
			return // the reference is slow
		}
		compare(t, rand.New(rand.NewPCG(1, uint64(len(text)))), d, string(text), given, 2)
		for line := range strings.Lines(d.Diagram()) {
			if len(line) > 66 {
				t.Errorf("the diagram has a line of %d columns: %q", len(line)-1, line)
			}
		}
	})
}

func judgeMistakes(t *testing.T, text string, err error) {
	mistakes, ok := err.(desc.Mistakes)
	if !ok || len(mistakes) == 0 || err.Error() == "" {
		t.Fatalf("the error is %T with %d mistakes: %v", err, len(mistakes), err)
	}
	lines := append(strings.Split(text, "\n"), "")
	for _, m := range mistakes {
		if !slices.Contains(desc.RuleNames(), m.Rule) || m.File != "f" || m.Text == "" {
			t.Errorf("incomplete: %+v", m)
		}
		whole := m.Rule == "unused-value" || m.Rule == "too-long" && len(text) > 1<<16
		if whole && m.Line == 0 {
			continue
		}
		if whole || m.Line < 1 || m.Line > len(lines) || m.Column < 1 || m.Column > len(lines[m.Line-1])+1 {
			t.Errorf("there is no place %d:%d: %v", m.Line, m.Column, m)
		}
	}
}

// FuzzFrame gives what a description makes of any text any bytes to read.
func FuzzFrame(f *testing.F) {
	for _, name := range protocols(f) {
		d, text := protocol(f, name)
		for value, v := range values[name] {
			text = strings.ReplaceAll(text, "value "+value, "= "+v)
		}
		for _, sender := range []frame.Role{frame.Client, frame.Server} {
			f.Add([]byte(text), encode(f, codecOf(f, d, sender), []byte("hello")), sender == frame.Server)
		}
	}
	f.Fuzz(func(t *testing.T, text, p []byte, server bool) {
		given := givenTo(string(text))
		d, err := desc.Compile("f", text, given)
		if err != nil || len(p) > 4096 || len(d.Fields()) > 40 {
			return
		}
		sender := frame.Client
		if server {
			sender = frame.Server
		}
		judge(t, newReference(string(text), given), d, sender, 0, p)
	})
}
