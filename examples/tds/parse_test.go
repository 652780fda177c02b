package main

import (
	"reflect"
	"strings"
	"testing"
)

func TestLogin(t *testing.T) {
	want := login{version: version74, host: "h", user: "Jürgen", password: "pass 🔑", app: "", database: "d"}
	p, err := want.message()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := parseLogin(p); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if strings.Contains(string(p), string(wide("pass"))) {
		t.Error("the password can be read as it is")
	}
	long := login{user: strings.Repeat("x", 129)}
	if _, err := long.message(); err == nil {
		t.Error("a name of 129 characters is sent")
	}
	for what, bend := range map[string]func([]byte) []byte{
		"empty":              func([]byte) []byte { return nil },
		"cut short":          func(p []byte) []byte { return p[:len(p)-1] },
		"no texts":           func(p []byte) []byte { return p[:loginFixed-1] },
		"of another length":  func(p []byte) []byte { p[0]++; return p },
		"of TDS 7.1":         func(p []byte) []byte { p[4], p[5], p[6], p[7] = 1, 0, 0, 0x71; return p },
		"a text outside":     func(p []byte) []byte { p[atUser+1] = 0xff; return p },
		"a password outside": func(p []byte) []byte { p[atPassword+3] = 0xff; return p },
	} {
		if l, err := parseLogin(bend(append([]byte(nil), p...))); err == nil {
			t.Errorf("%s: taken for %+v", what, l)
		}
	}
}

func TestResult(t *testing.T) {
	for _, c := range []struct {
		answer []byte
		want   result
		why    string
	}{
		{welcome(version74), result{welcome: true}, ""},
		{oneRow(int32(-5)), result{rows: []string{"-5"}}, ""},
		{oneRow("a b"), result{rows: []string{"a b"}}, ""},
		{oneRow(strings.Repeat("x", 5000)), result{rows: []string{strings.Repeat("x", maxText)}}, ""},
		{failure(7, severityWrong, "what"), result{}, "the server says: what (error 7)"},
		{append(oneRow("a"), oneRow(int32(1))...), result{rows: []string{"a", "1"}}, ""},
		{oneRow("a")[:20], result{}, errShort.Error()},
		{[]byte{0x99}, result{}, "unknown token 0x99"},
		{[]byte{tokenColumns, 1, 0, 0, 0, 0, 0, 0, 0, 0x24, 0}, result{}, "type 0x24"},
		{[]byte{tokenColumns, 0xff, 0xff}, result{}, errShort.Error()},
	} {
		got, err := parseResult(c.answer)
		if c.why == "" && (err != nil || !reflect.DeepEqual(got, c.want)) {
			t.Errorf("%x: %+v, %v", c.answer, got, err)
		}
		if c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why)) {
			t.Errorf("%x: %v, want an error with %q", c.answer, err, c.why)
		}
	}
}

func TestStatement(t *testing.T) {
	sql := wide("SELECT 1;\n")
	for what, message := range map[string][]byte{
		"with headers":    append(batchHeaders(), sql...),
		"without headers": sql,
	} {
		if got := statement(message); got != "SELECT 1" {
			t.Errorf("%s: %q", what, got)
		}
	}
	if got := statement([]byte{0xff, 0xff}); strings.Contains(got, "SELECT") {
		t.Errorf("%q", got)
	}
}

// FuzzParse: what strangers send costs an error, not the program.
func FuzzParse(f *testing.F) {
	who := login{version: version74, host: "h", user: "u", password: "p", app: "a", database: "d"}
	message, err := who.message()
	if err != nil {
		f.Fatal(err)
	}
	for _, p := range [][]byte{message, welcome(version74), oneRow("a"), oneRow(int32(1)), failure(1, 2, "x"),
		append(batchHeaders(), wide("SELECT 'a'")...)} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if l, err := parseLogin(p); err == nil {
			if m, err := l.message(); err == nil {
				if again, err := parseLogin(m); err != nil || again != l {
					t.Errorf("%+v and then %+v, %v", l, again, err)
				}
			}
		}
		parseResult(p)
		execute(statement(p), "")
	})
}
