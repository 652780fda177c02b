package codec

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/encase-tls/encase/cmd/encase/exit"
	"github.com/encase-tls/encase/cmd/encase/terminal"
	"github.com/encase-tls/encase/codecs/check"
	"github.com/encase-tls/encase/codecs/vector"
	"github.com/encase-tls/encase/frame"
)

func checkCommand() *cobra.Command {
	var verbose bool
	var vectors string
	c := &cobra.Command{
		Use:   "check SPEC",
		Short: "Check that a codec keeps every rule of the contract",
		Long: `Try a codec out against each rule that a codec has to keep: payloads of all
lengths arrive, bad frames are refused and cost nothing, nothing panics, nothing
is held on to. A rule that is broken is explained, with what was seen. What the
rules cannot know is what the frames have to look like: test vectors say that.

With --vectors the files *.txt below a directory are run as test vectors, those
that name this SPEC as their codec. Of codecs that are files, desc and wasm, the
path does not matter. The form of vectors is that of spec/vectors in the sources
of encase: one file, one frame or one dialogue.

The exit status is 1 if a rule or a vector is broken.`,
		Example: `  encase codec check length:16be
  encase codec check desc:demo.frame --verbose
  encase codec check desc:demo.frame --vectors vectors`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: complete,
		RunE: func(c *cobra.Command, args []string) error {
			d, err := parse(args[0])
			if err != nil {
				return err
			}
			r := checker{description: d, out: c.OutOrStdout(), show: terminal.Of(c.OutOrStdout()), verbose: verbose}
			return r.run(vectors)
		},
	}
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "show each rule and vector, not only those that are broken")
	c.Flags().StringVar(&vectors, "vectors", "", "`DIR`ectory of test vectors")
	must(c.MarkFlagDirname("vectors"))
	return c
}

// A checker runs rules and vectors and says how they went.
type checker struct {
	*description
	out     io.Writer
	show    terminal.Terminal
	verbose bool
	err     error // of out

	kept, silent, broken int
	others               int // vectors of other codecs
}

func (c *checker) run(vectors string) error {
	for _, rule := range check.Rules() {
		c.rule(rule)
	}
	if vectors != "" {
		if err := c.vectors(vectors); err != nil {
			return err
		}
	}
	if c.err == nil && c.broken == 0 {
		text := fmt.Sprintf("%s keeps the contract: %d checks, and %d that say nothing about such a codec\n", c.spec,
			c.kept, c.silent)
		if c.others > 0 {
			text += fmt.Sprintf("passed over: %d vectors of other codecs\n", c.others)
		}
		_, c.err = io.WriteString(c.out, text)
	}
	if c.err == nil && c.broken > 0 {
		return fmt.Errorf("%s breaks %d of %d rules and vectors", c.spec, c.broken, c.kept+c.broken)
	}
	return c.err
}

// rule checks one rule.
func (c *checker) rule(r check.Rule) {
	err := r.Check(c.maker)
	switch {
	case errors.Is(err, check.ErrNotApplicable):
		c.silent++
		if c.verbose {
			c.line(terminal.Dim, "-", r.Name, err.Error())
		}
	case err != nil:
		c.broken++
		c.line(terminal.Red, "BROKEN", r.Name, err.Error())
	default:
		c.kept++
		if c.verbose {
			c.line(terminal.Green, "ok", r.Name, r.Contract)
		}
	}
}

// line writes the outcome of one check, and below it what it is about.
func (c *checker) line(color terminal.Color, outcome, name, text string) {
	var b strings.Builder
	b.WriteString(c.show.Paint(color, fmt.Sprintf("%-8s%s", outcome, name)) + "\n")
	for said := range strings.Lines(text) {
		for _, l := range terminal.Wrap(terminal.Message(said), c.show.Columns()-8) {
			b.WriteString("        " + l + "\n")
		}
	}
	if c.err == nil {
		_, c.err = io.WriteString(c.out, b.String())
	}
}

// vectors runs the files in a directory.
func (c *checker) vectors(dir string) error {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return exit.Usagef("--vectors: %s is no directory that can be read", dir)
	}
	files := os.DirFS(dir)
	ran := 0
	err := fs.WalkDir(files, ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".txt" {
			return err
		}
		ran++
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		c.vector(name, text)
		return c.err
	})
	if err == nil && ran == c.others {
		return exit.Usagef("--vectors: no vector of %s is below %s", c.spec, dir)
	}
	return err
}

// errOther stops a vector that is for another codec.
var errOther = errors.New("the vector is for another codec")

func (c *checker) vector(name string, text []byte) {
	err := vector.Run(text, func(spec string) (frame.Maker, error) {
		if !sameCodec(spec, c.spec) {
			return nil, errOther
		}
		return c.maker, nil
	})
	switch {
	case err == errOther:
		c.others++
	case err != nil:
		c.broken++
		c.line(terminal.Red, "BROKEN", name, err.Error())
	default:
		c.kept++
		if c.verbose {
			c.line(terminal.Green, "ok", name, comment(string(text)))
		}
	}
}

// sameCodec reports whether two specs mean the same codec, wherever its file lies.
func sameCodec(a, b string) bool {
	nameA, _, _ := strings.Cut(a, ":")
	nameB, _, _ := strings.Cut(b, ":")
	return a == b || nameA == nameB && (nameA == "desc" || nameA == "wasm")
}

// comment returns what a vector says about itself.
func comment(text string) string {
	head, _, _ := strings.Cut(text, "\n\n")
	for l := range strings.Lines(head) {
		if said, ok := strings.CutPrefix(l, "comment: "); ok {
			return strings.TrimSpace(said)
		}
	}
	return "as it says"
}
