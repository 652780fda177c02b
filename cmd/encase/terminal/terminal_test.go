package terminal_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/encase-tls/encase/cmd/encase/terminal"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"demo.example":             "demo.example",
		"a\x1b[31mb\r\n\x00":       `a\x1b[31mb\r\n\x00`,
		"b\u00fccher\u202e":        `b\u00fccher\u202e`,
		"\xff\x9b":                 `\xff\x9b`,
		strings.Repeat("x", 10000): strings.Repeat("x", 120) + "...",
	} {
		if got := terminal.Text(in); got != want {
			t.Errorf("Text(%.20q) = %q, want %q", in, got, want)
		}
	}
}

func TestMessage(t *testing.T) {
	const in, want = "x509: \x1b[2Jbücher\u202e\n\tnext\x9b", "x509: \\x1b[2Jbücher\\u202e\n\tnext\\ufffd"
	if got := terminal.Message(in); got != want {
		t.Errorf("Message(%q) = %q, want %q", in, got, want)
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"", []string{""}},
		{"one two three", []string{"one two", "three"}},
		{"exactly8 12345678", []string{"exactly8", "12345678"}},
		{"overlongword x", []string{"overlong", "word x"}},
	} {
		if got := terminal.Wrap(c.in, 8); !slices.Equal(got, c.want) {
			t.Errorf("Wrap(%q, 8) = %q, want %q", c.in, got, c.want)
		}
	}
}

// What is not a terminal gets no colours, whatever the environment says.
func TestOfBuffer(t *testing.T) {
	t.Setenv("TERM", "xterm-256color")
	if got := terminal.Of(new(bytes.Buffer)); got.Colors || got.Interactive || got.Columns() != 80 {
		t.Errorf("a buffer can show %+v", got)
	}
}
