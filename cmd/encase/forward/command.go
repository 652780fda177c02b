// Package forward is the command encase forward: it accepts connections in one form and connects them on in another,
// plain or TLS in any codec, over TCP or Unix sockets; stunnel with codecs.
//
//	document ─▶ reader ─▶ config ─▶ service ─▶ listener ─▶ route ─▶ session ─▶ relay ─▶ two ends
//	(a file, or flags)              (signals)             (of now)  (one connection)
//
// A configuration is either right as a whole or not used: every mistake is found before the first socket is opened, and
// a reload that finds one changes nothing.
package forward

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/encase-tls/encase/cmd/encase/exit"
)

// Command returns the command "forward".
func Command() *cobra.Command {
	c := &cobra.Command{
		Use:           "forward {--config FILE | --accept ADDRESS --connect ADDRESS}",
		Short:         "Forward connections into, out of or between TLS in any codec, as stunnel does for plain TLS",
		Long:          longHelp,
		Example:       examples,
		Args:          noArguments,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          runCommand,
	}
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exit.Usagef("%w", err) })
	addFlags(c)
	return c
}

func noArguments(c *cobra.Command, args []string) error {
	if err := cobra.NoArgs(c, args); err != nil {
		return exit.Usagef("%w", err)
	}
	return nil
}

const longHelp = `Forward accepts connections on one address and connects each to another. Either side is plain,
or TLS in a codec: --accept-codec and --connect-codec say in which protocol TLS travels, --accept-tls and
--connect-tls stand for TLS as it is. Certificates are always verified; there is no way to turn that off. One side's end is the other
side's end: FIN becomes close_notify and the reverse, and what was cut becomes a reset, so that nobody takes
half of the data for all of it. (A Unix socket has no reset: there only the log tells.)

Flags for TLS belong to the side that has it. If both have, or to be clear, put the side in front:
--accept-cert, --connect-ca. All keys of the file are flags, too: [forward.accept] min_version is
--accept-min-version.

Coming from stunnel: accept and connect are --accept and --connect, cert and key are --cert and --key, CAfile is
--ca, checkHost is --server-name, requireCert is --client-auth require, client = yes is --connect-tls.
Coming from ghostunnel: --listen and --target are --accept and --connect, --cacert is --ca, --allow-dns is
--client-names, --override-server-name is --server-name; ghostunnel server is --accept-tls --client-auth require.

Signals: SIGTERM and SIGINT stop accepting, wait for the connections (--drain-timeout) and end; the second one
ends at once. SIGHUP reads configuration and certificates again: new connections get the new ones, those that
are there go on, and if anything is wrong nothing changes.

Exit status: 0 ended in order, 1 failed while running, 2 wrong usage, 78 wrong configuration.`

const examples = `  # TLS in frames with a 16-bit length, from here to there
  encase forward --accept 127.0.0.1:1000 --connect gate.example:9000 \
    --connect-codec length:16be --ca ca.pem
  # and over there out of it, for clients with a certificate only
  encase forward --accept :9000 --connect 127.0.0.1:80 --accept-codec length:16be \
    --cert gate.pem --key gate.key --ca ca.pem --client-auth require

  # from plain TLS to TLS in WebSocket frames
  encase forward --accept :443 --accept-tls --accept-cert a.pem --accept-key a.key \
    --connect ws.example:80 --connect-codec websocket --connect-ca ca.pem

  # several forwards; first see whether all is well
  encase forward --config encase.toml --check && encase forward --config encase.toml

  # encase.toml
  config_version = 1
  [limits]
  max_connections = 1000
  idle_timeout = "10m"
  [[forward]]
  name = "web"
  [forward.accept]
  address = ":9000"
  codec = "length:16be"
  cert = "/etc/encase/gate.pem"
  key = "/etc/encase/gate.key"
  ca = "/etc/encase/ca.pem"
  client_auth = "require"
  min_version = "1.3"
  [forward.connect]
  address = "unix:/run/web.sock"`

func runCommand(c *cobra.Command, _ []string) error {
	signal.Reset(syscall.SIGTERM, syscall.SIGINT) // the first ends the program until there is something to drain
	if err := checkCombination(c.Flags()); err != nil {
		return err
	}
	load := loader(c)
	cfg, found := load()
	if check, _ := c.Flags().GetBool("check"); check {
		return report(c, cfg, found)
	}
	if cfg == nil {
		return complain(c.ErrOrStderr(), found)
	}
	return serve(cfg, found.warnings(), newService(load, c.ErrOrStderr()))
}

// loader returns what reads the configuration, each time anew.
func loader(c *cobra.Command) func() (*config, problems) {
	f := c.Flags()
	return func() (cfg *config, found problems) {
		file := text(f, "config")
		if file == "" {
			return readFlags(f)
		}
		cfg, found = readFile(file)
		own := overrideLog(f, cfg)
		if found = append(found, own...); own.err() != nil {
			return nil, found
		}
		return cfg, found
	}
}

func readFlags(f *pflag.FlagSet) (*config, problems) {
	cfg, found := read(flagDocument(f))
	if verbose, _ := f.GetBool("verbose"); verbose && cfg != nil {
		cfg.log.level = slog.LevelDebug
	}
	return cfg, found
}

// overrideLog makes the flags about the log win over a file.
func overrideLog(f *pflag.FlagSet, cfg *config) problems {
	doc := flagDocument(f)
	own := readLogging(doc.root().table("log"))
	if cfg == nil {
		return doc.problems
	}
	if f.Changed("log-level") {
		cfg.log.level = own.level
	}
	if f.Changed("log-format") {
		cfg.log.json = own.json
	}
	if verbose, _ := f.GetBool("verbose"); verbose {
		cfg.log.level = slog.LevelDebug
	}
	return doc.problems
}

// report is --check.
func report(c *cobra.Command, cfg *config, found problems) error {
	if cfg != nil {
		probe(cfg, &found)
	}
	for _, p := range found.warnings() {
		fmt.Fprintln(c.ErrOrStderr(), p)
	}
	if err := complain(c.ErrOrStderr(), found); err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "all is well: %d forwards\n", len(cfg.forwards))
	return nil
}

// complain writes mistakes, a line for each, and returns an error that counts them; nil if there are none.
func complain(w io.Writer, found problems) error {
	var e *configError
	if !errors.As(found.err(), &e) {
		return nil
	}
	fmt.Fprintln(w, e)
	return &mistakesError{len(e.mistakes)}
}

// A mistakesError says that mistakes have been written.
type mistakesError struct{ n int }

func (e *mistakesError) Error() string {
	if e.n == 1 {
		return "one mistake in the configuration"
	}
	return fmt.Sprintf("%d mistakes in the configuration", e.n)
}

// ExitCode returns the status that the program ends with.
func (e *mistakesError) ExitCode() int { return statusConfig }

func serve(cfg *config, warnings problems, s *service) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	log := newLogger(s.logs, cfg.log)
	for _, p := range warnings {
		log.Warn("configuration", slog.String("at", p.place.String()), slog.String("problem", p.text))
	}
	if err := s.start(cfg); err != nil {
		return err
	}
	s.run(signals)
	return nil
}
