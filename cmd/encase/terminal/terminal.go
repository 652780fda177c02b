// Package terminal tells what an output can show, and makes foreign text fit to be shown.
package terminal

import (
	"io"
	"os"

	"golang.org/x/term"
)

const (
	plainWidth = 80 // columns of what is not a terminal
	minWidth   = 60 // a narrower terminal must cut lines
)

// A Terminal is what an output can show. The zero value stands for a file.
type Terminal struct {
	Interactive bool // a person watches: a line may be written over
	Colors      bool
	Width       int // columns; 0 means 80
}

// Columns returns how wide text may be.
func (t Terminal) Columns() int {
	if t.Width == 0 {
		return plainWidth
	}
	return max(t.Width, minWidth)
}

// Of returns what w can show. Without a terminal there are no colours and 80 columns. A NO_COLOR in the environment
// that is not empty, and TERM=dumb, turn colours off.
//
// https://no-color.org
func Of(w io.Writer) Terminal {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return Terminal{Width: plainWidth}
	}
	t := Terminal{Interactive: os.Getenv("TERM") != "dumb", Width: plainWidth}
	t.Colors = t.Interactive && os.Getenv("NO_COLOR") == ""
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		t.Width = width
	}
	return t
}
