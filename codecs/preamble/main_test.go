package preamble_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"

	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/frame"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	os.Exit(m.Run())
}

// A script is a peer that has said all it will say, and that hears everything.
type script struct {
	*frame.Reader
	heard bytes.Buffer
}

func newScript(said io.Reader) *script { return &script{Reader: frame.NewReader(said, nil, 0)} }

// Write implements io.Writer.
func (s *script) Write(p []byte) (int, error) { return s.heard.Write(p) }

// play runs one side of a dialogue against what its peer says, a byte at a time, and returns what that peer hears, and
// what is left for TLS.
func play(t *testing.T, p frame.Preamble, role frame.Role, said string) (heard, rest string, err error) {
	t.Helper()
	s := newScript(iotest.OneByteReader(strings.NewReader(said)))
	err = p.Exchange(context.Background(), s, role)
	if err != nil {
		checkError(t, err)
		return s.heard.String(), "", err
	}
	left, err := io.ReadAll(s.Reader)
	return s.heard.String(), string(left), err
}

// checkError checks what holds of all errors that a peer causes: a type, and a text that is safe to print and not long.
func checkError(t *testing.T, err error) {
	t.Helper()
	var e *preamble.Error
	switch {
	case errors.As(err, &e):
		if e.Protocol == "" || e.Want == "" || e.Got == "" || e.Reason == "" || !errors.Is(err, frame.ErrMalformed) {
			t.Errorf("incomplete: %#v", e)
		}
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		t.Errorf("neither an *Error nor the end of the stream: %v", err)
	}
	if text := err.Error(); len(text) > 700 || strings.ContainsFunc(text, odd) {
		t.Errorf("not fit to print: %q", text)
	}
}

func odd(r rune) bool { return r > unicode.MaxASCII || !unicode.IsPrint(r) }

func parse(tb testing.TB, spec string) frame.Preamble {
	tb.Helper()
	p, err := preamble.Parse(spec)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// program skips a test for want of a program, but not where all has been provided for.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("CI") != "" {
		t.Fatal(err)
	} else if err != nil {
		t.Skip(err)
	}
	return path
}

// secretFile writes a file that only its owner may read.
func secretFile(tb testing.TB, text string) string {
	tb.Helper()
	path := tb.TempDir() + "/secret"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}
