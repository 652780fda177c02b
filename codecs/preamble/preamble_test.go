package preamble_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/check"
	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/frame"
)

// A mute is a preamble for tests of the registry: it says nothing.
type mute struct{}

// Exchange implements frame.Preamble.
func (mute) Exchange(context.Context, frame.Peeker, frame.Role) error { return nil }

var errArgument = errors.New("test-argument: want nothing")

func init() {
	preamble.Register("test-argument", preamble.Info{}, func(arg string) (frame.Preamble, error) {
		if arg != "" {
			return nil, fmt.Errorf("%w, not %q", errArgument, arg)
		}
		return mute{}, nil
	})
}

func TestParseHandsOverAllBehindTheFirstColon(t *testing.T) {
	if _, err := preamble.Parse("test-argument:"); err != nil {
		t.Error(err)
	}
	_, err := preamble.Parse("test-argument:a:b=c,d")
	if !errors.Is(err, errArgument) || !strings.Contains(err.Error(), `"a:b=c,d"`) {
		t.Errorf("got %v", err)
	}
}

func TestParseUnknown(t *testing.T) {
	_, err := preamble.Parse("postgresql:x")
	want := `preamble: unknown preamble "postgresql" (have ` + strings.Join(preamble.Names(), ", ") +
		`; forgotten import?)`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestRegisterRefuses(t *testing.T) {
	parse := func(string) (frame.Preamble, error) { return mute{}, nil }
	for _, c := range []struct {
		name  string
		parse func(string) (frame.Preamble, error)
		want  string
	}{
		{"", parse, `bad name ""`},
		{"SMTP", parse, `bad name "SMTP"`},
		{"a:b", parse, `bad name "a:b"`},
		{"smtp", parse, `Register("smtp"): the name is taken`},
		{"test-nil", nil, `Register("test-nil"): parse is nil`},
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, c.want) {
					t.Errorf("Register(%q) panics with %q, want one with %q", c.name, got, c.want)
				}
			}()
			preamble.Register(c.name, preamble.Info{}, c.parse)
		}()
	}
}

// protocols are the preambles of this package, by a spec that works for both roles.
func protocols(tb testing.TB) (specs []string) {
	tb.Helper()
	for _, info := range preamble.List() {
		if !strings.HasPrefix(info.Name, "test-") {
			specs = append(specs, info.Example)
		}
	}
	return specs
}

// Every preamble that a user can choose describes itself fully, and its example works.
func TestList(t *testing.T) {
	list := preamble.List()
	var names []string
	for _, info := range list {
		names = append(names, info.Name)
		if strings.HasPrefix(info.Name, "test-") {
			continue
		}
		if info.Summary == "" || info.Tested == "" {
			t.Errorf("%s: incomplete: %+v", info.Name, info)
		}
		if name, _, _ := strings.Cut(info.Example, ":"); name != info.Name {
			t.Errorf("%s: the example is %q", info.Name, info.Example)
		}
		parse(t, info.Example)
		_, err := preamble.Parse(info.Name + ":nonsense=1")
		if err == nil || !strings.HasPrefix(err.Error(), info.Name+": ") {
			t.Errorf("%s:nonsense=1: %v", info.Name, err)
		}
	}
	if !slices.Equal(names, preamble.Names()) || len(names) < 20 {
		t.Errorf("List has %q, Names has %q", names, preamble.Names())
	}
}

// framed makes Machines without framing that have a Preamble, as the rules for codecs want to see.
func framed(p frame.Preamble) frame.Maker {
	return func(role frame.Role) (frame.Machine, error) {
		raw, err := frame.Raw(role)
		return struct {
			frame.Machine
			frame.Preamble
		}{raw, p}, err
	}
}

// The rule: two Preambles understand each other with reads of any length, take no byte that comes after them, never
// wait for each other, and refuse noise, also without end, in bounded space.
func TestClientAndServer(t *testing.T) {
	secret := secretFile(t, "user:pass word\n")
	specs := append(protocols(t), "smtp", "lmtp", "xmpp", "xmpp:server", "rdp:cookie=user,hybrid",
		"mysql:version=5.7.1",
		"connect:[2001:db8::1]:443,secret="+secret, "socks5:192.0.2.1:22,secret="+secret, "socks5:[2001:db8::1]:22",
		"upgrade:TLS/1.0", "proxy", "proxy:v1", "proxy:v1,src=192.0.2.1:1,dst=[2001:db8::1]:65535",
		"proxy:crc,src=192.0.2.1:1,dst=192.0.2.2:2")
	rules := check.Rules()
	rule := rules[slices.IndexFunc(rules, func(r check.Rule) bool { return r.Name == "Preamble" })]
	for _, spec := range specs {
		if err := rule.Check(framed(parse(t, spec))); err != nil {
			t.Errorf("%s: %v", spec, err)
		}
	}
}
