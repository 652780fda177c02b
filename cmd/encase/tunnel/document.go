package tunnel

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/encase-tls/encase/cmd/encase/conf"
)

// A document is a file in which every value is of its kind. What the values mean together is for config.
type document struct {
	file     string
	lines    conf.Lines
	values   map[string]any  // parsed, by path: "listen[0].codec"
	written  map[string]any  // as they stand in the file
	count    map[string]int  // tables of each array, by path
	there    map[string]bool // tables that are written
	problems conf.Problems
}

// parse reads a file's contents. What is wrong is in problems.
func parse(file string, data []byte) *document {
	d := &document{file: file, values: map[string]any{}, written: map[string]any{}, count: map[string]int{},
		there: map[string]bool{}}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // editors of Windows write it
	top := map[string]any{}
	if err := toml.Unmarshal(data, &top); err != nil {
		at := conf.Place{File: file, Line: 1}
		var e *toml.DecodeError
		if errors.As(err, &e) {
			at.Line, _ = e.Position()
		}
		d.problems.Add(at, "not TOML: %s; correct the line, see https://toml.io: strings need quotation marks, and no key stands twice",
			strings.TrimPrefix(err.Error(), "toml: "))
		return d
	}
	d.lines = conf.LinesOf(data)
	d.table("", top)
	return d
}

// table reads a table and those below it.
func (d *document) table(path string, values map[string]any) {
	d.there[path] = true
	for _, name := range slices.Sorted(maps.Keys(values)) {
		full := conf.Join(path, name)
		if t := findTable(conf.KeyOf(full)); t != nil {
			d.below(t, full, values[name])
		} else if k := findKey(conf.KeyOf(full)); k != nil {
			d.value(k, full, values[name])
		} else {
			d.wrong(full, "unknown key; %s", conf.Suggest(name, namesIn(conf.KeyOf(path))))
		}
	}
}

func (d *document) below(t *table, path string, v any) {
	if !t.array {
		if values, ok := v.(map[string]any); ok {
			d.table(path, values)
		} else {
			d.wrong(path, "must be a table: [%s]", t.path)
		}
		return
	}
	list, ok := v.([]any)
	for i, v := range list {
		var values map[string]any
		if values, ok = v.(map[string]any); !ok {
			break
		}
		d.count[path]++
		d.table(fmt.Sprintf("%s[%d]", path, i), values)
	}
	if !ok {
		d.wrong(path, "must be a table: [[%s]], in double brackets", t.path)
	}
}

func (d *document) value(k *key, path string, v any) {
	d.written[path] = v
	if t, ok := v.(string); ok && strings.TrimSpace(t) == "" && k.def != "" {
		d.wrong(path, "is empty; leave the key out, or give it a value")
		return
	}
	parsed, err := k.kind.parse(v)
	if err != nil {
		d.wrong(path, "%v", err)
		return
	}
	d.values[path] = parsed
}

func (d *document) at(path string) conf.Place {
	return conf.Place{File: d.file, Line: d.lines.Nearest(path), Key: conf.KeyOf(path)}
}

func (d *document) wrong(path, format string, args ...any) {
	d.problems.Add(d.at(path), format, args...)
}
func (d *document) warn(path, format string, args ...any) {
	d.problems.Warn(d.at(path), format, args...)
}

// has reports whether something was written at path, right or wrong.
func (d *document) has(path string) bool {
	_, ok := d.written[path]
	return ok || d.there[path] || d.count[path] > 0
}

// arrays returns the paths of the tables of an array.
func (d *document) arrays(path string) (paths []string) {
	for i := range d.count[path] {
		paths = append(paths, fmt.Sprintf("%s[%d]", path, i))
	}
	return paths
}

// get returns what stands at path, or else its default, or else nothing. The path and the type are those of keys.
func get[T any](d *document, path string) (t T) {
	if v, ok := d.values[path]; ok {
		return v.(T)
	}
	k := findKey(conf.KeyOf(path))
	if k == nil {
		panic("tunnel: there is no key " + path)
	}
	if k.def == nil {
		return t
	}
	v, err := k.kind.parse(asTOML(k.def))
	if err != nil {
		panic("tunnel: the default of " + path + " " + err.Error())
	}
	return v.(T)
}

// asTOML returns a default as TOML would have it.
func asTOML(v any) any {
	switch v := v.(type) {
	case int:
		return int64(v)
	case time.Duration:
		return v.String()
	}
	return v
}

func findTable(path string) *table {
	i := slices.IndexFunc(tables, func(t table) bool { return t.path == path })
	if i < 0 {
		return nil
	}
	return &tables[i]
}

func findKey(path string) *key {
	i := slices.IndexFunc(keys, func(k key) bool { return k.path == path })
	if i < 0 {
		return nil
	}
	return &keys[i]
}

// namesIn returns what a table may hold.
func namesIn(path string) (names []string) {
	add := func(full string) {
		if parent, name := split(full); parent == path && full != "" {
			names = append(names, name)
		}
	}
	for _, k := range keys {
		add(k.path)
	}
	for _, t := range tables {
		add(t.path)
	}
	return names
}

// split returns the table of a key and its name there.
func split(path string) (table, name string) {
	i := strings.LastIndexByte(path, '.')
	return path[:max(i, 0)], path[i+1:]
}

// sideOf returns for whom the key or the table at a path is, the tables that it stands in included.
func sideOf(path string) side {
	if k := findKey(path); k != nil && k.side != both {
		return k.side
	}
	for path != "" {
		if t := findTable(path); t != nil && t.side != both {
			return t.side
		}
		path, _ = split(path)
	}
	return both
}
