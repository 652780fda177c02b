package desc

import (
	"slices"
	"strings"
)

// checkSums resolves what each checksum covers, and finds an order in which they can be computed.
func (p *parser) checkSums() {
	resolved := true
	for _, e := range p.checksums {
		if e.Offset%8 != 0 && !e.loose {
			p.fail(e.Line, e.meaningCol, crookedSum, "a checksum begins at a whole byte: %s begins %d bits behind one", e.Name,
				e.Offset%8)
		}
		resolved = p.resolve(e) && resolved
	}
	if !resolved {
		return
	}
	order, circle := sumOrder(p.checksums)
	if circle != nil {
		first := circle[0]
		p.fail(first.Line, first.meaningCol, sumCircle, "these checksums cover each other in a circle: %s", names(circle))
		return
	}
	p.checksums = order
}

// resolve finds the ends of the range of e and reports whether that has been possible.
func (p *parser) resolve(e *entry) bool {
	switch {
	case e.vague:
		return false
	case e.firstName == "" && e.index == 0:
		p.fail(e.Line, e.meaningCol, sumNothing, "nothing stands in front of %s that it could cover: use over", e.Name)
		return false
	case e.firstName == "":
		e.Meaning.First, e.Meaning.Last = 0, e.index-1
		return true
	}
	first := p.find(e, e.firstName, e.firstCol)
	last := first
	if e.endCol != e.firstCol {
		last = p.find(e, e.endName, e.endCol)
	}
	if first == nil || last == nil {
		return false
	}
	e.Meaning.First, e.Meaning.Last = first.index, last.index
	if first.index > last.index {
		p.fail(e.Line, e.endCol, sumRange, "%s stands in front of %s", e.endName, e.firstName)
		return false
	}
	return p.wholeBytes(e, first, last)
}

// wholeBytes reports whether the range of e, from first to last, is whole bytes.
func (p *parser) wholeBytes(e, first, last *entry) bool {
	if first.Offset%8 != 0 && !first.loose {
		p.fail(e.Line, e.firstCol, sumRange, "a checksum covers whole bytes: %s begins %d bits behind one", first.Name,
			first.Offset%8)
		return false
	}
	if end := last.Offset + last.Bits; end%8 != 0 && !last.loose && !last.unsized {
		p.fail(e.Line, e.endCol, sumRange, "a checksum covers whole bytes: %s ends %d bits behind one", last.Name, end%8)
		return false
	}
	return true
}

// find returns the entry that has the name, which e uses at col.
func (p *parser) find(e *entry, name string, col int) *entry {
	var found []*entry
	for _, other := range p.entries {
		if other.Name == name {
			found = append(found, other)
		}
	}
	switch {
	case len(found) == 0:
		p.fail(e.Line, col, sumUnknown, "there is no field %q (have %s)", name, names(p.entries))
		return nil
	case len(found) > 1 && name == "pad":
		p.fail(e.Line, col, sumUnknown, "there are %d lines \"pad\": which of them is not said", len(found))
		return nil
	}
	return found[0]
}

// sumOrder returns the checksums in an order in which each comes after those that it covers, or else a circle of them.
func sumOrder(sums []*entry) (order, circle []*entry) {
	waiting := slices.Clone(sums)
	for len(waiting) > 0 {
		i := slices.IndexFunc(waiting, func(e *entry) bool { return waitsFor(e, waiting) == nil })
		if i < 0 {
			return nil, findCircle(waiting)
		}
		order = append(order, waiting[i])
		waiting = slices.Delete(waiting, i, i+1)
	}
	return order, nil
}

// waitsFor returns one of waiting that e covers, besides itself: its own bytes count as zero.
func waitsFor(e *entry, waiting []*entry) *entry {
	for _, other := range waiting {
		if other != e && e.Meaning.First <= other.index && other.index <= e.Meaning.Last {
			return other
		}
	}
	return nil
}

// findCircle follows checksums, each of which waits for another, until it meets one again.
func findCircle(waiting []*entry) []*entry {
	path := []*entry{waiting[0]}
	for {
		next := waitsFor(path[len(path)-1], waiting)
		if i := slices.Index(path, next); i >= 0 {
			return path[i:]
		}
		path = append(path, next)
	}
}

// names returns the names of the entries that have one, each once.
func names(list []*entry) string {
	var all []string
	for _, e := range list {
		if e.Name != "" && !slices.Contains(all, e.Name) {
			all = append(all, e.Name)
		}
	}
	return strings.Join(all, ", ")
}
