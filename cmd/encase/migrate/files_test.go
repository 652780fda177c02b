package migrate

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/encase-tls/encase/cmd/encase/tunnel"
	_ "github.com/encase-tls/encase/codecs/all"
)

var update = flag.Bool("update", false, "write what is wanted anew, to be looked at")

// Files as programs that set up servers, and people, write them become what stands beside them; and that is right but
// for the files of the identity.
func TestFiles(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.[oc][vo][pn]*")
	if len(files) < 5 {
		t.Fatalf("files: %q", files)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			d, err := parse(file, data)
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, filepath.Ext(file)) + ".toml"
			if *update {
				os.WriteFile(golden, []byte(d.text("")), 0o644)
			}
			want, err := os.ReadFile(golden)
			if got := d.text(""); err != nil || got != string(want) {
				t.Errorf("%v\n%s\nwant\n%s", err, got, want)
			}
			check := tunnel.Commands("test")[1]
			var out strings.Builder
			check.SetOut(&out)
			check.SetErr(&out)
			check.SetArgs([]string{"-c", golden})
			check.Execute()
			for line := range strings.Lines(out.String()) {
				if strings.HasPrefix(line, golden) && !strings.Contains(line, ": identity.") && !strings.Contains(line, "warning") {
					t.Errorf("it has a mistake: %s", line)
				}
			}
		})
	}
}
