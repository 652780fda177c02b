package desc

import (
	"fmt"
	"strings"
)

// rowBits is the width of a diagram.
const rowBits = 32

// Diagram returns a picture of the frame as RFCs have it, 32 bits to a row. Fields whose names do not fit their boxes
// are shown as a letter, explained below the picture. What stands behind the payload is drawn from the left edge,
// wherever the payload ends.
func (d *Description) Diagram() string {
	g := diagram{taken: map[string]bool{}}
	for _, f := range d.fields {
		g.taken[f.Name] = true
	}
	g.ruler()
	for part := Header; part <= Closing; part++ {
		var cells []cell
		for _, f := range d.fields {
			switch {
			case f.Part != part:
			case part == Payload || part == Padding:
				g.stretch(f)
			case f.Bits > 0:
				cells = append(cells, cell{f.Name, f.Offset, f.Offset + f.Bits})
			}
		}
		g.part(cells)
	}
	g.border(0)
	if g.legend.Len() > 0 {
		g.out.WriteByte('\n')
	}
	return g.out.String() + g.legend.String()
}

// A cell is a field and where it lies in its part, in bits.
type cell struct {
	name     string
	from, to int
}

type diagram struct {
	out, legend strings.Builder
	taken       map[string]bool // names and letters
	below       int             // how many bits the line below what is drawn needs; it waits for what follows
}

func (g *diagram) ruler() {
	tens, ones := make([]byte, 2*rowBits), make([]byte, 2*rowBits)
	for i := range rowBits {
		copy(tens[2*i:], "  ")
		if i%10 == 0 {
			tens[2*i+1] = byte('0' + i/10)
		}
		copy(ones[2*i:], fmt.Sprintf(" %d", i%10))
	}
	g.line(string(tens))
	g.line(string(ones))
}

func (g *diagram) line(s string) { g.out.WriteString(strings.TrimRight(s, " ") + "\n") }

// border draws the line between what is drawn and what follows, which needs so many bits of it.
func (g *diagram) border(bits int) {
	g.line(strings.Repeat("+-", max(bits, g.below)) + "+")
	g.below = 0
}

// stretch draws what may have any length.
func (g *diagram) stretch(f Field) {
	text := f.Name
	if f.Meaning.Kind == Fill {
		text = f.Meaning.Text
	}
	edge := "|" + strings.Repeat(" ", 2*rowBits-1) + "|"
	g.border(rowBits)
	g.line(edge)
	g.line("~" + centre(text, 2*rowBits-1) + "~")
	g.line(edge)
	g.below = rowBits
}

// part draws the cells of a part, row by row.
func (g *diagram) part(cells []cell) {
	if len(cells) == 0 {
		return
	}
	end := cells[len(cells)-1].to
	g.border(min(end, rowBits))
	labels := make([]string, len(cells))
	for i, c := range cells {
		labels[i] = g.label(c)
	}
	for row := 0; row < end; row += rowBits {
		if row > 0 {
			g.between(cells, row)
		}
		g.row(cells, labels, row, min(row+rowBits, end))
	}
	g.below = min(rowBits, end)
	if last := end % rowBits; last != 0 {
		g.below = last
	}
}

// label returns the name of the cell, or a letter if that does not fit, and explains the letter.
func (g *diagram) label(c cell) string {
	if len(c.name) <= 2*c.widest()-1 {
		return c.name
	}
	s := "*" // the legend tells them in order
	for i := range letters {
		if one := letters[i : i+1]; !g.taken[one] {
			s = one
			break
		}
	}
	g.taken[s] = s != "*"
	fmt.Fprintf(&g.legend, "%s  %s\n", s, c.name)
	return s
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// widest returns how many bits of the cell lie in the row that has most of it.
func (c cell) widest() int {
	return c.bits(c.labelRow())
}

// bits returns how many bits of the cell lie in the row that begins with the bit row.
func (c cell) bits(row int) int { return min(c.to, row+rowBits) - max(c.from, row) }

// labelRow returns the first bit of the row that has most of the cell, the middle one of several.
func (c cell) labelRow() int {
	first := c.from / rowBits * rowBits
	best, most, count := first, 0, 0
	for row := first; row < c.to; row += rowBits {
		switch n := c.bits(row); {
		case n > most:
			best, most, count = row, n, 1
		case n == most:
			if count++; count%2 == 1 {
				best += rowBits
			}
		}
	}
	return best
}

// row draws the bits from row to end.
func (g *diagram) row(cells []cell, labels []string, row, end int) {
	var b strings.Builder
	for i, c := range cells {
		if c.to <= row || c.from >= end {
			continue
		}
		text := ""
		if c.labelRow() == row {
			text = labels[i]
		}
		b.WriteString("|" + centre(text, 2*c.bits(row)-1))
	}
	g.line(b.String() + "|")
}

// between draws the line above the row, open where a cell goes on.
func (g *diagram) between(cells []cell, row int) {
	line := []byte(strings.Repeat("+-", rowBits) + "+")
	for _, c := range cells {
		from, to := max(c.from, row-rowBits)+rowBits, min(c.to, row+rowBits) // what lies in both rows
		for bit := from; bit < to; bit++ {
			line[2*(bit-row)+1] = ' '
			if bit > from {
				line[2*(bit-row)] = ' '
			}
		}
	}
	g.line(string(line))
}

func centre(s string, width int) string {
	left := (width - len(s)) / 2
	return strings.Repeat(" ", left) + s + strings.Repeat(" ", width-left-len(s))
}
