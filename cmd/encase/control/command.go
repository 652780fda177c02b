package control

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/encase-tls/encase/cmd/encase/complete"
	"github.com/encase-tls/encase/cmd/encase/exit"
	"github.com/encase-tls/encase/cmd/encase/terminal"
)

// runFolder is where the sockets of daemons are.
const runFolder = "/run/encase"

// Commands returns the commands that talk with a daemon. cleanUp takes away what a daemon that was killed has left of
// the interface with a name.
func Commands(cleanUp func(name string) error) []*cobra.Command {
	return []*cobra.Command{
		downCommand(cleanUp), reloadCommand(), statusCommand(), leasesCommand(), kickCommand(), banCommand(), pingCommand(),
		mtuCommand(),
	}
}

// A target is the daemon that a command line means.
type target struct{ socket string }

func (t *target) flag(c *cobra.Command) *cobra.Command {
	c.Flags().StringVar(&t.socket, "socket", "", "talk with the daemon at `PATH`, instead of "+runFolder+"/NAME.sock")
	if c.ValidArgsFunction == nil {
		c.ValidArgsFunction = complete.Names(runFolder, ".sock")
	}
	return c
}

// clients completes the name of a client, which the daemon is asked for.
func (t *target) clients(words ...string) cobra.CompletionFunc {
	return complete.First(func(c *cobra.Command) []string {
		const quick = time.Second // a shell waits
		ctx, cancel := context.WithTimeout(context.Background(), quick)
		defer cancel()
		names := words
		if a, err := t.ask(ctx, "", Request{Do: Status}); err == nil && a.Status != nil {
			for i := range a.Status.Sessions {
				names = append(names, a.Status.Sessions[i].Peer)
			}
		}
		return names
	})
}

// path returns the socket: by name, or the only one that there is.
func (t *target) path(name string) (string, error) {
	switch {
	case t.socket != "" && name != "":
		return "", exit.Usagef("give a NAME, or --socket PATH")
	case t.socket != "":
		return t.socket, nil
	case name != "":
		return filepath.Join(runFolder, filepath.Base(name)+".sock"), nil
	}
	all, err := filepath.Glob(runFolder + "/*.sock")
	if err != nil || len(all) == 0 {
		return "", fmt.Errorf("no tunnel is up on this machine; start one with: encase up -c FILE")
	}
	if len(all) > 1 {
		return "", exit.Usagef("which tunnel? There are %s: give a NAME or --socket", namesOf(all))
	}
	return all[0], nil
}

func namesOf(paths []string) string {
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = strings.TrimSuffix(filepath.Base(p), ".sock")
	}
	return strings.Join(names, ", ")
}

// ask sends a request to the daemon of a name, which may be empty.
func (t *target) ask(ctx context.Context, name string, q Request) (Answer, error) {
	path, err := t.path(name)
	if err != nil {
		return Answer{}, err
	}
	return Ask(ctx, path, q)
}

// tell prints what the daemon has to say.
func (t *target) tell(c *cobra.Command, name string, q Request) error {
	a, err := t.ask(c.Context(), name, q)
	if err == nil {
		_, err = fmt.Fprintln(c.OutOrStdout(), terminal.Message(a.Text))
	}
	return err
}

// nth returns an argument, empty if it is not there.
func nth(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}

func downCommand(cleanUp func(string) error) *cobra.Command {
	t, clean := &target{}, false
	c := &cobra.Command{
		Use: "down [NAME]", Short: "End a tunnel", Args: cobra.MaximumNArgs(1), Long: longDown,
		RunE: func(c *cobra.Command, args []string) error {
			if !clean {
				return t.tell(c, nth(args, 0), Request{Do: Down})
			}
			if len(args) != 1 {
				return exit.Usagef("--clean needs the NAME of the interface")
			}
			path, err := t.path(args[0])
			if err != nil {
				return err
			}
			if _, err := Ask(c.Context(), path, Request{Do: Status}); err == nil {
				return fmt.Errorf("%s is up; end it first with: encase down %[1]s", args[0])
			}
			return cleanUp(args[0])
		},
	}
	c.Flags().BoolVar(&clean, "clean", false, "take away what a daemon that was killed has left: kill switch, name "+
		"servers")
	return t.flag(c)
}

const longDown = `End a tunnel in order: peers are told, routes and name servers are put back.

If the daemon was killed, there is nobody to do that. Then --clean does it: it
takes away the routing rules and routes of encase, a kill switch among them, and
puts the name servers back. "encase up" does so, too.

SEE ALSO

encase-up(1), encase-status(1)`

func reloadCommand() *cobra.Command {
	t := &target{}
	return t.flag(&cobra.Command{
		Use: "reload [NAME]", Short: "Make a tunnel read its configuration again", Args: cobra.MaximumNArgs(1),
		Long: "Make a daemon read its configuration again. What has changed, and what waits for a\nrestart, is printed; " +
			"if there is a mistake, nothing changes.\n\nSEE ALSO\n\nencase-up(1)",
		RunE: func(c *cobra.Command, args []string) error {
			return t.tell(c, nth(args, 0), Request{Do: Reload})
		},
	})
}

func kickCommand() *cobra.Command {
	t, text := &target{}, ""
	c := &cobra.Command{
		ValidArgsFunction: t.clients(),
		Use:               "kick CLIENT", Short: "End the session of a client", Args: cobra.ExactArgs(1),
		Long: "End the session of a client, by the name that \"encase status\" shows. It may come\nback at once; to keep " +
			"it out, " +
			"use \"encase ban\".\n\nSEE ALSO\n\nencase-ban(1), encase-status(1)",
		RunE: func(c *cobra.Command, args []string) error {
			return t.tell(c, "", Request{Do: Kick, Who: args[0], Text: text})
		},
	}
	c.Flags().StringVar(&text, "reason", "", "tell the client `TEXT`")
	return t.flag(c)
}

func banCommand() *cobra.Command {
	t, d := &target{}, time.Duration(0)
	c := &cobra.Command{
		ValidArgsFunction: t.clients("list", "del"),
		Use:               "ban {WHO | list | del WHO}", Short: "Keep clients out", Long: longBan, Args: cobra.RangeArgs(1, 2),
		Example: "  encase ban alice.example\n  encase ban 198.51.100.0/24 --for 2h\n  encase ban list\n  encase ban del " +
			"alice.example",
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case args[0] == "list" && len(args) == 1:
				return listBans(c, t)
			case args[0] == "del" && len(args) == 2:
				return t.tell(c, "", Request{Do: Unban, Who: args[1]})
			case len(args) == 2:
				return exit.Usagef("write ban WHO, ban list, or ban del WHO")
			}
			return t.tell(c, "", Request{Do: Ban, Who: args[0], For: d.Seconds()})
		},
	}
	c.Flags().DurationVar(&d, "for", 0, "for `TIME`, such as 2h; without it for ever")
	return t.flag(c)
}

const longBan = `Keep a client out, by its name, by the address that it comes from, or by a network
of such addresses. Its session ends at once. Bans outlive the daemon if the
configuration names a server.ban_file.

SEE ALSO

encase-kick(1), encase-pki-revoke(1)`

func listBans(c *cobra.Command, t *target) error {
	a, err := t.ask(c.Context(), "", Request{Do: Bans})
	if err != nil {
		return err
	}
	for _, b := range a.Bans {
		until := "for ever"
		if !b.Until.IsZero() {
			until = "until " + b.Until.Local().Format(time.DateTime)
		}
		fmt.Fprintf(c.OutOrStdout(), "%s  %s\n", terminal.Text(b.Who), until)
	}
	return nil
}

func leasesCommand() *cobra.Command {
	t, asJSON := &target{}, false
	c := &cobra.Command{
		Use: "leases [NAME]", Short: "Show which client has which addresses", Args: cobra.MaximumNArgs(1),
		Long: "Show which client has which addresses of the pools, or had them last.\n\nSEE ALSO\n\nencase-status(1)",
		RunE: func(c *cobra.Command, args []string) error {
			a, err := t.ask(c.Context(), nth(args, 0), Request{Do: Leases})
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(c.OutOrStdout(), a.Leases)
			}
			for _, l := range a.Leases {
				seen := "connected"
				if !l.Connected {
					seen = "last seen " + l.Seen.Local().Format(time.DateTime)
				}
				fmt.Fprintf(c.OutOrStdout(), "%s  %s  %s\n", terminal.Text(l.Client), list(l.Addresses), seen)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return t.flag(c)
}

func list[T fmt.Stringer](all []T) string {
	out := make([]string, len(all))
	for i, v := range all {
		out[i] = v.String()
	}
	return strings.Join(out, ", ")
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func pingCommand() *cobra.Command {
	t, count := &target{}, 4
	c := &cobra.Command{
		ValidArgsFunction: t.clients(),
		Use:               "ping [CLIENT]", Short: "Ask the other end whether it is there", Args: cobra.MaximumNArgs(1), Long: longPing,
		RunE: func(c *cobra.Command, args []string) error {
			for i := range count {
				if i > 0 {
					select {
					case <-c.Context().Done():
						return c.Context().Err()
					case <-time.After(time.Second):
					}
				}
				a, err := t.ask(c.Context(), "", Request{Do: Ping, Who: nth(args, 0)})
				if err != nil {
					return err
				}
				if err := printPongs(c.OutOrStdout(), a); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().IntVarP(&count, "count", "n", count, "ask `N` times, once a second")
	return t.flag(c)
}

const longPing = `Ask the other end of a tunnel on each connection whether it is there, and show how
long the answer takes: that of encase there, not of the machines behind it. On a
server, name the client.

SEE ALSO

encase-status(1)`

func printPongs(w io.Writer, a Answer) error {
	answered := false
	for _, p := range a.Pongs {
		if p.Error != "" {
			fmt.Fprintf(w, "%s: %s\n", p.Carrier, p.Error)
			continue
		}
		answered = true
		fmt.Fprintf(w, "%s: %.2f ms\n", p.Carrier, p.RTT)
	}
	if !answered {
		return fmt.Errorf("no connection has answered")
	}
	return nil
}
