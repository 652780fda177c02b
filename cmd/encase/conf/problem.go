package conf

import (
	"fmt"
	"slices"
	"strings"
)

// Status is EX_CONFIG of sysexits.h: a supervisor need not start the program again before somebody has edited.
const Status = 78

// A Problem is one mistake in a file, or a warning about it.
type Problem struct {
	Place   Place
	Text    string // what is wrong; what to do about it
	Warning bool   // works, today
}

// A Place is where something stands, or would.
type Place struct {
	File string // empty: on the command line
	Line int    // 0: the file as a whole
	Key  string // dotted, or a flag with its hyphens; empty: the line as a whole
}

// String returns FILE:LINE: KEY, or the flag.
func (p Place) String() string {
	switch {
	case p.File == "":
		return p.Key
	case p.Line == 0:
		return p.File
	case p.Key == "":
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Key)
}

// String returns one line for people.
func (p Problem) String() string {
	if p.Warning {
		return fmt.Sprintf("%v: warning: %s", p.Place, p.Text)
	}
	return fmt.Sprintf("%v: %s", p.Place, p.Text)
}

// Problems collects what is found, so that one run tells all of it.
type Problems []Problem

// Add adds a mistake.
func (l *Problems) Add(at Place, format string, args ...any) {
	*l = append(*l, Problem{Place: at, Text: fmt.Sprintf(format, args...)})
}

// Warn adds a warning.
func (l *Problems) Warn(at Place, format string, args ...any) {
	*l = append(*l, Problem{Place: at, Text: fmt.Sprintf(format, args...), Warning: true})
}

// Err returns the mistakes as an *Error, nil if there are only warnings.
func (l Problems) Err() error {
	if mistakes := l.pick(false); len(mistakes) > 0 {
		return &Error{mistakes}
	}
	return nil
}

// Warnings returns the rest.
func (l Problems) Warnings() Problems { return l.pick(true) }

// pick returns mistakes or warnings, in the order of the file.
func (l Problems) pick(warnings bool) Problems {
	out := slices.DeleteFunc(slices.Clone(l), func(p Problem) bool { return p.Warning != warnings })
	slices.SortStableFunc(out, func(a, b Problem) int { return a.Place.Line - b.Place.Line })
	return out
}

// An Error says that a configuration is wrong, mistake by mistake.
type Error struct{ Mistakes Problems }

func (e *Error) Error() string {
	lines := make([]string, len(e.Mistakes))
	for i, p := range e.Mistakes {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// ExitCode returns the status that the program ends with.
func (e *Error) ExitCode() int { return Status }
