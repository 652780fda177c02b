package codecs_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs"
	_ "github.com/encase-tls/encase/codecs/all"
	"github.com/encase-tls/encase/frame"
)

var errArgument = errors.New("test-argument: want nothing")

func init() {
	codecs.Register("test-argument", codecs.Info{Summary: "for tests"}, func(arg string) (frame.Maker, error) {
		if arg != "" {
			return nil, fmt.Errorf("%w, not %q", errArgument, arg)
		}
		return frame.Raw, nil
	})
}

func TestParse(t *testing.T) {
	for _, spec := range []string{"raw", "length:16be", "websocket", "test-argument", "test-argument:"} {
		mk, err := codecs.Parse(spec)
		if err != nil {
			t.Errorf("Parse(%q): %v", spec, err)
			continue
		}
		if _, err := mk(frame.Client); err != nil {
			t.Errorf("Parse(%q): the Maker fails: %v", spec, err)
		}
	}
}

func TestParseHandsOverAllBehindTheFirstColon(t *testing.T) {
	_, err := codecs.Parse("test-argument:a:b=c,d")
	if !errors.Is(err, errArgument) || !strings.Contains(err.Error(), `"a:b=c,d"`) {
		t.Errorf("got %v", err)
	}
}

func TestParseUnknown(t *testing.T) {
	_, err := codecs.Parse("wss:x")
	want := `codecs: unknown codec "wss" (have ` + strings.Join(codecs.Names(), ", ") + `; forgotten import?)`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestRegisterRefuses(t *testing.T) {
	parse := func(string) (frame.Maker, error) { return frame.Raw, nil }
	for _, c := range []struct {
		name  string
		parse func(string) (frame.Maker, error)
		want  string
	}{
		{"", parse, `bad name ""`},
		{"Raw", parse, `bad name "Raw"`},
		{"a:b", parse, `bad name "a:b"`},
		{"raw", parse, `Register("raw"): the name is taken`},
		{"test-nil", nil, `Register("test-nil"): parse is nil`},
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, c.want) {
					t.Errorf("Register(%q) panics with %q, want one with %q", c.name, got, c.want)
				}
			}()
			codecs.Register(c.name, codecs.Info{}, c.parse)
		}()
	}
}

// Every codec that a user can choose describes itself fully, and its example works.
func TestList(t *testing.T) {
	list := codecs.List()
	var names []string
	for _, info := range list {
		names = append(names, info.Name)
		if strings.HasPrefix(info.Name, "test-") {
			continue
		}
		if info.Summary == "" || info.Class == "" || info.Carriers == 0 || info.Tested == "" {
			t.Errorf("%s: incomplete: %+v", info.Name, info)
		}
		if name, _, _ := strings.Cut(info.Example, ":"); name != info.Name {
			t.Errorf("%s: the example is %q", info.Name, info.Example)
		}
		if _, err := codecs.Parse(info.Example); err != nil {
			t.Errorf("%s: the example fails: %v", info.Name, err)
		}
	}
	if !slices.Equal(names, codecs.Names()) {
		t.Errorf("List has %q, Names has %q", names, codecs.Names())
	}
}

func TestCarriers(t *testing.T) {
	for c, want := range map[codecs.Carriers]string{
		0: "none", codecs.Stream: "stream", codecs.Datagram: "datagram",
		codecs.Stream | codecs.Datagram: "stream, datagram",
	} {
		if c.String() != want {
			t.Errorf("%d is %q, want %q", c, c, want)
		}
	}
}
