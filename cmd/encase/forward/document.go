package forward

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/encase-tls/encase/cmd/encase/conf"
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
		at := place{File: file, Line: 1}
		var e *toml.DecodeError
		if errors.As(err, &e) {
			at.Line, _ = e.Position()
		}
		return nil, problems{{Place: at, Text: "not TOML: " + strings.TrimPrefix(err.Error(), "toml: ") +
			"; strings need quotation marks, see https://toml.io"}}
	}
	lines := conf.LinesOf(data)
	return &document{values: values, place: func(path string) place {
		return place{File: file, Line: lines.Nearest(path), Key: conf.KeyOf(path)}
	}}, nil
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

func (s *section) at(key string) place { return s.doc.place(conf.Join(s.path, key)) }

// wrong reports a mistake in the value of key.
func (s *section) wrong(key, format string, args ...any) {
	s.doc.problems.Add(s.at(key), format, args...)
}

// name returns how the user writes key of this section.
func (s *section) name(key string) string { return s.at(key).Key }

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
	values, _ := value[map[string]any](s, key, "a table: ["+conf.Join(conf.KeyOf(s.path), key)+"]")
	return &section{doc: s.doc, path: conf.Join(s.path, key), values: values}
}

// tables returns an array of tables.
func (s *section) tables(key string) (list []*section) {
	kind := "a table: [[" + conf.Join(conf.KeyOf(s.path), key) + "]], in double brackets"
	all, _ := value[[]any](s, key, kind)
	for i, v := range all {
		values, ok := v.(map[string]any)
		if !ok {
			s.wrong(key, "must be %s", kind)
			return nil
		}
		list = append(list, &section{doc: s.doc, path: fmt.Sprintf("%s[%d]", conf.Join(s.path, key), i), values: values})
	}
	return list
}

// done reports the keys that nobody has asked for.
func (s *section) done() {
	for _, key := range slices.Sorted(maps.Keys(s.values)) {
		if !slices.Contains(s.asked, key) {
			s.wrong(key, "unknown key; %s", conf.Suggest(key, s.asked))
		}
	}
}
