package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/encase-tls/encase/cmd/encase/tunnel"
)

// manCommand writes man pages of the tree that make returns, a new one at each call. It is for those who package
// encase.
func manCommand(make func() *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "man [DIR]",
		Short: "Write the manual pages",
		Long: `Write the manual pages encase.1, encase-connect.1 and so on, encase.toml.5 and
encase.8 to the folder DIR, or to the current one. Their date is that of
SOURCE_DATE_EPOCH, if it is set.`,
		Hidden: true,
		Args:   cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			told := func(path string) { fmt.Fprintln(c.OutOrStdout(), path) }
			if err := writeManual(make(), dir, told); err != nil {
				return err
			}
			return writeOthers(dir, told)
		},
	}
}

// writeManual writes the page of c and those of its subcommands to dir, and reports the path of each.
func writeManual(c *cobra.Command, dir string, written func(path string)) error {
	page, err := manual(c)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, strings.ReplaceAll(c.CommandPath(), " ", "-")+".1")
	if err := os.WriteFile(path, page, 0o644); err != nil {
		return err
	}
	written(path)
	for _, sub := range c.Commands() {
		if !sub.IsAvailableCommand() {
			continue
		}
		if err := writeManual(sub, dir, written); err != nil {
			return err
		}
	}
	return nil
}

// writeOthers writes the pages of the configuration file and of the daemon.
func writeOthers(dir string, written func(path string)) error {
	info, _ := debug.ReadBuildInfo()
	date, version := dateOfPages(), moduleVersion(info)
	for _, page := range []struct{ name, text string }{
		{"encase.toml.5", tunnel.Manual(date, version)}, {"encase.8", tunnel.DaemonManual(date, version)},
	} {
		path := filepath.Join(dir, page.name)
		if err := os.WriteFile(path, []byte(page.text), 0o644); err != nil {
			return err
		}
		written(path)
	}
	return nil
}

// dateOfPages returns the month that manual pages are of.
func dateOfPages() string {
	at := time.Now()
	if epoch, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		at = time.Unix(epoch, 0)
	}
	return at.UTC().Format("Jan 2006")
}

// manual returns the page of one command as roff.
func manual(c *cobra.Command) ([]byte, error) {
	info, _ := debug.ReadBuildInfo()
	header := &doc.GenManHeader{Section: "1", Source: "encase " + moduleVersion(info), Manual: "encase manual"}
	c.DisableAutoGenTag = true
	c.Long = headings(cmp.Or(c.Long, c.Short))
	var page bytes.Buffer
	if err := doc.GenMan(c, header, &page); err != nil {
		return nil, err
	}
	sections := split(page.String())
	sections.set("SYNOPSIS", synopsis(c))
	sections.set("OPTIONS", options(c))
	if list := commands(c); list != "" {
		sections.set("COMMANDS", list)
	}
	return []byte(sections.String()), nil
}

// headings turns the lines of a help text that are all capitals into headings of Markdown.
func headings(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if line != "" && strings.Trim(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ ") == "" {
			lines[i] = "# " + line
		}
	}
	return strings.Join(lines, "\n")
}
