package pki

import (
	"crypto/x509"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/encase-tls/encase/cmd/encase/complete"
	"github.com/encase-tls/encase/cmd/encase/exit"
	"github.com/encase-tls/encase/cmd/encase/terminal"
)

// Command returns the command "pki".
func Command() *cobra.Command {
	dir := "pki"
	c := &cobra.Command{Use: "pki", Short: "Keep a small certificate authority", Long: long, Example: example}
	c.PersistentFlags().StringVar(&dir, "dir", dir, "the folder of the authority is `DIR`")
	c.AddCommand(initCommand(&dir), issueCommand(&dir), revokeCommand(&dir), renewListCommand(&dir), listCommand(&dir))
	return c
}

const long = `Keep a small certificate authority in a folder, for tunnels and whatever else talks
TLS. Keys are ECDSA P-256; files are PEM, and those with keys are for their owner
alone.

A server needs ca.crt, ca.crl and its own .crt and .key; a client needs ca.crt and
its own two. ca.key stays where it is: whoever has it can be anybody.

The list of revoked certificates, ca.crl, expires half a year after it was written.
A server that reads it lets nobody in then, and warns two weeks before: write it
anew with "encase pki crl".

FILES

    DIR/ca.crt DIR/ca.key DIR/ca.crl
    DIR/NAME.crt DIR/NAME.key

SEE ALSO

encase-up(1), encase-pki-issue(1), encase-pki-revoke(1)`

const example = `  encase pki init
  encase pki issue --server vpn.example.net
  encase pki issue --client alice.example
  encase pki revoke alice.example`

func initCommand(dir *string) *cobra.Command {
	name := "encase authority"
	c := &cobra.Command{
		Use: "init", Short: "Make an authority", Args: cobra.NoArgs,
		Long: "Make a certificate authority in a folder, valid for ten years, and an empty list of\nrevoked certificates. " +
			"One that " +
			"is there is never replaced.\n\nSEE ALSO\n\nencase-pki-issue(1)",
		RunE: func(c *cobra.Command, _ []string) error {
			a, err := create(*dir, name, time.Now())
			if err == nil {
				fmt.Fprintf(c.OutOrStdout(), "%s\n%s\n%s\n", a.file("ca.crt"), a.file("ca.key"), a.file("ca.crl"))
			}
			return err
		},
	}
	c.Flags().StringVar(&name, "name", name, "call it `NAME`")
	return c
}

func issueCommand(dir *string) *cobra.Command {
	var r request
	var client bool
	days := 0
	c := &cobra.Command{
		Use: "issue {--server | --client} NAME...", Short: "Issue a " +
			"certificate", Long: longIssue, Args: cobra.MinimumNArgs(1),
		Example: "  encase pki issue --server vpn.example.net 192.0.2.1\n  encase pki issue --client alice.example --days 90",
		RunE: func(c *cobra.Command, args []string) error {
			const most = 10 * 365
			switch {
			case client == r.server:
				return exit.Usagef("say --server or --client: a certificate is for one of them")
			case days < 0 || days > most:
				return exit.Usagef("--days %d is out of bounds; 1 to %d are allowed", days, most)
			}
			r.names, r.life = args, time.Duration(days)*day
			a, err := open(*dir)
			if err != nil {
				return err
			}
			base, err := a.issue(r, time.Now())
			if err == nil {
				fmt.Fprintf(c.OutOrStdout(), "%s\n%s\n", a.file(base+".crt"), a.file(base+".key"))
			}
			return err
		},
	}
	c.Flags().BoolVar(&r.server, "server", false, "for a server, whose names and addresses the NAMEs are")
	c.Flags().BoolVar(&client, "client", false, "for a client; the first NAME is what the server knows it by")
	c.Flags().IntVar(&days, "days", 0, "valid for `N` days; without it two years for a server, one for a client")
	c.Flags().BoolVar(&r.renew, "renew", false, "replace the one that is there; it is not revoked by that")
	return c
}

const longIssue = `Issue a certificate with a new key. The first NAME is also that of the files.

The key is made here, so it has to travel to where it is used: over a channel that
you trust, or not at all if encase runs on the same machine.

SEE ALSO

encase-pki-revoke(1), encase-pki-list(1)`

func revokeCommand(dir *string) *cobra.Command {
	hex := ""
	c := &cobra.Command{
		ValidArgsFunction: complete.First(func(*cobra.Command) []string { return complete.NamesIn(*dir, ".crt") }),
		Use:               "revoke {NAME | --serial NUMBER}", Short: "Revoke a certificate", Long: longRevoke, Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var number *big.Int
			switch {
			case len(args) == 1 && hex != "" || len(args) == 0 && hex == "":
				return exit.Usagef("give a NAME, or --serial NUMBER")
			case hex != "":
				var ok bool
				if number, ok = new(big.Int).SetString(strings.ReplaceAll(hex, ":", ""), 16); !ok || number.Sign() <= 0 {
					return exit.Usagef("--serial %q is no hexadecimal number", hex)
				}
			default:
				hex = args[0]
			}
			a, err := open(*dir)
			if err != nil {
				return err
			}
			if err := a.revoke(hex, number, time.Now()); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s\n", a.file("ca.crl"))
			return nil
		},
	}
	c.Flags().StringVar(&hex, "serial", "", "the certificate with the hexadecimal `NUMBER`, if its file is gone")
	return c
}

const longRevoke = `Put a certificate on the list of revoked ones. Give the list, ca.crl, to the
servers: one that runs notices that the file has changed, lets the certificate in no
more, and ends its session.

SEE ALSO

encase-pki-list(1), encase-up(1)`

func renewListCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use: "crl", Short: "Write the list of revoked certificates anew", Args: cobra.NoArgs,
		Long: "Write the list of revoked certificates anew, with the same entries, valid for\nanother half a year.\n\nSEE " +
			"ALSO\n\n" +
			"encase-pki-revoke(1)",
		RunE: func(c *cobra.Command, _ []string) error {
			a, err := open(*dir)
			if err == nil {
				err = a.renewList(time.Now())
			}
			if err == nil {
				fmt.Fprintf(c.OutOrStdout(), "%s\n", a.file("ca.crl"))
			}
			return err
		},
	}
}

func listCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the certificates of the authority", Args: cobra.NoArgs,
		Long: "List the certificates in the folder: name, purpose, number, and until when they are\nvalid.\n\nSEE ALSO\n\n" +
			"encase-pki-issue(1)",
		RunE: func(c *cobra.Command, _ []string) error {
			a, err := open(*dir)
			if err != nil {
				return err
			}
			all, expires, err := a.list()
			if err != nil {
				return err
			}
			now := time.Now()
			for _, i := range all {
				fmt.Fprintln(c.OutOrStdout(), i.line(now))
			}
			fmt.Fprintf(c.OutOrStdout(), "the authority is valid until %s, the list of revoked certificates until %s\n",
				date(a.cert.NotAfter), date(expires))
			return nil
		},
	}
}

func (i *issued) line(now time.Time) string {
	purpose := "client"
	if slices.Contains(i.cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth) {
		purpose = "server"
	}
	state := "until " + date(i.cert.NotAfter)
	switch {
	case !i.revoked.IsZero():
		state = "revoked on " + date(i.revoked)
	case now.After(i.cert.NotAfter):
		state = "expired on " + date(i.cert.NotAfter)
	}
	return fmt.Sprintf("%-30s %s  %X  %s", terminal.Text(i.cert.Subject.CommonName), purpose, i.cert.SerialNumber, state)
}

func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }
