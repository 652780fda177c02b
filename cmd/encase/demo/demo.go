// Package demo is the command "encase demo": a web server and a client that talk through TLS in the framing of a codec,
// what can be seen of that on the wire, and what it costs.
package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/encase-tls/encase/cmd/encase/codec"
	"github.com/encase-tls/encase/cmd/encase/terminal"
)

// limit is for a machine or a codec that is far slower than any that was thought of.
const limit = 3 * time.Minute

// options are the flags.
type options struct {
	codec  *codec.Flag
	frames uint
	size   size
	json   bool
	tunnel bool
}

// Command returns the command.
func Command() *cobra.Command {
	o := &options{size: 256 << 20}
	c := &cobra.Command{
		Use:     "demo",
		Short:   "Show what TLS in a codec looks like and costs, on this machine alone",
		Long:    long,
		Example: example,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), limit)
			defer cancel()
			if o.tunnel {
				return o.runTunnel(ctx, c)
			}
			return o.run(ctx, c)
		},
	}
	o.codec = codec.AddFlag(c, "length:16be")
	c.Flags().UintVar(&o.frames, "frames", 6, "draw the first `N` frames")
	c.Flags().Var(&o.size, "size", "carry `SIZE` in bulk: bytes, or with KiB, MiB, GiB")
	c.Flags().BoolVar(&o.json, "json", false, "write the results as JSON, and nothing else")
	c.Flags().BoolVar(&o.tunnel, "tunnel", false, "show a tunnel instead, of a server and two clients; it needs root")
	return c
}

const long = `Start a web server and a client in this process and let them talk through TLS in
the framing of a codec, over TCP on the loopback interface. Draw the first frames
as they travelled, show what the handshake agreed on, carry data in bulk and
compare what arrived with what was sent, and measure the throughput side by side
with Go's crypto/tls over plain TCP.

Nothing leaves the machine, and nothing is needed: the certificates are made in
memory. The last line says whether all went well.

The throughput is that of both ends together on this machine: half of the work is
the server's. Rounds with and without the codec alternate; medians are compared.
crypto/tls sends each record with a system call of its own, encase several at
once, which helps to pay for the framing. Other programs that run meanwhile
disturb a round more than the codec does: look at the range, too.

With --tunnel the demonstration is one of "encase up": a server and two clients,
each in a network namespace of its own, one over UDP, one over a stream in a
protocol that is described on the spot. Packets of this machine's kernel go through
both, and on a terminal a live picture shows them. Namespaces and interfaces vanish
with the program, however that ends.

EXIT STATUS

    0   what arrived is what was sent
    1   something failed
    2   the command line is wrong

SEE ALSO

encase-codec(1), encase-connect(1)`

const example = `  encase demo
  encase demo --codec length:32le,incl --frames 2
  encase demo --codec websocket --size 1GiB
  encase demo --json | jq .ratio
  sudo encase demo --tunnel`

// results is what --json writes.
type results struct {
	Codec     string     `json:"codec"`
	OK        bool       `json:"ok"`
	Frames    int        `json:"frames"`       // of the request and its answer
	Version   string     `json:"tls_version"`  // as TLS 1.3
	Suite     string     `json:"cipher_suite"` // the name registered with IANA
	Group     string     `json:"key_exchange"` // the name of the group
	ALPN      string     `json:"alpn"`         // the application protocol
	Bytes     int64      `json:"bytes"`        // carried in bulk
	Seconds   float64    `json:"seconds"`      // that took, hashing included
	SHA256    string     `json:"sha256"`       // of what arrived
	Encase    throughput `json:"encase"`       // with the codec
	CryptoTLS throughput `json:"crypto_tls"`   // without
	Ratio     float64    `json:"ratio"`        // of the medians, encase by crypto/tls
}

// run is the whole demonstration.
func (o *options) run(ctx context.Context, c *cobra.Command) error {
	out := c.OutOrStdout()
	s := &stage{out: out, show: terminal.Of(out)}
	if o.json {
		s = &stage{out: nowhere{}}
	}
	w, err := newWorld(o.codec.Maker)
	if err != nil {
		return err
	}
	r := &results{Codec: o.codec.Spec}
	for _, act := range []func(context.Context, *stage, *world, *results) error{o.web, o.carry, o.compare} {
		if err := act(ctx, s, w, r); err != nil {
			return explain(ctx, err)
		}
	}
	r.OK = true
	if o.json {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	s.line("%s", s.show.Paint(terminal.Green, verdict(r)))
	return s.err
}

func verdict(r *results) string {
	return fmt.Sprintf("ok: %s intact through TLS in %s frames, %.2f times crypto/tls",
		size(r.Bytes).text(), name(r.Codec), r.Ratio)
}

// explain says whose time it was that ended.
func explain(ctx context.Context, err error) error {
	if ctx.Err() == context.DeadlineExceeded {
		return fmt.Errorf("not done after %v; a smaller --size helps: %w", limit, err)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted: %w", ctx.Err())
	}
	return err
}
