package terminal

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
)

const maxText = 120 // bytes of foreign text that are shown

// Text returns s, which a peer or a file has chosen, so that it changes nothing on a terminal: whatever is not
// printable ASCII is escaped as in Go, and what is too long is cut.
func Text(s string) string {
	cut := ""
	if len(s) > maxText {
		s, cut = s[:maxText], "..."
	}
	if strings.ContainsFunc(s, unprintable) {
		s = escape(s)
	}
	return s + cut
}

// Message returns s, an error that may repeat foreign text, with all escaped that is not printable; lines stay lines.
func Message(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) && r != unicode.ReplacementChar {
			b.WriteRune(r)
		} else {
			b.WriteString(escape(string(r)))
		}
	}
	return b.String()
}

func unprintable(r rune) bool { return r < ' ' || r > '~' }

func escape(s string) string {
	quoted := strconv.QuoteToASCII(s)
	return quoted[1 : len(quoted)-1]
}

// Wrap cuts s, which is ASCII, into lines of at most width columns, between words where there are some.
func Wrap(s string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
		for len(line) > width {
			lines, line = append(lines, line[:width]), line[width:]
		}
	}
	return append(lines, line)
}

// A Row is a name and what is to say about it, in ASCII.
type Row struct{ Name, Text string }

// WriteRows writes rows with the texts in one column, which they keep when they need several lines.
func (t Terminal) WriteRows(w io.Writer, indent int, rows []Row) error {
	var b strings.Builder
	column := 0
	for _, r := range rows {
		column = max(column, len(r.Name)+2)
	}
	for _, r := range rows {
		name := r.Name
		for _, line := range Wrap(r.Text, max(t.Columns()-indent-column, minWidth/2)) {
			fmt.Fprintf(&b, "%*s%-*s%s\n", indent, "", column, name, line)
			name = ""
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// A Color is a parameter of the terminal's "select graphic rendition".
type Color string

// The colours in use.
const (
	Normal Color = ""
	Bold   Color = "1"
	Dim    Color = "2"
	Red    Color = "31"
	Green  Color = "32"
	Yellow Color = "33"
)

// Paint returns s in color c if t has colours.
func (t Terminal) Paint(c Color, s string) string {
	if !t.Colors || c == Normal || s == "" {
		return s
	}
	return "\x1b[" + string(c) + "m" + s + "\x1b[0m"
}
