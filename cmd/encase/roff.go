package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// order is that of man-pages(7). A section that is not in it comes behind the examples.
var order = []string{
	"NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "OPTIONS", "EXAMPLE", "",
	"EXIT STATUS", "ENVIRONMENT", "FILES", "SEE ALSO",
}

// sections are those of a manual page. The help text has some of its own, which the generator puts in front of the
// options; they find their place here.
type sections struct {
	head string // what comes before the first
	list []section
}

type section struct{ name, body string }

// split takes a page apart. Sections with the same name become one.
func split(page string) *sections {
	parts := strings.Split(page, "\n.SH ")
	s := &sections{head: parts[0]}
	for _, part := range parts[1:] {
		name, body, _ := strings.Cut(part, "\n")
		if i := s.find(name); i >= 0 {
			s.list[i].body += ",\n" + strings.TrimSpace(body) // of SEE ALSO
			continue
		}
		s.list = append(s.list, section{name, strings.TrimSpace(body)})
	}
	return s
}

func (s *sections) find(name string) int {
	return slices.IndexFunc(s.list, func(have section) bool { return have.name == name })
}

// set replaces a section, or adds it.
func (s *sections) set(name, body string) {
	if i := s.find(name); i >= 0 {
		s.list[i].body = body
		return
	}
	s.list = append(s.list, section{name, body})
}

// String returns the page. A hyphen of an option is made one that can be copied.
func (s *sections) String() string {
	slices.SortStableFunc(s.list, func(a, b section) int { return rank(a.name) - rank(b.name) })
	var b strings.Builder
	b.WriteString(strings.TrimSpace(s.head) + "\n")
	for _, part := range s.list {
		body := strings.ReplaceAll(part.body, "--", `\-\-`)
		fmt.Fprintf(&b, ".SH %s\n%s\n", part.name, body)
	}
	return b.String()
}

func rank(name string) int {
	if i := slices.Index(order, name); i >= 0 {
		return i
	}
	return slices.Index(order, "")
}

// synopsis is the command line, with hyphens at which no line is broken.
func synopsis(c *cobra.Command) string {
	args := strings.TrimPrefix(c.UseLine(), c.CommandPath())
	if c.HasAvailableSubCommands() {
		args = " COMMAND"
	}
	return `\fB` + c.CommandPath() + `\fP` + strings.ReplaceAll(args, "-", `\-`)
}

// commands lists the subcommands of c as roff, "" if there are none.
func commands(c *cobra.Command) string {
	var b strings.Builder
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			fmt.Fprintf(&b, ".TP\n\\fB%s\\fP\n%s\n", sub.Name(), sub.Short)
		}
	}
	return strings.TrimSpace(b.String())
}

// options lists the flags of c as roff.
func options(c *cobra.Command) string {
	var b strings.Builder
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		b.WriteString(".TP\n")
		if f.Shorthand != "" {
			fmt.Fprintf(&b, `\fB\-%s\fP, `, f.Shorthand)
		}
		fmt.Fprintf(&b, `\fB--%s\fP`, strings.ReplaceAll(f.Name, "-", `\-`))
		if value != "" {
			fmt.Fprintf(&b, ` \fI%s\fP`, value)
		}
		b.WriteString("\n" + usage)
		if shown(f) {
			fmt.Fprintf(&b, " (default %s)", f.DefValue)
		}
		b.WriteString("\n")
	})
	return strings.TrimSpace(b.String())
}

// shown reports whether the default of f says something.
func shown(f *pflag.Flag) bool {
	return f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]"
}
