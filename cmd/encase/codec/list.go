package codec

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/encase-tls/encase/cmd/encase/terminal"
	"github.com/encase-tls/encase/codecs"
)

// list writes a table of the codecs. Below each are its summary, what it was tested against, and an example.
func list(w io.Writer, all []codecs.Info) error {
	show := terminal.Of(w)
	name, class := len("NAME"), len("CLASS")
	for _, c := range all {
		name, class = max(name, len(c.Name)), max(class, len(c.Class))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-*s  %-*s  %s\n", name, "NAME", class, "CLASS", "CARRIERS")
	for _, c := range all {
		fmt.Fprintf(&b, "%-*s  %-*s  %s\n", name, c.Name, class, c.Class, c.Carriers)
		about := terminal.Wrap(c.Summary, show.Columns()-name-2)
		if c.Tested != "" {
			about = append(about, terminal.Wrap("tested against "+c.Tested, show.Columns()-name-2)...)
		}
		for _, line := range about {
			fmt.Fprintf(&b, "%*s  %s\n", name, "", line)
		}
		fmt.Fprintf(&b, "%*s  e.g. %s\n", name, "", cmp.Or(c.Example, c.Name))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
