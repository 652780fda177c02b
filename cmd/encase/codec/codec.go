// Package codec is the command "encase codec": which codecs there are, and what one of them does to a record.
package codec

import (
	"cmp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/encase-tls/encase/cmd/encase/exit"
	"github.com/encase-tls/encase/cmd/encase/terminal"
	"github.com/encase-tls/encase/codecs"
)

// Command returns the command with its subcommands.
func Command() *cobra.Command {
	c := &cobra.Command{
		Use:   "codec",
		Short: "Codecs, what TLS can travel in: list, make, check, measure and look into them",
		Long: `A codec is the framing that TLS or DTLS travels in: a length in front, the
frames of another protocol, a dialogue before the first byte. It is named by a
SPEC: a name, or a name, a colon and an argument, such as raw, length:16be or
length:32le,incl. Every command of encase that carries TLS takes a SPEC.

A codec authenticates nothing. TLS inside protects the data; what is outside
the TLS record is at the mercy of whoever is on the path.`,
		Example: `  encase codec list
  encase codec show length:32le,incl
  encase codec new demo --lang desc
  encase codec check desc:demo/demo.frame
  encase codec inspect traffic.pcap --codec desc:demo/demo.frame`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(benchCommand(), checkCommand(), decodeCommand(), dissectorCommand(), docCommand(), encodeCommand(),
		inspectCommand(), listCommand(), newCommand(), showCommand())
	return c
}

func listCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the codecs of this program",
		Long: `List the codecs of this program: their names, what kind of protocol they are,
what carries their frames, what they were tested against, and a SPEC that works
as it is. All of them work as client and as server.`,
		Example: "  encase codec list",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return list(c.OutOrStdout(), codecs.List())
		},
	}
}

func showCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME|SPEC",
		Short: "Show what a codec does: limits, room in a packet, an example",
		Long: `Show what a codec is, how its SPEC is written, what lies where in a frame if its
header is a fixed one, and what it costs: the bytes around each payload, the
longest payload, and how much data is left in a packet where the MTU is 1500 or
1280 bytes, over TLS and DTLS. Then encode a real ClientHello with it and draw
the frame.

For a NAME without an argument the codec's own example is shown.`,
		Example: `  encase codec show length
  encase codec show length:16be,prefix=0300,incl`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: complete,
		RunE: func(c *cobra.Command, args []string) error {
			d, err := parse(shown(args[0]))
			if err != nil {
				return err
			}
			return d.show(c.OutOrStdout(), terminal.Of(c.OutOrStdout()))
		},
	}
}

// shown returns the spec that show has to explain: a codec's name alone stands for its example.
func shown(arg string) string {
	for _, info := range codecs.List() {
		if info.Name == arg {
			return cmp.Or(info.Example, arg)
		}
	}
	return arg
}

// parse returns the codec that a spec describes, taken literally: what travels must be what was asked for.
func parse(spec string) (*description, error) {
	name, _, _ := strings.Cut(spec, ":")
	d := &description{spec: spec}
	for _, info := range codecs.List() {
		if info.Name == name {
			d.info = info
		}
	}
	if d.info.Name == "" {
		return nil, exit.Usagef("there is no codec %q; there are %s (see: encase codec list)",
			name, strings.Join(codecs.Names(), ", "))
	}
	maker, err := codecs.Parse(spec)
	if err != nil {
		return nil, exit.Usagef("%w", err)
	}
	d.maker = maker
	return d, nil
}
