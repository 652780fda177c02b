package complete

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/spf13/cobra"
)

// What is in a folder is offered for the first argument, if it begins as what is written, and nothing for a second.
func TestNames(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("such names are not allowed")
	}
	folder := filepath.Join(t.TempDir(), "a[b]*")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"office.toml", "old.toml", "home.toml", "server.toml.example"} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	offer := Names(folder, ".toml")
	for _, c := range []struct {
		args  []string
		begun string
		want  []string
	}{
		{nil, "", []string{"home", "office", "old"}}, {nil, "o", []string{"office", "old"}}, {nil, "x", nil},
		{[]string{"home"}, "", nil},
	} {
		got, how := offer(&cobra.Command{}, c.args, c.begun)
		if !slices.Equal(got, c.want) || how != cobra.ShellCompDirectiveNoFileComp {
			t.Errorf("behind %q and %q: %q, %v, want %q", c.args, c.begun, got, how, c.want)
		}
	}
	if got := NamesIn(folder+"/gone", ".toml"); got != nil {
		t.Errorf("what is not there has %q", got)
	}
}
