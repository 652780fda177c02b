package codec

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/encase-tls/encase/frame"
)

func benchCommand() *cobra.Command {
	var asJSON bool
	var span time.Duration
	c := &cobra.Command{
		Use:   "bench SPEC",
		Short: "Measure what encoding and decoding a frame costs",
		Long: `Measure time and allocations for each frame, of payloads that fill a packet and
of the longest TLS records: 1350 and 16384 bytes, or as many as the codec takes.
The payload is random, as ciphertext is.

For a codec that changes the payload in place, restoring it is measured as well
and subtracted. A protocol that cuts payloads, or answers, is measured as a
client and a server in memory, and its times are for the payload, not the frame:
of "encode" what the client does to send, of "decode" all that it takes to
arrive.`,
		Example: `  encase codec bench length:16be
  encase codec bench desc:demo.frame --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: complete,
		RunE: func(c *cobra.Command, args []string) error {
			d, err := parse(args[0])
			if err != nil {
				return err
			}
			costs, err := d.bench(span)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(c.OutOrStdout(), costs)
			}
			return writeCosts(c.OutOrStdout(), d.spec, costs)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON array")
	c.Flags().DurationVar(&span, "time", 300*time.Millisecond, "`HOW LONG` each of the four measurements takes")
	return c
}

// A cost is that of one operation.
type cost struct {
	Codec   string  `json:"codec"`
	Do      string  `json:"do"`      // "encode" or "decode"
	Payload int     `json:"payload"` // in bytes
	Frame   int     `json:"frame"`   // in bytes: of all frames, if it takes several
	NS      float64 `json:"ns"`      // for each payload
	MBs     float64 `json:"mb_per_s"`
	Allocs  float64 `json:"allocs"` // for each payload
}

func (d *description) cost(do string, payload, frame int, m measurement) cost {
	c := cost{Codec: d.spec, Do: do, Payload: payload, Frame: frame, NS: m.ns, Allocs: m.allocs}
	if m.ns > 0 {
		c.MBs = float64(payload) / m.ns * 1e3
	}
	return c
}

// bench measures encode and decode, each for two payloads.
func (d *description) bench(span time.Duration) ([]cost, error) {
	m, err := d.maker(frame.Client)
	if err != nil {
		return nil, err
	}
	var all []cost
	for _, n := range []int{1350, 16384} {
		n = min(n, m.Limits().Max)
		measure := d.measureCouple
		if _, _, ok := frame.CodecsOf(m); ok {
			measure = d.measureCodec
		}
		costs, err := measure(n, span)
		if err != nil {
			return nil, err
		}
		all = append(all, costs...)
		if n == m.Limits().Max {
			break
		}
	}
	return all, nil
}

func writeCosts(w io.Writer, spec string, costs []cost) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n  %-8s%9s%9s%11s%11s%9s\n", spec, "", "payload", "frame", "ns", "MB/s", "allocs")
	for _, c := range costs {
		fmt.Fprintf(&b, "  %-8s%9d%9d%11.1f%11.0f%9.0f\n", c.Do, c.Payload, c.Frame, c.NS, c.MBs, c.Allocs)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
