package desc

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

const (
	maxText  = 64 << 10 // of a description, in bytes
	maxLines = 256      // of a description, without comments
	maxName  = 32       // of a field, in bytes
	maxWidth = 64       // of a field, in bits
	maxAlign = 256      // of padding, in bytes
)

// A parser reads the lines of a description and collects what is wrong with them.
type parser struct {
	file     string
	values   map[string]string
	used     map[string]bool // of values
	entries  []*entry        // the lines that have a meaning, in order
	mistakes Mistakes
	lines    int

	parts      [Closing + 1]int // length of each part in bytes; that of payload and padding is 0
	limit      int              // longest payload
	payload    *entry           // these are nil if there is none
	length     *entry
	pad        *entry   // behind the payload
	checksums  []*entry // in the end in the order of computation
	incomplete bool     // a line was not understood to its end
	loose      bool     // the length of a part is not known, for the width of a line is not
}

// An entry is a line, with the columns of its words for what is found out later.
type entry struct {
	Field
	max     uint64 // payload: as given; 0: not given
	unsized bool   // the width was not understood
	loose   bool   // where it begins is not known, for a line in front of it is unsized
	vague   bool   // the meaning was not understood

	index              int    // in the entries
	firstName, endName string // checksum: the ends of the range as given; "": not given

	nameCol, bitsCol, leCol, meaningCol, firstCol, endCol, maxCol int
}

func parse(file string, text []byte, values map[string]string) *parser {
	p := &parser{file: file, values: values, used: map[string]bool{}}
	if len(text) > maxText {
		p.fail(0, 0, tooLong, "the description has %d bytes (allowed: %d)", len(text), maxText)
		return p
	}
	for s := range strings.Lines(string(text)) {
		p.lines++
		if p.line(strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r")); len(p.entries) > maxLines {
			p.fail(p.lines, 1, tooLong, "the description has more than %d lines besides comments", maxLines)
			p.mistakes.sort()
			return p
		}
	}
	p.check()
	p.mistakes.sort()
	return p
}

// fail notes a mistake.
func (p *parser) fail(line, col int, r rule, format string, args ...any) {
	p.mistakes = append(p.mistakes, &Mistake{p.file, line, col, r.String(), fmt.Sprintf(format, args...)})
}

// A word is a run of characters that are not blank, or an equals sign.
type word struct {
	text string
	col  int
}

// A line is what of one is not read yet.
type line struct {
	*parser
	words []word
	end   int // column behind the last word
}

func (p *parser) line(s string) {
	l := &line{parser: p, words: split(s), end: 1}
	if len(l.words) == 0 {
		return
	}
	last := l.words[len(l.words)-1]
	l.end = last.col + len(last.text)
	first := l.words[0]
	l.words = l.words[1:]
	e := &entry{Field: Field{Name: first.text, Line: p.lines}, nameCol: first.col}
	ok := false
	switch first.text {
	case "payload":
		ok = l.payloadLine(e)
	case "pad":
		ok = l.padLine(e)
	default:
		ok = l.fieldLine(e)
	}
	if ok && len(l.words) > 0 {
		l.failAt(l.words[0], extraWord, "unexpected word %q: the line is complete without it", l.words[0].text)
		ok = false
	}
	e.vague = !ok
	p.incomplete = p.incomplete || !ok
	e.index = len(p.entries)
	p.entries = append(p.entries, e)
}

// split cuts a line into words and drops the comment.
func split(s string) (words []word) {
	s, _, _ = strings.Cut(s, "#")
	for i := 0; i < len(s); {
		n := 1
		switch {
		case s[i] == ' ' || s[i] == '\t':
			i++
			continue
		case s[i] != '=':
			if n = strings.IndexAny(s[i:], " \t="); n < 0 {
				n = len(s) - i
			}
		}
		words = append(words, word{s[i : i+n], i + 1})
		i += n
	}
	return words
}

func (l *line) failAt(w word, r rule, format string, args ...any) {
	l.fail(l.lines, w.col, r, format, args...)
}

// next takes a word; what says which one is missing if there is none.
func (l *line) next(what string) (word, bool) {
	if len(l.words) == 0 {
		l.fail(l.lines, l.end, missingWord, "the line ends where %s should follow", what)
		return word{}, false
	}
	w := l.words[0]
	l.words = l.words[1:]
	return w, true
}

// took takes the next word if it is text.
func (l *line) took(text string) (word, bool) {
	if len(l.words) == 0 || l.words[0].text != text {
		return word{}, false
	}
	w := l.words[0]
	l.words = l.words[1:]
	return w, true
}

// expect takes the next word, which must be text.
func (l *line) expect(text string) bool {
	w, ok := l.next(strconv.Quote(text))
	if ok && w.text != text {
		l.failAt(w, badChoice, "%q instead of %q", w.text, text)
		return false
	}
	return ok
}

// number takes a number from least to most.
func (l *line) number(least, most uint64) (uint64, word, bool) {
	w, ok := l.next("a number")
	if !ok {
		return 0, w, false
	}
	v, ok := parseNumber(w.text)
	if !ok {
		l.failAt(w, badNumber, "%q is not a number (allowed: decimal, or 0x and hexadecimal digits; up to 64 bits)", w.text)
		return 0, w, false
	}
	if v < least || v > most {
		l.failAt(w, badNumber, "%s is out of range (allowed: %d to %d)", w.text, least, most)
		return 0, w, false
	}
	return v, w, true
}

// parseNumber reads a decimal number without leading zeros, or a hexadecimal one behind 0x.
func parseNumber(s string) (uint64, bool) {
	if digits, ok := strings.CutPrefix(s, "0x"); ok {
		v, err := strconv.ParseUint(digits, 16, 64)
		return v, err == nil
	}
	v, err := strconv.ParseUint(s, 10, 64)
	return v, err == nil && (s == "0" || s[0] != '0')
}

// fieldLine reads NAME BITS [le] MEANING.
func (l *line) fieldLine(e *entry) bool {
	if !validName(e.Name) {
		l.badName(word{e.Name, e.nameCol})
		e.Name, e.unsized = "", true
		return false
	}
	if !l.width(e) {
		return false
	}
	ordered := l.byteOrder(e)
	return l.meaning(e) && ordered && !e.unsized
}

func (l *line) badName(w word) {
	l.failAt(w, badName, "bad name %q (allowed: a letter, then letters, digits, - and _; at most %d bytes)", w.text,
		maxName)
}

func validName(s string) bool {
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '-' && c != '_') {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

// width takes the width and reports whether there is a word for it. If it is bad, the rest of the line is still looked
// at.
func (l *line) width(e *entry) bool {
	e.unsized = true
	w, ok := l.next("the width in bits")
	if !ok {
		return false
	}
	e.bitsCol = w.col
	v, ok := parseNumber(w.text)
	if !ok || v < 1 || v > maxWidth {
		l.failAt(w, badWidth, "bad width %q (allowed: 1 to %d bits)", w.text, maxWidth)
		return true
	}
	e.Bits, e.unsized = int(v), false
	return true
}

func (l *line) byteOrder(e *entry) bool {
	w, ok := l.took("le")
	if !ok {
		return true
	}
	e.LittleEndian, e.leCol = true, w.col
	if !e.unsized && (e.Bits%8 != 0 || e.Bits == 8) {
		l.failAt(w, badOrder, "%d bits have no little-endian order (allowed: 16, 24, .. 64 bits)", e.Bits)
		return false
	}
	return true
}

// payloadLine reads payload [max N].
func (l *line) payloadLine(e *entry) bool {
	e.Meaning = Meaning{Kind: Data, Text: "payload"}
	if _, ok := l.took("max"); !ok {
		return true
	}
	v, w, ok := l.number(1, maxFrame)
	e.max, e.maxCol = v, w.col
	return ok
}

// padLine reads pad to N [checked].
func (l *line) padLine(e *entry) bool {
	e.Meaning = Meaning{Kind: Fill}
	if !l.expect("to") {
		return false
	}
	w, ok := l.next("a number of bytes")
	if !ok {
		return false
	}
	v, ok := parseNumber(w.text)
	if !ok || v < 2 || v > maxAlign {
		l.failAt(w, badAlignment, "bad alignment %q (allowed: 2 to %d bytes)", w.text, maxAlign)
		return false
	}
	e.Meaning.Align = int(v)
	e.Meaning.Text = "pad to " + w.text
	if _, ok := l.took("checked"); ok {
		e.Meaning.Checked = true
		e.Meaning.Text += " checked"
	}
	return true
}

// given returns the names of the values of the configuration.
func (p *parser) given() string {
	if len(p.values) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(p.values)), ", ")
}
