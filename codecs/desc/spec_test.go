package desc_test

import (
	"encoding/hex"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/desc"
	"github.com/encase-tls/encase/frame"
)

func specification(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../spec/description.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every description in the specification is accepted, and makes the frames that stand behind it.
func TestSpecificationExamples(t *testing.T) {
	block := regexp.MustCompile("(?s)```frame\n(.*?)```.*?```frames\n(.*?)```")
	blocks := block.FindAllStringSubmatch(specification(t), -1)
	if n := strings.Count(specification(t), "```frame\n"); n != len(blocks) || n == 0 {
		t.Fatalf("%d descriptions, %d with frames", n, len(blocks))
	}
	for _, block := range blocks {
		given := map[string]string{}
		if strings.Contains(block[1], "value session") {
			given["session"] = "0xcafef00d"
		}
		d, err := desc.Parse("description.md", []byte(block[1]), given)
		if err != nil {
			t.Errorf("%v in\n%s", err, block[1])
			continue
		}
		send := map[string]frame.Codec{"client": codecOf(t, d, frame.Client), "server": codecOf(t, d, frame.Server)}
		for line := range strings.Lines(block[2]) {
			sender, digits, _ := strings.Cut(line, " ")
			want := strings.Join(strings.Fields(digits), "")
			if got := hex.EncodeToString(encode(t, send[sender], []byte("hello"))); got != want {
				t.Errorf("a frame of the %s is %s, the specification says %s, of\n%s", sender, got, want, block[1])
			}
		}
	}
}

// The parser refuses what the specification says, for that reason alone, and for no reason that it does not name.
func TestSpecificationRefusals(t *testing.T) {
	_, section, _ := strings.Cut(specification(t), "\n## 6. ")
	section, _, _ = strings.Cut(section, "\n## ")
	var rules []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|.*\\| (.*) \\|$").FindAllStringSubmatch(section, -1) {
		rule, example := row[1], row[2]
		rules = append(rules, rule)
		example, ok := strings.CutPrefix(example, "`")
		if !ok {
			continue // in words; TestRefusals has it
		}
		example, rest, _ := strings.Cut(example, "`")
		given := map[string]string{}
		if strings.Contains(rest, "`one`") {
			given["one"] = "1"
		}
		_, err := desc.Parse("f", []byte(strings.ReplaceAll(example, ";", "\n")), given)
		var m desc.Mistakes
		if !errors.As(err, &m) || len(m) != 1 || m[0].Rule != rule {
			t.Errorf("%s: %s: %v", rule, example, err)
		}
	}
	want := slices.Clone(desc.RuleNames())
	slices.Sort(want)
	slices.Sort(rules)
	if !slices.Equal(rules, want) {
		t.Errorf("the specification names the rules %v\nthe parser has %v", rules, want)
	}
}

// The checksums of the specification are those of the package, with the check values that it gives.
func TestSpecificationChecksums(t *testing.T) {
	row := regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\| (\\d+) \\|.*\\| ([0-9a-f]+) \\|$")
	rows := row.FindAllStringSubmatch(specification(t), -1)
	if len(rows) != len(refSums) {
		t.Errorf("the specification has %d checksums, the package %d", len(rows), len(refSums))
	}
	for _, row := range rows {
		d, err := desc.Compile("sum", []byte("payload\ncheck "+row[2]+" "+row[1]), nil)
		if err != nil {
			t.Errorf("%s: %v", row[1], err)
			continue
		}
		f := encode(t, codecOf(t, d, frame.Client), []byte("123456789"))
		if got := hex.EncodeToString(f[9:]); got != row[3] {
			t.Errorf("%s is %s, the specification says %s", row[1], got, row[3])
		}
	}
}
