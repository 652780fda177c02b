// Package connect is the command "encase connect": standard input and output through TLS or DTLS in the framing of a
// codec.
package connect

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/encase-tls/encase/cmd/encase/codec"
	"github.com/encase-tls/encase/cmd/encase/exit"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// options are the flags.
type options struct {
	codec           *codec.Flag
	listen          bool
	fifoIn, fifoOut string
	ca, cert, key   string
	serverName      string
	alpn            []string
	min, max        version
	preambles       []string
	timeout         time.Duration
	datagrams       datagramOptions
	verbose, quiet  bool
}

func (o *options) role() frame.Role {
	if o.listen {
		return frame.Server
	}
	return frame.Client
}

// Command returns the command.
func Command() *cobra.Command {
	o := &options{}
	c := &cobra.Command{
		Use:     "connect [flags] HOST:PORT | unix:PATH | --fifo-in PATH --fifo-out PATH",
		Short:   "Carry standard input and output through TLS or DTLS in a codec",
		Long:    long,
		Example: example,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if name := o.datagrams.given(c.Flags()); name != "" && !o.datagrams.on {
				return exit.Usagef("--%s is for DTLS: give --dtls", name)
			}
			at, err := o.endpoint(args)
			if err != nil {
				return err
			}
			if o.datagrams.on {
				return o.explain(o.runDatagrams(c, at))
			}
			cfg, err := o.config(at)
			if err != nil {
				return err
			}
			s := newSession(c, o, at, cfg)
			return o.explain(s.run(c.Context()))
		},
	}
	o.codec = codec.AddFlag(c, "raw")
	o.codec.Datagrams = true // config looks
	f := c.Flags()
	f.BoolVarP(&o.listen, "listen", "l", false, "be the server: wait for one connection")
	f.StringVar(&o.fifoIn, "fifo-in", "", "read frames from the FIFO or device `PATH`")
	f.StringVar(&o.fifoOut, "fifo-out", "", "write frames to the FIFO or device `PATH`")
	f.StringVar(&o.ca, "ca", "", "PEM `FILE` of authorities to trust; a server then demands certificates")
	f.StringVar(&o.cert, "cert", "", "PEM `FILE` with the own certificate and what links it to its authority")
	f.StringVar(&o.key, "key", "", "PEM `FILE` with its private key; the default is the file of --cert")
	f.StringVar(&o.serverName, "server-name", "", "`NAME` that the server must prove; the default is HOST")
	f.StringSliceVar(&o.alpn, "alpn", nil, "application `PROTOCOLS`, comma-separated, the preferred first")
	f.Var(&o.min, "min-version", "oldest `VERSION` of TLS to accept: 1.2 or 1.3 (default 1.2)")
	f.Var(&o.max, "max-version", "newest `VERSION` of TLS to accept: 1.2 or 1.3 (default 1.3)")
	f.StringArrayVar(&o.preambles, "preamble", nil, "`DIALOGUE` before TLS, such as smtp, postgres, connect:HOST:PORT; "+
		"several follow each other, see encase-preamble(1)")
	f.DurationVar(&o.timeout, "timeout", wrap.DefaultHandshakeTimeout, "longest `DURATION` of connecting or handshake")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "draw frames and the result of the handshake on standard error")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "say nothing but errors")
	o.datagrams.addFlags(f)
	c.MarkFlagsMutuallyExclusive("verbose", "quiet")
	c.MarkFlagsRequiredTogether("fifo-in", "fifo-out")
	return c
}

// A version is the value of --min-version and --max-version; 0 if it was not given.
type version uint16

func (v *version) Type() string { return "VERSION" }

func (v *version) String() string {
	for text, number := range versions {
		if number == *v {
			return text
		}
	}
	return ""
}

func (v *version) Set(s string) error {
	number, ok := versions[s]
	if !ok {
		return fmt.Errorf("there are 1.2 and 1.3")
	}
	*v = number
	return nil
}
