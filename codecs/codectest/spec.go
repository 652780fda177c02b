package codectest

import (
	"strings"
	"testing"

	"github.com/encase-tls/encase/frame"
)

// Maker returns what parse makes of the argument of a spec, which must be right.
func Maker(tb testing.TB, parse func(arg string) (frame.Maker, error), arg string) frame.Maker {
	tb.Helper()
	mk, err := parse(arg)
	if err != nil {
		tb.Fatal(err)
	}
	return mk
}

// Machine returns a new Machine of mk.
func Machine(tb testing.TB, mk frame.Maker, role frame.Role) frame.Machine {
	tb.Helper()
	m, err := mk(role)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// Codec returns a new codec of mk, of those that encode what a client sends. The Machines of mk must be pairs of codecs,
// see [frame.CodecsOf].
func Codec(tb testing.TB, mk frame.Maker) frame.Codec {
	tb.Helper()
	send, _, ok := frame.CodecsOf(Machine(tb, mk, frame.Client))
	if !ok {
		tb.Fatal("codectest: this Machine is no pair of codecs")
	}
	return send
}

// Refused checks that parse refuses arguments of the spec of a codec. wrong has for each of them a part of what the error
// must say. It must also begin with the name of the codec: a person has to see what it is about.
func Refused(t *testing.T, name string, parse func(arg string) (frame.Maker, error), wrong map[string]string) {
	t.Helper()
	for arg, want := range wrong {
		_, err := parse(arg)
		if err == nil || !strings.HasPrefix(err.Error(), name+": ") || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%.40q): %v, want an error with %q", arg, err, want)
		}
	}
}
