package control

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/encase-tls/encase/cmd/encase/terminal"
	"github.com/encase-tls/encase/tun"
)

func mtuCommand() *cobra.Command {
	t, search, asJSON := &target{}, false, false
	c := &cobra.Command{
		Use: "mtu [CLIENT]", Short: "Show how long packets may be on the way to the other end",
		Args: cobra.MaximumNArgs(1), Long: longMTU,
		RunE: func(c *cobra.Command, args []string) error {
			a, err := t.ask(c.Context(), "", Request{Do: MTU, Who: nth(args, 0), Search: search})
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(c.OutOrStdout(), a.Paths)
			}
			return writePaths(c.OutOrStdout(), a.Paths, time.Now())
		},
	}
	c.Flags().BoolVar(&search, "probe", false, "search anew, and wait until that is done")
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return t.flag(c)
}

const longMTU = `Show how long packets may be that go to the other end of a tunnel, and that come from
there, on each connection. On a server, name the client, or all are shown.

Each end finds out for itself, with probes, how long the packets may be that it sends
over datagrams. Where the number comes from is written behind it:

  configured  the path carries all that interface.mtu and the mtu of the endpoint allow
  probed      probes of this length arrive, longer ones do not
  kernel      a link of this machine is narrow, or ICMP has said that another is

With --probe this end verifies and searches at once, not only after its timers. The
kernel remembers for ten minutes what ICMP has said: "ip route flush cache" makes it
forget that. The other direction is for the other end to search.

SEE ALSO

encase-status(1), encase-ping(1), encase.toml(5)`

// writePaths writes paths for people.
func writePaths(w io.Writer, paths []tun.PathMTU, now time.Time) error {
	if len(paths) == 0 {
		return fmt.Errorf("there is no connection; see: encase status")
	}
	var b strings.Builder
	peer := ""
	for _, p := range paths {
		if p.Peer != peer {
			peer = p.Peer
			fmt.Fprintf(&b, "%s\n", terminal.Text(peer))
		}
		fmt.Fprintf(&b, "  %s %s\n", p.Carrier, terminal.Text(p.Remote))
		writePath(&b, &p, now)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writePath(b *strings.Builder, p *tun.PathMTU, now time.Time) {
	fmt.Fprintf(b, "    there  %d bytes (%s)", p.To, p.Source)
	if p.Datagram > 0 {
		fmt.Fprintf(b, " in datagrams of %d", p.Datagram)
	}
	if p.To < p.Most {
		fmt.Fprintf(b, "; %d are configured", p.Most)
	}
	from := "not known yet"
	if p.From > 0 {
		from = fmt.Sprintf("%d bytes", p.From)
	}
	fmt.Fprintf(b, "\n    back   %s\n", from)
	if p.Datagram == 0 {
		return
	}
	state := "settled"
	if !p.Searched.IsZero() {
		state = "searched " + age(now.Sub(p.Searched)) + " ago"
	}
	if p.State != "settled" {
		state = p.State
	}
	fmt.Fprintf(b, "    %s; %d probes, %d answered; narrower without a word %d times, told so %d times\n",
		cmp.Or(state, "not begun"), p.Probes, p.Answers, p.Holes, p.Narrowed)
}
