package forward

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// A document is what the user wrote, in a file or as flags, before it means anything: nested tables, and for each key
// the place where it stands. A path names a key: "forward[0].accept.codec".
type document struct {
	values   map[string]any
	place    func(path string) place // also of a key that is missing
	problems problems
}

// parseTOML reads a file's contents. It returns nil, with the problems, if that is no TOML.
func parseTOML(file string, data []byte) (*document, problems) {
	values := map[string]any{}
	if err := toml.Unmarshal(data, &values); err != nil {
		at := place{file: file, line: 1}
		var e *toml.DecodeError
		if errors.As(err, &e) {
			at.line, _ = e.Position()
		}
		return nil, problems{{place: at, text: "not TOML: " + strings.TrimPrefix(err.Error(), "toml: ") +
			"; strings need quotation marks, see https://toml.io"}}
	}
	lines := linesOf(data)
	return &document{values: values, place: func(path string) place {
		return place{file, lines.nearest(path), keyOf(path)}
	}}, nil
}

// keyOf returns a path without the numbers in it.
func keyOf(path string) string {
	var b strings.Builder
	for path != "" {
		key, rest, _ := strings.Cut(path, "[")
		b.WriteString(key)
		_, path, _ = strings.Cut(rest, "]")
	}
	return b.String()
}

// lineIndex maps paths to lines, which the decoder of the TOML library does not tell.
type lineIndex map[string]int

// nearest returns the line of path, or of what it would belong to.
func (l lineIndex) nearest(path string) int {
	for path != "" {
		if line, ok := l[path]; ok {
			return line
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return 1
}

func linesOf(data []byte) lineIndex {
	w := lineWalker{lines: lineIndex{}, count: map[string]int{}}
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

type lineWalker struct {
	parser unstable.Parser
	lines  lineIndex
	count  map[string]int // tables of an array so far
}

// resolve notes the lines of the keys of a table's header and returns its path.
func (w *lineWalker) resolve(base string, keys unstable.Iterator, array bool) string {
	for keys.Next() {
		base = join(base, string(keys.Node().Data))
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

func join(base, key string) string {
	if base == "" {
		return key
	}
	return base + "." + key
}

// root returns the top table.
func (d *document) root() *section { return &section{doc: d, values: d.values} }

// A section is one table of a document. Its methods return what a key holds, the zero value if it is missing, and
// report what has the wrong type; done reports the keys that nobody has asked for.
type section struct {
	doc    *document
	path   string
	values map[string]any
	asked  []string
}

func (s *section) at(key string) place { return s.doc.place(join(s.path, key)) }

// wrong reports a mistake in the value of key.
func (s *section) wrong(key, format string, args ...any) {
	s.doc.problems.add(s.at(key), format, args...)
}

// name returns how the user writes key of this section.
func (s *section) name(key string) string { return s.at(key).name }

// has reports whether key was written.
func (s *section) has(key string) bool {
	_, ok := s.get(key)
	return ok
}

func (s *section) get(key string) (any, bool) {
	if !slices.Contains(s.asked, key) {
		s.asked = append(s.asked, key)
	}
	v, ok := s.values[key]
	return v, ok
}

// value returns what key holds if that is a T.
func value[T any](s *section, key, kind string) (t T, ok bool) {
	v, ok := s.get(key)
	if !ok {
		return t, false
	}
	if t, ok = v.(T); !ok {
		s.wrong(key, "must be %s", kind)
	}
	return t, ok
}

func (s *section) text(key string) string {
	t, ok := value[string](s, key, `a string: write it between quotation marks`)
	if ok && strings.TrimSpace(t) == "" {
		s.wrong(key, "is empty; leave the key out, or give it a value")
	}
	return t
}

func (s *section) yes(key string) bool {
	b, _ := value[bool](s, key, "true or false, without quotation marks")
	return b
}

func (s *section) number(key string) (n int64, ok bool) {
	return value[int64](s, key, "a whole number, without quotation marks")
}

// texts returns a list of strings; a single one may be written without brackets.
func (s *section) texts(key string) []string {
	const kind = `a string, or a list of strings: ["a", "b"]`
	v, _ := s.get(key)
	if t, ok := v.(string); ok {
		return []string{t}
	}
	list, _ := value[[]any](s, key, kind)
	var out []string
	for _, v := range list {
		t, ok := v.(string)
		if !ok {
			s.wrong(key, "must be %s", kind)
			return nil
		}
		out = append(out, t)
	}
	return out
}

// table returns a table below this one, an empty one if it is missing.
func (s *section) table(key string) *section {
	values, _ := value[map[string]any](s, key, "a table: ["+join(keyOf(s.path), key)+"]")
	return &section{doc: s.doc, path: join(s.path, key), values: values}
}

// tables returns an array of tables.
func (s *section) tables(key string) (list []*section) {
	kind := "a table: [[" + join(keyOf(s.path), key) + "]], in double brackets"
	all, _ := value[[]any](s, key, kind)
	for i, v := range all {
		values, ok := v.(map[string]any)
		if !ok {
			s.wrong(key, "must be %s", kind)
			return nil
		}
		list = append(list, &section{doc: s.doc, path: fmt.Sprintf("%s[%d]", join(s.path, key), i), values: values})
	}
	return list
}

// done reports the keys that nobody has asked for.
func (s *section) done() {
	for _, key := range slices.Sorted(maps.Keys(s.values)) {
		if !slices.Contains(s.asked, key) {
			s.wrong(key, "unknown key; %s", suggest(key, s.asked))
		}
	}
}

// suggest says what may have been meant.
func suggest(key string, known []string) string {
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
