// Package exit gives errors the status that the program ends with.
package exit

import (
	"errors"
	"fmt"
)

// The exit statuses of encase.
const (
	OK     = 0 // what was asked for has been done
	Failed = 1 // the peer, the network or this machine prevented it
	Usage  = 2 // the command line is wrong, or a file that it names
)

// Usagef returns an error, made as fmt.Errorf makes it, that ends the program with status Usage.
func Usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// ExitCode implements the interface that Status looks for.
func (e *usageError) ExitCode() int { return Usage }

// Status returns the exit status that err stands for: what its method ExitCode says, if it or an error that it wraps
// has one, and otherwise Failed. For nil it returns OK.
func Status(err error) int {
	if err == nil {
		return OK
	}
	var e interface{ ExitCode() int }
	if errors.As(err, &e) {
		return e.ExitCode()
	}
	return Failed
}
