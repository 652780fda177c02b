package conf

import (
	"errors"
	"fmt"
	"io"
)

// Complain writes mistakes, a line for each, and returns an error that counts them; nil if there are none.
func (l Problems) Complain(w io.Writer) error {
	var e *Error
	if !errors.As(l.Err(), &e) {
		return nil
	}
	fmt.Fprintln(w, e)
	return &countError{len(e.Mistakes)}
}

// A countError says that mistakes have been written.
type countError struct{ n int }

func (e *countError) Error() string {
	if e.n == 1 {
		return "one mistake in the configuration"
	}
	return fmt.Sprintf("%d mistakes in the configuration", e.n)
}

// ExitCode returns the status that the program ends with.
func (e *countError) ExitCode() int { return Status }
