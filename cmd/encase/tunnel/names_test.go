package tunnel

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

var nameServer = []netip.Addr{netip.MustParseAddr("10.66.0.53")}

// Whatever resolv.conf was, it is that again afterwards, also if another program has to do it; and what somebody else
// has written meanwhile stays.
func TestNameServersFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no such file")
	}
	for _, c := range []struct {
		name             string
		prepare, between func(file string)
		want             string // afterwards; empty: the file is gone
		link             string
	}{
		{"a file", func(f string) { os.WriteFile(f, []byte("old\n"), 0o644) }, nil, "old\n", ""},
		{"none", func(string) {}, nil, "", ""},
		{"a link", func(f string) { os.WriteFile(f+".real", []byte("stub\n"), 0o644); os.Symlink("x.real", f) }, nil,
			"stub\n", "x.real"},
		{"somebody else's", func(f string) { os.WriteFile(f, []byte("old\n"), 0o644) },
			func(f string) { os.WriteFile(f, []byte("newer\n"), 0o644) }, "newer\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "x")
			c.prepare(file)
			fresh := func() *nameServers {
				n := newNameServers("file", "encase0", dir, slog.New(slog.DiscardHandler))
				n.file = file
				return n
			}
			n := fresh()
			for range 2 { // a client that comes back does so again
				if err := n.set(nameServer, []string{"~corp.test", "example.test", "x\nnameserver 192.0.2.9", "-x", "~"}); err != nil {
					t.Fatal(err)
				}
			}
			if got, _ := os.ReadFile(file); !strings.HasSuffix(string(got), "nameserver 10.66.0.53\nsearch example.test\n") {
				t.Errorf("while it is up: %s", got)
			}
			if got, _ := os.ReadFile(file + ".real"); c.link != "" && string(got) != "stub\n" {
				t.Errorf("what the link leads to was changed: %s", got)
			}
			if c.between != nil {
				c.between(file)
			}
			if err := fresh().restore(); err != nil { // another program: this one was killed
				t.Fatal(err)
			}
			got, err := os.ReadFile(file)
			if string(got) != c.want || (err != nil) != (c.want == "") {
				t.Errorf("afterwards: %s, %v", got, err)
			}
			if link, _ := os.Readlink(file); link != c.link {
				t.Errorf("it leads to %q", link)
			}
			if err := fresh().restore(); err != nil {
				t.Errorf("a second time: %v", err)
			}
		})
	}
}

// Programs for name servers are called as they want to be.
func TestNameServersPrograms(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such programs")
	}
	for program, want := range map[string]string{
		"resolvectl": "dns encase0 10.66.0.53\ndomain encase0 ~corp.test\nrevert encase0\n",
		"resolvconf": "-a encase0.encase\n-d encase0.encase\n",
	} {
		dir := t.TempDir()
		script := "#!/bin/sh\necho \"$@\" >> " + dir + "/calls\n"
		if err := os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
		n := newNameServers(program, "encase0", dir, slog.New(slog.DiscardHandler))
		if err := n.set(nameServer, []string{"~corp.test"}); err != nil || n.inUse() != program {
			t.Fatal(err, n.inUse())
		}
		if err := n.restore(); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(dir + "/calls"); string(got) != want {
			t.Errorf("%s was called with\n%swant\n%s", program, got, want)
		}
	}
}
