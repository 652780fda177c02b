package forward

import (
	"fmt"
	"slices"
	"strings"
)

// A problem is one mistake in what the user wrote, or a warning about it.
type problem struct {
	place   place
	text    string // what is wrong; what to do about it
	warning bool   // works, today
}

// A place is where in a configuration something stands.
type place struct {
	file string // empty for flags
	line int    // 0 for flags
	name string // dotted key, or flag with its hyphens
}

// String returns FILE:LINE: key, or the flag.
func (p place) String() string {
	switch {
	case p.file == "":
		return p.name
	case p.name == "":
		return fmt.Sprintf("%s:%d", p.file, p.line)
	}
	return fmt.Sprintf("%s:%d: %s", p.file, p.line, p.name)
}

func (p problem) String() string {
	if p.warning {
		return fmt.Sprintf("%v: warning: %s", p.place, p.text)
	}
	return fmt.Sprintf("%v: %s", p.place, p.text)
}

// problems collects what is found, so that one run tells all of it.
type problems []problem

func (l *problems) add(at place, format string, args ...any) {
	*l = append(*l, problem{place: at, text: fmt.Sprintf(format, args...)})
}

func (l *problems) warn(at place, format string, args ...any) {
	*l = append(*l, problem{place: at, text: fmt.Sprintf(format, args...), warning: true})
}

// err returns the mistakes as an error, in the order of the file, nil if there are only warnings.
func (l problems) err() error {
	mistakes := slices.DeleteFunc(slices.Clone(l), func(p problem) bool { return p.warning })
	if len(mistakes) == 0 {
		return nil
	}
	sortByLine(mistakes)
	return &configError{mistakes}
}

// warnings returns the rest.
func (l problems) warnings() problems {
	rest := slices.DeleteFunc(slices.Clone(l), func(p problem) bool { return !p.warning })
	sortByLine(rest)
	return rest
}

func sortByLine(l problems) {
	slices.SortStableFunc(l, func(a, b problem) int { return a.place.line - b.place.line })
}

// A configError says that the configuration is wrong, mistake by mistake.
type configError struct{ mistakes problems }

func (e *configError) Error() string {
	lines := make([]string, len(e.mistakes))
	for i, p := range e.mistakes {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// statusConfig is EX_CONFIG of sysexits.h: a supervisor need not start the program again before somebody has edited.
const statusConfig = 78

// ExitCode returns the status that the program ends with.
func (e *configError) ExitCode() int { return statusConfig }
