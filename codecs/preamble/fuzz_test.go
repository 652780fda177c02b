package preamble_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/encase-tls/encase/frame"
)

func FuzzConnect(f *testing.F)  { fuzz(f, "connect") }
func FuzzFTP(f *testing.F)      { fuzz(f, "ftp") }
func FuzzGreeting(f *testing.F) { fuzz(f, "greeting") }
func FuzzIMAP(f *testing.F)     { fuzz(f, "imap") }
func FuzzIRC(f *testing.F)      { fuzz(f, "irc") }
func FuzzLDAP(f *testing.F)     { fuzz(f, "ldap") }
func FuzzLMTP(f *testing.F)     { fuzz(f, "lmtp") }
func FuzzMySQL(f *testing.F)    { fuzz(f, "mysql") }
func FuzzNBD(f *testing.F)      { fuzz(f, "nbd") }
func FuzzNNTP(f *testing.F)     { fuzz(f, "nntp") }
func FuzzPOP3(f *testing.F)     { fuzz(f, "pop3") }
func FuzzPostgres(f *testing.F) { fuzz(f, "postgres") }
func FuzzProxy(f *testing.F)    { fuzz(f, "proxy") }
func FuzzRDP(f *testing.F)      { fuzz(f, "rdp") }
func FuzzSieve(f *testing.F)    { fuzz(f, "sieve") }
func FuzzSMTP(f *testing.F)     { fuzz(f, "smtp") }
func FuzzSOCKS5(f *testing.F)   { fuzz(f, "socks5") }
func FuzzTelnet(f *testing.F)   { fuzz(f, "telnet") }
func FuzzUpgrade(f *testing.F)  { fuzz(f, "upgrade") }
func FuzzXMPP(f *testing.F)     { fuzz(f, "xmpp") }

// Every parser has a target.
func TestEveryPreambleIsFuzzed(t *testing.T) {
	have := readFile(t, "fuzz_test.go")
	for _, spec := range protocols(t) {
		if name, _, _ := strings.Cut(spec, ":"); !strings.Contains(have, `fuzz(f, "`+name+`")`) {
			t.Errorf("%s is not", name)
		}
	}
}

// fuzz gives the preambles of a name bytes from their peer, starting from the dialogues and the refusals.
func fuzz(f *testing.F, name string) {
	var specs []string
	seed := func(spec, said string, role frame.Role) {
		if n, _, _ := strings.Cut(spec, ":"); n != name {
			return
		}
		i := slices.Index(specs, spec)
		if i < 0 {
			i = len(specs)
			specs = append(specs, spec)
		}
		f.Add(byte(i), byte(role), []byte(said))
	}
	for _, d := range dialogues {
		seed(d.spec, d.said, d.role)
	}
	for _, r := range refusals {
		seed(r.spec, r.said, r.role)
	}
	f.Fuzz(func(t *testing.T, i, role byte, said []byte) {
		spec := specs[int(i)%len(specs)]
		if (spec == "connect" || spec == "socks5") && role&1 == byte(frame.Client) {
			t.Skip("a client needs a target")
		}
		fuzzed(t, parse(t, spec), frame.Role(role&1), string(said))
	})
}

// fuzzed checks that a dialogue ends well or with a proper error, and that what comes behind it has no part in it.
func fuzzed(t *testing.T, p frame.Preamble, role frame.Role, said string) {
	s := newScript(strings.NewReader(said))
	err := p.Exchange(context.Background(), s, role)
	if err != nil {
		checkError(t, err)
	}
	if max := 64<<10 + 64*len(said); s.heard.Len() > max {
		t.Errorf("it answers %d bytes with %d", len(said), s.heard.Len())
	}
	if err != nil {
		return
	}
	left, _ := io.ReadAll(s.Reader)
	taken := strings.TrimSuffix(said, string(left))
	if _, rest, err := play(t, p, role, taken+"\x16\x03"); err != nil || rest != "\x16\x03" {
		t.Errorf("with other bytes behind it: %v, left: %q", err, rest)
	}
}
