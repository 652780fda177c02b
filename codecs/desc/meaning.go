package desc

import (
	"strings"

	"github.com/encase-tls/encase/frame"
)

// meaning reads what a field is for, up to the end of the line.
func (l *line) meaning(e *entry) bool {
	text := make([]string, len(l.words))
	for i, w := range l.words {
		text[i] = w.text
	}
	e.Meaning.Text = strings.Join(text, " ")
	w, ok := l.next("the meaning")
	if !ok {
		return false
	}
	e.meaningCol = w.col
	m := &e.Meaning
	switch w.text {
	case "=", "any":
		c, ok := l.constant(e, w.text == "=")
		m.Consts = [2]Const{c, c}
		return ok
	case "value":
		c, ok := l.value(e)
		m.Consts = [2]Const{{c, true}, {c, true}}
		return ok
	case "client":
		return l.roles(e)
	case "len":
		return l.lengthOf(e)
	case "count":
		return l.count(e)
	case "random":
		m.Kind = Random
		return true
	case "time":
		return l.time(e)
	}
	if a := findAlgorithm(w.text); a != nil {
		return l.checksum(e, a)
	}
	l.failAt(w, unknownMeaning, "unknown meaning %q (have = N, any N, client = N server = N, value NAME, len payload, "+
		"len frame, count, random, time unix, time unix-ms, %s)", w.text, algorithmNames())
	return false
}

// constant reads N or value NAME.
func (l *line) constant(e *entry, required bool) (c Const, ok bool) {
	c.Required = required
	if _, named := l.took("value"); named {
		c.Value, ok = l.value(e)
		return c, ok
	}
	v, w, ok := l.number(0, ^uint64(0))
	c.Value = v
	return c, ok && l.fits(e, w, w.text, v)
}

// fits reports whether v, which the description calls text at w, fits the width of e.
func (l *line) fits(e *entry, w word, text string, v uint64) bool {
	if e.unsized || v <= largest(e.Bits) {
		return true
	}
	l.failAt(w, tooWide, "%s does not fit %d bits (allowed: up to %d)", text, e.Bits, largest(e.Bits))
	return false
}

// largest returns the largest number of so many bits, 1 to 64.
func largest(width int) uint64 { return ^uint64(0) >> (64 - width) }

// value reads the NAME of a value that the configuration gives.
func (l *line) value(e *entry) (uint64, bool) {
	w, ok := l.next("the name of a value")
	if !ok {
		return 0, false
	}
	if !validName(w.text) {
		l.badName(w)
		return 0, false
	}
	s, given := l.values[w.text]
	if !given {
		l.failAt(w, badValue, "the configuration gives no value %q (it gives: %s)", w.text, l.given())
		return 0, false
	}
	l.used[w.text] = true
	v, ok := parseNumber(s)
	if !ok {
		l.failAt(w, badValue, "the value %q that the configuration gives is %q, not a number (allowed: decimal, or 0x and "+
			"hexadecimal digits; up to 64 bits)", w.text, s)
		return 0, false
	}
	return v, l.fits(e, w, "the value "+s+" of "+w.text, v)
}

// roles reads what stands behind client: = N or any N, and the same for server.
func (l *line) roles(e *entry) bool {
	for role := range e.Meaning.Consts {
		if frame.Role(role) == frame.Server && !l.expect("server") {
			return false
		}
		w, ok := l.next(`"=" or "any"`)
		if !ok {
			return false
		}
		if w.text != "=" && w.text != "any" {
			l.failAt(w, badChoice, `%q instead of "=" or "any"`, w.text)
			return false
		}
		if e.Meaning.Consts[role], ok = l.constant(e, w.text == "="); !ok {
			return false
		}
	}
	return true
}

// lengthOf reads what stands behind len: payload or frame, and perhaps +N or -N.
func (l *line) lengthOf(e *entry) bool {
	e.Meaning.Kind = Length
	w, ok := l.next(`"payload" or "frame"`)
	if !ok {
		return false
	}
	if w.text != "payload" && w.text != "frame" {
		l.failAt(w, badChoice, `%q has no length here (have "payload", "frame")`, w.text)
		return false
	}
	e.Meaning.OfFrame = w.text == "frame"
	if len(l.words) == 0 {
		return true
	}
	w, _ = l.next("")
	digits, plus := strings.CutPrefix(w.text, "+")
	if !plus {
		var minus bool
		if digits, minus = strings.CutPrefix(w.text, "-"); !minus {
			l.failAt(w, extraWord, "unexpected word %q (allowed: +N or -N, in one word)", w.text)
			return false
		}
	}
	v, ok := parseNumber(digits)
	if !ok || v > maxAdjust {
		l.failAt(w, badNumber, "bad number %q (allowed: +N or -N with N up to %d)", w.text, maxAdjust)
		return false
	}
	if e.Meaning.Base = int(v); !plus {
		e.Meaning.Base = -int(v)
	}
	return true
}

// count reads what stands behind count: perhaps from N, perhaps checked.
func (l *line) count(e *entry) bool {
	m := &e.Meaning
	m.Kind = Count
	if _, ok := l.took("from"); ok {
		v, w, ok := l.number(0, ^uint64(0))
		if !ok || !l.fits(e, w, w.text, v) {
			return false
		}
		m.From = v
	}
	_, m.Checked = l.took("checked")
	return true
}

// time reads the unit that stands behind time.
func (l *line) time(e *entry) bool {
	e.Meaning.Kind = Time
	w, ok := l.next(`"unix" or "unix-ms"`)
	if !ok {
		return false
	}
	if w.text != "unix" && w.text != "unix-ms" {
		l.failAt(w, badChoice, `unknown time %q (have "unix", "unix-ms")`, w.text)
		return false
	}
	e.Meaning.Milli = w.text == "unix-ms"
	return true
}

// checksum reads what stands behind the name of an algorithm: perhaps over FIRST, perhaps to LAST.
func (l *line) checksum(e *entry, a *algorithm) bool {
	e.Meaning.Kind, e.Meaning.Algorithm = Checksum, a.name
	fits := e.unsized || e.Bits == a.bits
	if !fits {
		l.fail(l.lines, e.bitsCol, sumWidth, "%s has %d bits, not %d", a.name, a.bits, e.Bits)
	}
	if _, ok := l.took("over"); !ok {
		return fits
	}
	w, ok := l.next("the name of the first field")
	if !ok {
		return false
	}
	e.firstName, e.firstCol = w.text, w.col
	if _, to := l.took("to"); to {
		if w, ok = l.next("the name of the last field"); !ok {
			return false
		}
	}
	e.endName, e.endCol = w.text, w.col
	return fits
}
