// Command encase carries TLS and DTLS inside other protocols.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/encase-tls/encase/cmd/encase/exit"
	"github.com/encase-tls/encase/cmd/encase/terminal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run runs the command that args name and returns its exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	running := false
	onRun(root, func() { running = true })
	c, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exit.OK
	}
	fmt.Fprintf(stderr, "%s: %s\n", c.CommandPath(), terminal.Message(err.Error()))
	if running {
		return exit.Status(err)
	}
	fmt.Fprintf(stderr, "Run '%s --help' for usage.\n", c.CommandPath())
	return exit.Usage
}

// onRun calls started when c or one of its subcommands has found its command line to be right and begins its work.
func onRun(c *cobra.Command, started func()) {
	if run := c.RunE; run != nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			started()
			return run(c, args)
		}
	}
	for _, sub := range c.Commands() {
		onRun(sub, started)
	}
}
