package control

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/encase-tls/encase/cmd/encase/conf"
	"github.com/encase-tls/encase/cmd/encase/exit"
	"github.com/encase-tls/encase/cmd/encase/terminal"
	"github.com/encase-tls/encase/tun"
)

func statusCommand() *cobra.Command {
	t, asJSON, watch, every := &target{}, false, false, time.Second
	c := &cobra.Command{
		Use: "status [NAME]", Short: "Show a tunnel and its peers", Args: cobra.MaximumNArgs(1), Long: longStatus,
		RunE: func(c *cobra.Command, args []string) error {
			const least = 100 * time.Millisecond
			if asJSON && watch {
				return exit.Usagef("--json and --watch do not go together")
			}
			if every < least {
				return exit.Usagef("--interval %v is too short; the least is %v", every, least)
			}
			ask := func(ctx context.Context) (*State, error) {
				a, err := t.ask(ctx, nth(args, 0), Request{Do: Status})
				if err == nil && a.Status == nil {
					err = fmt.Errorf("the daemon says nothing of its status; is it another version?")
				}
				return a.Status, err
			}
			if watch {
				return watchStatus(c.Context(), c.OutOrStdout(), ask, every)
			}
			s, err := ask(c.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(c.OutOrStdout(), s)
			}
			return writeStatus(c.OutOrStdout(), terminal.Of(c.OutOrStdout()), s, nil)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write all there is as JSON")
	c.Flags().BoolVarP(&watch, "watch", "w", false, "show it again and again, with what has changed")
	c.Flags().DurationVar(&every, "interval", every, "with --watch, once in `TIME`")
	return t.flag(c)
}

const longStatus = `Show a tunnel: its interface, its peers and their connections, with carrier, codec,
cipher, round-trip time, loss, and what waits. With --watch it stays, and draws
rates, round trips, loss and queues of the last minute.

A connection that is marked with * is where packets go. "silent" means that packets
are not expected to arrive there at the moment.

With --json all there is, is written; encase(8) explains each field.

SEE ALSO

encase(8), encase-up(1), encase-ping(1), encase-mtu(1), encase-leases(1)`

// writeStatus writes a State for people; h, if it is not nil, is what went before.
func writeStatus(w io.Writer, show terminal.Terminal, s *State, h *history) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s, up %s, MTU %d, offloads %s\n", show.Paint(terminal.Bold, terminal.Text(s.Interface)), s.Role,
		age(s.Now.Sub(s.Started)), s.MTU, s.Offloads)
	for _, w := range s.OffloadsOff {
		fmt.Fprintf(&b, "  without offload %s: %s\n", w.Offload, terminal.Text(w.Why))
	}
	if len(s.Pending) > 0 {
		fmt.Fprintf(&b, "  %s %s\n", show.Paint(terminal.Yellow, "waits for a restart:"), strings.Join(s.Pending, ", "))
	}
	fmt.Fprintf(&b, "  confined: %s\n", s.Confined)
	writeEnds(&b, show, s)
	h.writeTotal(&b, show)
	if len(s.Sessions) == 0 {
		b.WriteString(map[string]string{"server": "  no clients\n", "client": "  " +
			show.Paint(terminal.Yellow, "not connected; the log says why") + "\n"}[s.Role])
	}
	for i := range s.Sessions {
		writeSession(&b, show, s, &s.Sessions[i], h)
	}
	writeStrangers(&b, show, s)
	_, err := io.WriteString(w, b.String())
	return err
}

// writeStrangers tells of those who are not, or not yet, clients.
func writeStrangers(b *strings.Builder, show terminal.Terminal, s *State) {
	var turned uint64
	load := false
	if g := s.Strangers; g != nil {
		turned, load = g.Full+g.PerAddress+g.Rate+g.Evicted, g.UnderLoad
	}
	for _, h := range s.Hellos {
		load = load || h.UnderLoad
	}
	if load {
		fmt.Fprintf(b, "  %s\n", show.Paint(terminal.Yellow, "under load: strangers get fewer places and less time"))
	}
	if s.Refused+s.Duplicates+turned+s.Unroutable > 0 {
		fmt.Fprintf(b, "  refused %d connections (%d of clients that were there), turned %d away; %d packets had nowhere to go\n",
			s.Refused, s.Duplicates, turned, s.Unroutable)
	}
}

// soon is when an end is worth telling.
const soon = conf.ExpiresSoon

// writeEnds writes what will expire.
func writeEnds(b *strings.Builder, show terminal.Terminal, s *State) {
	for _, e := range []struct {
		what string
		at   time.Time
	}{{"the certificate", s.Expires}, {"the list of revoked certificates", s.CRLExpires}} {
		if left := e.at.Sub(s.Now); !e.at.IsZero() && left < soon {
			fmt.Fprintf(b, "  %s\n", show.Paint(terminal.Red, fmt.Sprintf("%s expires in %s", e.what, age(left))))
		}
	}
}

func writeSession(b *strings.Builder, show terminal.Terminal, s *State, p *tun.Session, h *history) {
	fmt.Fprintf(b, "\n%s  %s  since %s", show.Paint(terminal.Green, terminal.Text(cmp.Or(p.Peer, "server"))),
		list(p.Addresses),
		age(s.Now.Sub(p.Since)))
	if len(p.Networks) > 0 {
		fmt.Fprintf(b, ", networks %s", list(p.Networks))
	}
	fmt.Fprintf(b, ", MTU %d (%s)\n", p.MTU, p.MTUSource)
	for i := range p.Connections {
		c := &p.Connections[i]
		mark := " "
		if c.Carrier == p.Active {
			mark = "*"
		}
		state := fmt.Sprintf("%.2f ms, %.0f %% lost", c.RTT, 100*c.Loss)
		if !c.Works {
			state = show.Paint(terminal.Red, "silent")
		}
		fmt.Fprintf(b, " %s %s  %s  %s  %s %s  %s\n", mark, c.Carrier, terminal.Text(c.Remote), shortCodec(c.Codec), c.TLS,
			c.Cipher, state)
		fmt.Fprintf(b, "     sent %s, received %s, queued %s, MTU %d (%s), keys %s old%s\n",
			bytesText(c.Stats.SentBytes), bytesText(c.Stats.ReceivedBytes), bytesText(uint64(c.Waiting)), c.MTU, c.Source,
			age(s.Now.Sub(c.Since)), drops(c))
	}
	h.writePeer(b, show, p)
}

// shortCodec returns a codec without a description that is too long to be shown.
func shortCodec(spec string) string {
	const most = 30
	if len(spec) > most {
		spec = spec[:most] + "..."
	}
	return terminal.Text(spec)
}

// drops tells what was dropped, if something was.
func drops(c *tun.Connection) string {
	var parts []string
	for _, d := range []struct {
		n    uint64
		what string
	}{
		{c.Stats.DroppedFull, "full"}, {c.Stats.DroppedLate, "late"}, {c.Stats.Spoofed, "spoofed"},
		{c.Stats.Refused, "malformed"}, {c.Stats.TooBig, "too big"}, {c.Stats.Unreachable, "not allowed"}, {c.Flooded, "control"},
	} {
		if d.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", d.n, d.what))
		}
	}
	if parts == nil {
		return ""
	}
	return "; dropped " + strings.Join(parts, ", ")
}

// age writes a time with its two greatest units.
func age(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

// bytesText writes a number of bytes with three digits.
func bytesText(n uint64) string {
	f, unit := float64(n), "B"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f < 1000 {
			break
		}
		f, unit = f/1024, u
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.3g %s", f, unit)
}
