package desc

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Mistake is one thing that is wrong with a description.
type Mistake struct {
	File   string // the name that Parse was given
	Line   int    // from 1; 0: not at one place of the text
	Column int    // in bytes, from 1
	Rule   string // the stable name under which spec/description.md explains it, such as "bad-width"
	Text   string // what is wrong, and what is allowed
}

// Error returns FILE:LINE:COLUMN: TEXT.
func (m *Mistake) Error() string {
	if m.Line == 0 {
		return m.File + ": " + m.Text
	}
	return fmt.Sprintf("%s:%d:%d: %s", m.File, m.Line, m.Column, m.Text)
}

// Mistakes are all that is wrong with a description, in the order of the text.
type Mistakes []*Mistake

// Error returns one line for each mistake.
func (m Mistakes) Error() string {
	if len(m) == 1 {
		return "desc: " + m[0].Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "desc: %d mistakes", len(m))
	for _, one := range m {
		b.WriteString("\n\t" + one.Error())
	}
	return b.String()
}

// Unwrap returns the mistakes, for errors.As.
func (m Mistakes) Unwrap() []error {
	list := make([]error, len(m))
	for i, one := range m {
		list[i] = one
	}
	return list
}

func (m Mistakes) sort() {
	slices.SortStableFunc(m, func(a, b *Mistake) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// A rule is one way for a description to be wrong.
type rule int

const (
	tooLong rule = iota
	badName
	badWidth
	badOrder
	unknownMeaning
	badNumber
	missingWord
	extraWord
	tooWide
	badValue
	unusedValue
	badChoice
	badAlignment
	duplicateName
	noPayload
	secondPayload
	badMax
	nothingElse
	secondLen
	lenBehind
	lenRoom
	countDatagram
	partialByte
	crookedLE
	crookedPad
	secondPad
	padWithoutLen
	padWithLenFrame
	sumWidth
	crookedSum
	sumUnknown
	sumRange
	sumNothing
	sumCircle
	partTooLong
)

var ruleNames = [...]string{
	tooLong:         "too-long",
	badName:         "bad-name",
	badWidth:        "bad-width",
	badOrder:        "bad-order",
	unknownMeaning:  "unknown-meaning",
	badNumber:       "bad-number",
	missingWord:     "missing-word",
	extraWord:       "extra-word",
	tooWide:         "too-wide",
	badValue:        "bad-value",
	unusedValue:     "unused-value",
	badChoice:       "bad-choice",
	badAlignment:    "bad-alignment",
	duplicateName:   "duplicate-name",
	noPayload:       "no-payload",
	secondPayload:   "second-payload",
	badMax:          "bad-max",
	nothingElse:     "nothing-else",
	secondLen:       "second-len",
	lenBehind:       "len-behind-payload",
	lenRoom:         "len-room",
	countDatagram:   "count-without-len",
	partialByte:     "partial-byte",
	crookedLE:       "crooked-le",
	crookedPad:      "crooked-pad",
	secondPad:       "second-pad",
	padWithoutLen:   "pad-without-len",
	padWithLenFrame: "pad-with-len-frame",
	sumWidth:        "checksum-width",
	crookedSum:      "crooked-checksum",
	sumUnknown:      "checksum-unknown-field",
	sumRange:        "checksum-range",
	sumNothing:      "checksum-of-nothing",
	sumCircle:       "checksum-circle",
	partTooLong:     "part-too-long",
}

// String returns the stable name of the rule.
func (r rule) String() string { return ruleNames[r] }
