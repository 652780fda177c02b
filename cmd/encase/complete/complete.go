// Package complete tells shells what may follow on a command line, for what is on this machine: "encase completion"
// writes what they need to ask.
package complete

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// Names completes the first argument by the names of the files in a folder that end in suffix, without it.
func Names(folder, suffix string) cobra.CompletionFunc {
	return First(func(*cobra.Command) []string { return NamesIn(folder, suffix) })
}

// First completes the first argument by what list returns, and offers no files.
func First(list func(*cobra.Command) []string) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		var fit []string
		if len(args) == 0 {
			for _, name := range list(c) {
				if strings.HasPrefix(name, begun) {
					fit = append(fit, name)
				}
			}
		}
		return fit, cobra.ShellCompDirectiveNoFileComp
	}
}

// NamesIn returns the names of the files in a folder that end in suffix, without it, sorted. A folder that cannot be
// read has none.
func NamesIn(folder, suffix string) (names []string) {
	files, _ := filepath.Glob(filepath.Join(escape(folder), "*"+suffix))
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), suffix))
	}
	return names
}

// escape makes a path one that Glob takes as it is.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}
