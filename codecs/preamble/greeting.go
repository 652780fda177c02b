package preamble

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/encase-tls/encase/frame"
)

// Greeting is what a server says first in a protocol of lines, and nothing else: no TLS follows. It is for the plain
// side of a program that begins TLS on its other side: there the greeting has been said, in clear, and is not said
// again. As a client Greeting takes the server's greeting away; as a server it greets in the place of the one behind.
type Greeting struct {
	Of   string // the name of a preamble that GreetingOf knows: "smtp"
	Name string // what a mail server calls itself; empty: "localhost"
}

// greetings are the protocols in which the server speaks first, before TLS and not behind it.
var greetings = map[string]struct {
	line func(name string) string // without CR LF
	read func(*talk) error
}{
	"smtp": {func(name string) string { return "220 " + name + " ESMTP" }, greeted220},
	"lmtp": {func(name string) string { return "220 " + name + " LMTP" }, greeted220},
	"ftp":  {func(string) string { return "220 ready" }, greeted220},
	"imap": {func(string) string { return "* OK ready" }, greetedIMAP},
	"pop3": {func(string) string { return "+OK ready" }, greetedPOP3},
	"nntp": {func(string) string { return "200 ready" }, greetedNNTP},
}

func init() {
	Register("greeting", Info{
		Summary: "greeting of a server that another side has had already, no TLS",
		Syntax: "PROTOCOL[,name=HOST]\n" +
			"PROTOCOL   " + strings.Join(greetingNames(), ", ") + "\n" +
			"HOST       what a mail server calls itself (default: localhost)",
		Example: "greeting:smtp",
		Tested:  "own vectors",
	}, parseGreeting)
}

func greetingNames() []string { return slices.Sorted(maps.Keys(greetings)) }

func parseGreeting(arg string) (frame.Preamble, error) {
	var g Greeting
	err := parseOptions("greeting", arg, option{"", "PROTOCOL", into(&g.Of)}, option{"name", "HOST", into(&g.Name)})
	if err != nil {
		return nil, err
	}
	return g, g.check()
}

func (g Greeting) check() error {
	if _, ok := greetings[g.Of]; !ok {
		return fmt.Errorf("greeting: bad protocol %q (have %s)", g.Of, strings.Join(greetingNames(), ", "))
	}
	if g.Name != "" && !isWord(g.Name) {
		return fmt.Errorf("greeting: bad name %q (allowed: the name of a host)", g.Name)
	}
	return nil
}

// GreetingOf returns what the other, plain side needs where p is held on one side; ok is false if that is nothing.
func GreetingOf(p frame.Preamble) (g Greeting, ok bool) {
	switch p := p.(type) {
	case SMTP:
		name, _ := p.protocol()
		return Greeting{Of: name, Name: p.Name}, true
	case FTP:
		return Greeting{Of: "ftp"}, true
	case IMAP:
		return Greeting{Of: "imap"}, true
	case POP3:
		return Greeting{Of: "pop3"}, true
	case NNTP:
		return Greeting{Of: "nntp"}, true
	}
	return Greeting{}, false
}

// Exchange implements [frame.Preamble].
func (g Greeting) Exchange(_ context.Context, p frame.Peeker, role frame.Role) error {
	if err := g.check(); err != nil {
		return err
	}
	of := greetings[g.Of]
	return hold("greeting", p, role, of.read, func(t *talk) error {
		return t.sendLine("the greeting", of.line(cmp.Or(g.Name, "localhost")))
	})
}

func greeted220(t *talk) error {
	_, err := t.reply("the greeting 220", notServing, "220")
	return err
}

func greetedNNTP(t *talk) error {
	_, err := t.reply("the greeting 200 or 201", notServing, "200", "201")
	return err
}

func greetedPOP3(t *talk) error { return pop3Answer(t, "the greeting +OK", notServing) }

func greetedIMAP(t *talk) error {
	const want = "the greeting * OK"
	line, err := t.line(want)
	if err != nil {
		return err
	}
	star, rest := cutVerb(line)
	status, _ := cutVerb(rest)
	switch {
	case star != "*":
		return t.wrong(want, []byte(line), "")
	case status == "PREAUTH":
		return t.refused(want, show(line), "a connection that is logged in already cannot begin TLS; "+
			"someone on the path may want to prevent it")
	case status != "OK":
		return t.refused(want, show(line), notServing)
	}
	return nil
}
