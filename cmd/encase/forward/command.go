// Package forward is the command encase forward: it accepts connections in one form and connects them on in another,
// plain or TLS in any codec, over TCP or Unix sockets; stunnel with codecs. It does the same for datagrams and DTLS.
//
//	document ─▶ reader ─▶ config ─▶ service ─▶ listener ─▶ route ─▶ session ─▶ relay ─▶ two ends
//	(a file, or flags)              (signals)             (of now)  (one connection)
//	                                        ─▶ port ─────▶ route ─▶ exchange ─▶ two ways ─▶ two outlets
//	                                          (of UDP)              (one client's datagrams)
//
// A configuration is either right as a whole or not used: every mistake is found before the first socket is opened, and
// a reload that finds one changes nothing.
package forward

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/encase-tls/encase/cmd/encase/exit"
	"github.com/encase-tls/encase/codecs"
)

// Command returns the command "forward".
func Command() *cobra.Command {
	c := &cobra.Command{
		Use:           "forward {--config FILE | --accept ADDRESS --connect ADDRESS}",
		Short:         "Forward connections and datagrams into, out of or between TLS and DTLS in codecs",
		Long:          long,
		Example:       example,
		Args:          noArguments,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          runCommand,
	}
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exit.Usagef("%w", err) })
	addFlags(c)
	for _, side := range sides {
		if err := c.RegisterFlagCompletionFunc(side+"-codec", completeCodec); err != nil {
			panic(err) // the flag exists
		}
	}
	return c
}

// completeCodec offers the examples of all codecs to a shell.
func completeCodec(*cobra.Command, []string, string) (specs []string, _ cobra.ShellCompDirective) {
	for _, info := range codecs.List() {
		specs = append(specs, cmp.Or(info.Example, info.Name)+"\t"+info.Summary)
	}
	return specs, cobra.ShellCompDirectiveNoFileComp
}

func noArguments(c *cobra.Command, args []string) error {
	if err := cobra.NoArgs(c, args); err != nil {
		return exit.Usagef("%w", err)
	}
	return nil
}

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
		return found.Complain(c.ErrOrStderr())
	}
	return serve(cfg, found.Warnings(), newService(load, c.ErrOrStderr()))
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
		if found = append(found, own...); own.Err() != nil {
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
	for _, p := range found.Warnings() {
		fmt.Fprintln(c.ErrOrStderr(), p)
	}
	if err := found.Complain(c.ErrOrStderr()); err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "all is well: %d forwards\n", len(cfg.forwards))
	return nil
}

func serve(cfg *config, warnings problems, s *service) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	log := newLogger(s.logs, cfg.log)
	for _, p := range warnings {
		log.Warn("configuration", slog.String("at", p.Place.String()), slog.String("problem", p.Text))
	}
	if err := s.start(cfg); err != nil {
		return err
	}
	s.run(signals)
	return nil
}
