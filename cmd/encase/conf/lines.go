// Package conf is what the configuration files of the commands have in common: where each key stands, what is wrong
// with it and what to do about that, and reading certificates and keys.
package conf

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// Lines tells on which line of a TOML file a path stands, which the decoder of the TOML library does not. A path is
// such as "forward[0].accept.codec"; an array of tables itself, "forward", stands where its first table does.
type Lines map[string]int

// LinesOf returns the lines of a file's contents, which are TOML: what comes behind a mistake in it is missing.
func LinesOf(data []byte) Lines {
	w := lineWalker{lines: Lines{}, count: map[string]int{}}
	w.parser.Reset(data)
	table := ""
	for w.parser.NextExpression() {
		node := w.parser.Expression()
		switch node.Kind {
		case unstable.Table:
			table = w.resolve("", node.Key(), false)
		case unstable.ArrayTable:
			table = w.resolve("", node.Key(), true)
		case unstable.KeyValue:
			w.keyValue(table, node)
		}
	}
	return w.lines
}

// Nearest returns the line of path, or of what it would belong to.
func (l Lines) Nearest(path string) int {
	for path != "" {
		if line, ok := l[path]; ok {
			return line
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return 1
}

// KeyOf returns a path without the numbers in it.
func KeyOf(path string) string {
	var b strings.Builder
	for path != "" {
		key, rest, _ := strings.Cut(path, "[")
		b.WriteString(key)
		_, path, _ = strings.Cut(rest, "]")
	}
	return b.String()
}

// Join returns the path of a key in the table at base, which is empty for the top.
func Join(base, key string) string {
	if base == "" {
		return key
	}
	return base + "." + key
}

type lineWalker struct {
	parser unstable.Parser
	lines  Lines
	count  map[string]int // tables of an array so far
}

// resolve notes the lines of the keys of a table's header and returns its path.
func (w *lineWalker) resolve(base string, keys unstable.Iterator, array bool) string {
	for keys.Next() {
		base = Join(base, string(keys.Node().Data))
		if array && keys.IsLast() {
			w.count[base]++
		}
		if n := w.count[base]; n > 0 {
			w.note(base, keys.Node())
			base = fmt.Sprintf("%s[%d]", base, n-1)
		}
		w.note(base, keys.Node())
	}
	return base
}

func (w *lineWalker) keyValue(table string, node *unstable.Node) {
	w.value(w.resolve(table, node.Key(), false), node.Value())
}

// value looks for keys in a value.
func (w *lineWalker) value(path string, v *unstable.Node) {
	switch v.Kind {
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			w.keyValue(path, it.Node())
		}
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); {
			w.value(fmt.Sprintf("%s[%d]", path, i), it.Node())
			i++
		}
	}
}

func (w *lineWalker) note(path string, key *unstable.Node) {
	if _, known := w.lines[path]; !known {
		w.lines[path] = 1 + bytes.Count(w.parser.Data()[:key.Raw.Offset], []byte("\n"))
	}
}

// Suggest says what may have been meant by an unknown key.
func Suggest(key string, known []string) string {
	best, least := "", 1+len(key)/3
	for _, k := range known {
		if d := distance(key, k); d <= least {
			best, least = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	sorted := slices.Sorted(slices.Values(known))
	return "known here: " + strings.Join(sorted, ", ")
}

// distance is how many letters must be put in, taken out or changed to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
