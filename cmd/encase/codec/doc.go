package codec

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/encase-tls/encase/cmd/encase/exit"
	"github.com/encase-tls/encase/cmd/encase/terminal"
	"github.com/encase-tls/encase/codecs/desc"
	"github.com/encase-tls/encase/codecs/described"
	"github.com/encase-tls/encase/codecs/inspect"
	"github.com/encase-tls/encase/frame"
)

func docCommand() *cobra.Command {
	var vectors string
	c := &cobra.Command{
		Use:   "doc SPEC",
		Short: "Write a page about the protocol in Markdown",
		Long: `Write a page in Markdown about a protocol: a bit diagram, a table of its fields,
limits, what is left in packets, and frames with a payload, byte by byte. What
lies where is known of codecs made from descriptions, and of others with a fixed
header.

With --vectors the page has the frames of the test vectors below a directory.`,
		Example: `  encase codec doc desc:demo.frame > demo.md
  encase codec doc desc:demo.frame --vectors vectors
  encase codec doc tpkt:size=1024`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: complete,
		RunE: func(c *cobra.Command, args []string) error {
			d, err := parse(args[0])
			if err != nil {
				return err
			}
			page, err := d.markdown(vectors)
			if err != nil {
				return err
			}
			_, err = io.WriteString(c.OutOrStdout(), terminal.Message(page))
			return err
		},
	}
	c.Flags().StringVar(&vectors, "vectors", "", "`DIR`ectory of test vectors")
	must(c.MarkFlagDirname("vectors"))
	return c
}

// markdown returns the page.
func (d *description) markdown(vectors string) (string, error) {
	known, err := inspect.Describe(d.spec)
	if err != nil {
		return "", err
	}
	client, err := d.maker(frame.Client)
	if err != nil {
		return "", err
	}
	d.learn(known)
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s. It carries TLS or DTLS, and authenticates nothing itself.\n", d.title(),
		sentence(d.summary(known)))
	fmt.Fprintf(&b, "\n* Codec: `%s`\n* Class: %s\n* Carriers: %s\n", d.spec, d.info.Class, d.info.Carriers)
	if known != nil {
		frameSection(&b, known)
	}
	fmt.Fprintf(&b, "\n## Limits\n\n%s.\n", sentence(describe(client.Limits())))
	for _, mtu := range []int{ethernetMTU, leastMTU} {
		fmt.Fprintf(&b, "\n## Room where the MTU is %d\n\n", mtu)
		table(&b, []string{"stack", "room"}, d.roomRows(client.Limits(), mtu))
	}
	if err := d.examples(&b); err != nil {
		return "", err
	}
	if vectors != "" {
		err = vectorSection(&b, vectors)
	}
	return b.String(), err
}

// title returns the name of the protocol: that of a file without its ending, otherwise the spec.
func (d *description) title() string {
	_, arg, _ := strings.Cut(d.spec, ":")
	file, _, _ := strings.Cut(arg, ",")
	if d.info.Name == "desc" && !strings.Contains(arg, ";") {
		return strings.TrimSuffix(path.Base(file), path.Ext(file))
	}
	if d.info.Name == "desc" {
		return "A protocol without a name"
	}
	return d.spec
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// learn takes over what a description says of itself that its codec cannot know in general.
func (d *description) learn(known *described.Description) {
	if known != nil && d.info.Name == "desc" {
		d.info.Carriers = known.Carriers()
	}
}

// summary returns what the protocol is: what the first comment of a description says, if it has one.
func (d *description) summary(known *described.Description) string {
	if known == nil || d.info.Name != "desc" {
		return d.info.Summary
	}
	var said []string
	for line := range strings.Lines(known.Text()) {
		text, ok := strings.CutPrefix(line, "#")
		if !ok {
			break
		}
		said = append(said, strings.TrimSpace(text))
	}
	if s := strings.TrimRight(strings.TrimSpace(strings.Join(said, " ")), ".:"); s != "" {
		return s
	}
	return d.info.Summary
}

func (d *description) roomRows(l frame.Limits, mtu int) (rows [][]string) {
	for _, r := range d.room(l, mtu) {
		rows = append(rows, []string{r.Name, r.Text})
	}
	return rows
}

// frameSection writes what lies where.
func frameSection(b *strings.Builder, d *described.Description) {
	fmt.Fprintf(b, "\n## Frame\n\n```\n%s```\n\n", d.Diagram())
	if d.Beside != "" {
		fmt.Fprintf(b, "%s\n\n", d.Beside)
	}
	var rows [][]string
	for _, f := range d.Fields() {
		rows = append(rows, []string{"`" + f.Name + "`", place(f), width(f), "`" + f.Meaning.Text + "`", reading(f)})
	}
	table(b, []string{"field", "place", "bits", "meaning", "a reader"}, rows)
	fmt.Fprintf(b, "\nAs a description, which `encase` reads:\n\n```\n%s\n```\n", strings.TrimSpace(d.Text()))
}

// place says where a field begins.
func place(f desc.Field) string {
	at := fmt.Sprintf("byte %d", f.Offset/8)
	if f.Offset%8 != 0 {
		at += fmt.Sprintf(", bit %d", f.Offset%8)
	}
	switch f.Part {
	case desc.Payload:
		return "behind the header"
	case desc.Padding:
		return "behind the trailer"
	case desc.Trailer:
		return at + " behind the payload"
	case desc.Closing:
		return at + " behind the padding"
	}
	return at
}

func width(f desc.Field) string {
	switch {
	case f.Bits == 0 && (f.Part == desc.Payload || f.Part == desc.Padding):
		return "any"
	case f.LittleEndian:
		return fmt.Sprintf("%d, little-endian", f.Bits)
	}
	return fmt.Sprint(f.Bits)
}

// reading says what a reader does with a field.
func reading(f desc.Field) string {
	m := &f.Meaning
	required := m.Consts[frame.Client].Required
	switch {
	case m.Kind == desc.Data:
		return "hands it to TLS"
	case m.Kind == desc.Length:
		return "finds the end of the frame"
	case m.Kind == desc.Constant && required != m.Consts[frame.Server].Required:
		return "requires it of one end, ignores it of the other"
	case m.Kind == desc.Constant && required, m.Kind == desc.Checksum, m.Checked:
		return "requires it"
	}
	return "ignores it"
}

// table writes a table of Markdown.
func table(b *strings.Builder, heads []string, rows [][]string) {
	line := func(cells []string) {
		for _, c := range cells {
			b.WriteString("| " + strings.ReplaceAll(c, "|", `\|`) + " ")
		}
		b.WriteString("|\n")
	}
	line(heads)
	b.WriteString(strings.Repeat("|---", len(heads)) + "|\n")
	for _, r := range rows {
		line(r)
	}
}

// examples writes the frames of a short payload.
func (d *description) examples(b *strings.Builder) error {
	payload := []byte("hello")
	b.WriteString("\n## Examples\n")
	for _, role := range []frame.Role{frame.Client, frame.Server} {
		traces, err := d.encode(role, payload)
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "\nThe payload `68656c6c6f` from the %v:\n\n```\n", role)
		dump, err := d.newDumper(b)
		if err != nil {
			return err
		}
		dump.show = terminal.Terminal{}
		for _, t := range traces {
			if err := dump.frame(t.Frame, d.seen(role, t.Frame, t.TLS), nil); err != nil {
				return err
			}
		}
		b.WriteString("```\n")
	}
	return nil
}

// vectorSection writes the test vectors below a directory.
func vectorSection(b *strings.Builder, dir string) error {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return exit.Usagef("--vectors: %s is no directory that can be read", dir)
	}
	b.WriteString("\n## Test vectors\n")
	files := os.DirFS(dir)
	return fs.WalkDir(files, ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".txt" {
			return err
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "\n```\n%s\n```\n", strings.TrimSpace(string(text)))
		return nil
	})
}
