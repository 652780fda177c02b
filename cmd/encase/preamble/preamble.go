// Package preamble is the command "encase preamble": which dialogues there are that come before TLS.
package preamble

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/encase-tls/encase/cmd/encase/exit"
	"github.com/encase-tls/encase/cmd/encase/terminal"
	"github.com/encase-tls/encase/codecs/preamble"
)

// Command returns the command with its subcommands.
func Command() *cobra.Command {
	c := &cobra.Command{
		Use:   "preamble",
		Short: "List and describe the dialogues that come before TLS",
		Long: `A preamble is a dialogue in clear that comes before the first byte of TLS, such
as STARTTLS of a mail server, or a request to a web proxy. It is named by a SPEC:
a name, or a name, a colon and an argument: postgres, smtp:name=mail.example,
connect:db.example:5432. encase forward and encase connect take it as --preamble.

All that is said in a preamble travels in clear, and no answer can make this
program go on without the TLS that was asked for.`,
		Example: `  encase preamble list
  encase preamble show proxy`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(listCommand(), showCommand())
	return c
}

func listCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the preambles of this program",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return list(c.OutOrStdout(), preamble.List())
		},
	}
}

func showCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show NAME",
		Short:   "Show what a preamble is, how its SPEC is written and what it was tested with",
		Example: "  encase preamble show socks5",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			name, _, _ := strings.Cut(args[0], ":")
			for _, info := range preamble.List() {
				if info.Name == name {
					return show(c.OutOrStdout(), info)
				}
			}
			return exit.Usagef("there is no preamble %q; there are %s (see: encase preamble list)",
				name, strings.Join(preamble.Names(), ", "))
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) (names []string, _ cobra.ShellCompDirective) {
			for _, info := range preamble.List() {
				names = append(names, info.Name+"\t"+info.Summary)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// list writes a table of the preambles, with an example below each.
func list(w io.Writer, all []preamble.Info) error {
	width := 0
	for _, p := range all {
		width = max(width, len(p.Name))
	}
	var b strings.Builder
	for _, p := range all {
		fmt.Fprintf(&b, "%-*s  %s\n%*s  e.g. %s\n", width, p.Name, p.Summary, width, "", cmp.Or(p.Example, p.Name))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// show writes all that is known of one.
func show(w io.Writer, p preamble.Info) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\nSPEC\n    %s", p.Name, p.Summary, p.Name)
	if p.Syntax != "" {
		b.WriteString(":" + strings.ReplaceAll(p.Syntax, "\n", "\n    "))
	}
	fmt.Fprintf(&b, "\n\nEXAMPLE\n    %s\n\nTESTED WITH\n", cmp.Or(p.Example, p.Name))
	for _, line := range terminal.Wrap(p.Tested, terminal.Of(w).Columns()-len("    ")) {
		b.WriteString("    " + line + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
