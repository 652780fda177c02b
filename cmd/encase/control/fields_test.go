package control

import (
	"encoding"
	"reflect"
	"strings"
	"testing"
)

// Every field of a State is explained, by the name that it has in JSON.
func TestFields(t *testing.T) {
	known := map[string]bool{}
	for _, f := range Fields() {
		if known[f.Path] || f.Doc == "" {
			t.Errorf("%s is explained twice, or not at all", f.Path)
		}
		known[f.Path] = true
	}
	for _, path := range paths("", reflect.TypeFor[State]()) {
		if !known[path] {
			t.Errorf("%s is not explained in fields.go", path)
		}
	}
}

// paths returns those of the values in what a type is as JSON.
func paths(at string, t reflect.Type) (all []string) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct && !isText(t.Elem()) {
		return paths(at+"[]", t.Elem())
	}
	if t.Kind() != reflect.Struct || isText(t) {
		return []string{at}
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			name = at
		case name == "":
			name = at + "." + f.Name // which no name in fields.go is
		default:
			name = strings.TrimPrefix(at+"."+name, ".")
		}
		all = append(all, paths(name, f.Type)...)
	}
	return all
}

// isText reports whether a type is a string in JSON, whatever it is made of.
func isText(t reflect.Type) bool { return t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) }
