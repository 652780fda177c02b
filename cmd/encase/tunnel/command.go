// Package tunnel is the daemon that holds a tunnel, a server or a client, as one TOML file says: the commands "encase
// up" and "encase check".
//
//	keys ─▶ document ─▶ config ─▶ daemon ─▶ tun.Server, tun.Client
//	(all there are)     (files)   (signals, control socket, name servers, metrics)
//
// A configuration is either right as a whole or not used: every mistake is found before the first socket is opened, and
// a reload that finds one changes nothing.
package tunnel

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/encase-tls/encase/cmd/encase/complete"
	"github.com/encase-tls/encase/cmd/encase/conf"
	"github.com/encase-tls/encase/cmd/encase/exit"
)

// Commands returns the commands "up" and "check". version is that of the program.
func Commands(version string) []*cobra.Command {
	return []*cobra.Command{upCommand(version), checkCommand()}
}

func upCommand(version string) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "up {NAME | --config FILE}", Short: "Hold a tunnel, as a server or a client", Long: longUp, Example: exampleUp,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			file, err := fileOf(file, args)
			if err != nil {
				return err
			}
			if os.Getenv(stewardEnv) != "" {
				os.Unsetenv(stewardEnv)
				return beSteward(os.Stdin, os.Stdout, c.ErrOrStderr())
			}
			return up(c, file, version)
		},
	}
	return configFlag(c, &file)
}

func checkCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "check {NAME | --config FILE}", Short: "Check the configuration of a tunnel", Long: longCheck,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			file, err := fileOf(file, args)
			if err != nil {
				return err
			}
			cfg, found := readFile(file)
			if cfg != nil {
				cfg.probe()
				found = cfg.doc.problems
			}
			for _, p := range found.Warnings() {
				fmt.Fprintln(c.ErrOrStderr(), p)
			}
			if err := found.Complain(c.ErrOrStderr()); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "all is well: a %s\n", cfg.side)
			return nil
		},
	}
	return configFlag(c, &file)
}

// configFolder is where configurations are that have a NAME.
const configFolder = "/etc/encase"

// configFlag gives a command the flag that names a file, and shells what may follow.
func configFlag(c *cobra.Command, file *string) *cobra.Command {
	c.Flags().StringVarP(file, "config", "c", "", "read `FILE`; NAME stands for "+configFolder+"/NAME.toml")
	c.ValidArgsFunction = complete.Names(configFolder, ".toml")
	if err := c.MarkFlagFilename("config", "toml"); err != nil {
		panic(err) // there is no such flag
	}
	return c
}

// fileOf returns the file that a command line means.
func fileOf(flag string, args []string) (string, error) {
	switch {
	case flag != "" && len(args) > 0:
		return "", exit.Usagef("give a NAME, or --config FILE")
	case flag != "":
		return flag, nil
	case len(args) == 0:
		return "", exit.Usagef("which tunnel? Give a NAME, for /etc/encase/NAME.toml, or --config FILE")
	case filepath.Base(args[0]) != args[0]:
		return "", exit.Usagef("%s is no NAME, which stands for /etc/encase/NAME.toml; a file is named with --config %[1]s", args[0])
	}
	return filepath.Join(configFolder, args[0]+".toml"), nil
}

func up(c *cobra.Command, file, version string) error {
	signal.Reset(syscall.SIGTERM, syscall.SIGINT) // the first ends the program until there is something to end in order
	load := func() (*config, conf.Problems) { return readFile(file) }
	cfg, found := load()
	if err := found.Complain(c.ErrOrStderr()); err != nil {
		return err
	}
	guardInherited(false)
	steward, err := startSteward(cfg, c.ErrOrStderr())
	if err != nil {
		return err
	}
	defer steward.close()
	if err := cfg.become(steward); err != nil {
		return err
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	d := newDaemon(cfg, load, c.ErrOrStderr(), version)
	d.steward = steward
	for _, p := range found.Warnings() {
		d.log.Warn("configuration", "at", p.Place.String(), "problem", p.Text)
	}
	return d.run(c.Context(), signals)
}
