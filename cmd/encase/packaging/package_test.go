package packaging

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/encase-tls/encase/wrap/needtest"
)

// needs skips a test that needs programs or rights that are not there; where CI runs they are.
func needs(t *testing.T, root bool, programs ...string) {
	t.Helper()
	missing := ""
	if root && os.Getuid() != 0 {
		missing = "root"
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing = p
		}
	}
	if missing == "" {
		return
	}
	needtest.Skip(t, "needs %s", missing)
}

// run runs a program and returns what it writes.
func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
	return string(out)
}

// packages makes both packages, once for all tests.
var packages = sync.OnceValues(func() (folder string, err error) {
	if folder, err = os.MkdirTemp("", "encase-packages-*"); err != nil {
		return "", err
	}
	c := exec.Command("sh", "build.sh", folder, "deb", "rpm")
	c.Env = append(os.Environ(), "VERSION=1.0.0")
	if text, err := c.CombinedOutput(); err != nil {
		return folder, fmt.Errorf("%w\n%s", err, text)
	}
	return folder, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if made.Load() {
		folder, _ := packages()
		os.RemoveAll(folder)
	}
	os.Exit(code)
}

// made says that packages has been called.
var made atomic.Bool

// build returns the file of a package.
func build(t *testing.T, format string) string {
	t.Helper()
	made.Store(true)
	folder, err := packages()
	if err != nil {
		if os.Getenv("CI") == "" && strings.Contains(err.Error(), "dial tcp") {
			t.Skipf("there is no network to get the packager from: %v", err)
		}
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(folder, "*."+format))
	if len(files) != 1 {
		t.Fatalf("packages: %q", files)
	}
	return files[0]
}

// installed is what both packages hold, among other things.
var installed = []string{
	"/usr/bin/encase", "/usr/lib/systemd/system/encase@.service", "/usr/lib/systemd/system/encase@.socket",
	"/usr/lib/sysusers.d/encase.conf", "/usr/lib/tmpfiles.d/encase.conf", "/usr/lib/modules-load.d/encase.conf",
	"/etc/encase/server.toml.example", "/etc/encase/client.toml.example", "/usr/share/doc/encase/copyright",
	"/usr/share/bash-completion/completions/encase", "/usr/share/fish/vendor_completions.d/encase.fish",
	"/usr/share/man/man1/encase.1.gz", "/usr/share/man/man1/encase-up.1.gz", "/usr/share/man/man5/encase.toml.5.gz",
	"/usr/share/man/man8/encase.8.gz",
}

// A Debian package can be installed, upgraded, removed and purged. What its user has written stays; what is the
// daemon's own goes when that is asked for.
func TestDeb(t *testing.T) {
	needs(t, true, "dpkg", "dpkg-deb")
	deb := build(t, "deb")
	checkControl(t, deb)
	root := scratch(t)
	dpkg := func(args ...string) {
		t.Helper()
		run(t, "dpkg", append([]string{"--root=" + root, "--force-script-chrootless"}, args...)...)
	}
	dpkg("-i", deb)
	for _, f := range append(installed, "/usr/share/zsh/vendor-completions/_encase") {
		checkFile(t, root, f)
	}
	checkFolders(t, root)
	if got := run(t, filepath.Join(root, "usr/bin/encase"), "--version"); !strings.HasPrefix(got, "encase ") {
		t.Errorf("the program says %q", got)
	}
	checkCompletions(t, root)
	edited, own, state := root+"/etc/encase/server.toml.example", root+"/etc/encase/a.key", root+"/var/lib/encase/leases"
	for _, f := range []string{edited, own, state} {
		write(t, f, "mine")
	}
	dpkg("-i", deb) // as an upgrade does
	dpkg("-r", "encase")
	if _, err := os.Stat(root + "/usr/bin/encase"); !os.IsNotExist(err) {
		t.Errorf("the program is still there: %v", err)
	}
	for _, f := range []string{edited, own, state} {
		if got, err := os.ReadFile(f); err != nil || string(got) != "mine" {
			t.Errorf("%s, which its user has written: %q, %v", f, got, err)
		}
	}
	dpkg("-P", "encase")
	if _, err := os.Stat(state); !os.IsNotExist(err) {
		t.Errorf("leases after a purge: %v", err)
	}
	if _, err := os.Stat(own); err != nil {
		t.Errorf("a key after a purge: %v", err)
	}
}

// checkCompletions wants each shell to understand what it gets.
func checkCompletions(t *testing.T, root string) {
	t.Helper()
	for shell, file := range map[string]string{
		"bash": "bash-completion/completions/encase", "zsh": "zsh/vendor-completions/_encase",
		"fish": "fish/vendor_completions.d/encase.fish",
	} {
		t.Run(shell, func(t *testing.T) {
			needs(t, false, shell)
			run(t, shell, "-n", root+"/usr/share/"+file)
		})
	}
}

// scratch returns a folder for a system that has no packages, and root as its only user.
func scratch(t *testing.T) string {
	root := t.TempDir()
	for _, dir := range []string{"/var/lib/dpkg/info", "/var/lib/dpkg/updates", "/etc"} {
		if err := os.MkdirAll(root+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, root+"/var/lib/dpkg/status", "")
	write(t, root+"/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
	write(t, root+"/etc/group", "root:x:0:\n")
	return root
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// checkControl looks at what a package says of itself.
func checkControl(t *testing.T, deb string) {
	t.Helper()
	dir := t.TempDir()
	run(t, "dpkg-deb", "-e", deb, dir)
	for name, wants := range map[string][]string{
		"control":   {"Package: encase\n", "Version: 1.0.0\n", "Maintainer: ", "Description: TLS", "Section: net\n"},
		"conffiles": {"/etc/encase/server.toml.example\n", "/etc/encase/client.toml.example\n"},
		"md5sums":   {"  usr/bin/encase\n"}, "postinst": {"#!/bin/sh\n", "\nset -e\n"},
		"prerm": {"\nset -e\n"}, "postrm": {"\nset -e\n"},
	} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(text), want) {
				t.Errorf("%q is not in %s:\n%s", want, name, text)
			}
		}
	}
}

// checkFile wants a file to be root's, and nobody else to be able to change it or to become root by it.
func checkFile(t *testing.T, root, name string) {
	t.Helper()
	info, err := os.Stat(root + name)
	if err != nil {
		t.Error(err)
		return
	}
	want := os.FileMode(0o644)
	if strings.HasPrefix(name, "/usr/bin/") {
		want = 0o755
	}
	if info.Mode() != want || info.Size() == 0 {
		t.Errorf("%s has mode %v and %d bytes, want %v", name, info.Mode(), info.Size(), want)
	}
}

// checkFolders wants a user without a password or a shell, and folders that nobody else looks into.
func checkFolders(t *testing.T, root string) {
	t.Helper()
	passwd, err := os.ReadFile(root + "/etc/passwd")
	line := slices.IndexFunc(strings.Split(string(passwd), "\n"), func(l string) bool {
		return strings.HasPrefix(l, "encase:") && strings.HasSuffix(l, "/nologin")
	})
	if err != nil || line < 0 {
		t.Errorf("no user encase, %v:\n%s", err, passwd)
	}
	for _, dir := range []string{"/etc/encase", "/var/lib/encase"} {
		if info, err := os.Stat(root + dir); err != nil || info.Mode().Perm() != 0o750 {
			t.Errorf("%s: %v, %v", dir, info.Mode(), err)
		}
	}
}

// An RPM package holds the same, and its examples are files of who installs it.
func TestRPM(t *testing.T) {
	needs(t, false, "rpm")
	rpm := build(t, "rpm")
	ask := func(args ...string) string {
		return run(t, "rpm", append([]string{"-qp", "--nosignature"}, append(args, rpm)...)...)
	}
	all := strings.Fields(ask("-l"))
	for _, f := range append(installed, "/usr/share/zsh/site-functions/_encase") {
		if !slices.Contains(all, f) {
			t.Errorf("%s is not in it", f)
		}
	}
	if got := ask("-c"); got != "/etc/encase/client.toml.example\n/etc/encase/server.toml.example\n" {
		t.Errorf("files of who installs it:\n%s", got)
	}
	if got := ask("--queryformat", "%{NAME} %{VERSION} %{LICENSE} [%{FILEFLAGS:fflags}]"); got != "encase 1.0.0 MIT cncn" {
		t.Errorf("it says of itself %s", got)
	}
	if got := ask("--scripts"); !strings.Contains(got, "preuninstall") || !strings.Contains(got, "postinstall") {
		t.Errorf("scripts:\n%s", got)
	}
	run(t, "rpm", "--checksig", "--nosignature", rpm)
}

// Scripts of packages are ones that every shell takes.
func TestScripts(t *testing.T) {
	scripts, _ := filepath.Glob("*.sh")
	if len(scripts) != 4 {
		t.Errorf("scripts: %q", scripts)
	}
	for _, s := range scripts {
		run(t, "sh", "-n", s)
	}
}
