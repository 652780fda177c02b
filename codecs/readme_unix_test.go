//go:build unix

package codecs_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/encase-tls/encase/wrap/needtest"
	"github.com/encase-tls/encase/wrap/porttest"
)

// A step is a command in README.md, and what it says there that it prints.
type step struct {
	command string
	want    []string // lines; "..." in one stands for anything, and as a whole line for any lines
	vary    bool     // numbers are not the same each time
}

// A walk is what README.md says: all of its blocks of commands, which one shell runs.
type walk struct{ steps []step }

// readWalk takes the commands out of a text. A line with "$ " in front is a command, and those with "> " that follow are
// more of it.
func readWalk(text string) *walk {
	var w walk
	in, vary := false, false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		info, fence := strings.CutPrefix(line, "```")
		command, isCommand := strings.CutPrefix(line, "$ ")
		more, isMore := strings.CutPrefix(line, ">")
		last := len(w.steps) - 1
		switch {
		case fence:
			in, vary = !in && strings.HasPrefix(info, "console"), strings.HasSuffix(info, " numbers vary")
		case !in:
		case isCommand:
			w.steps = append(w.steps, step{command: command, vary: vary})
		case isMore && len(w.steps[last].want) == 0:
			w.steps[last].command += "\n" + strings.TrimPrefix(more, " ")
		default:
			w.steps[last].want = append(w.steps[last].want, line)
		}
	}
	return &w
}

// mark comes between the outputs of two commands.
const mark = "\x1e"

// script returns the commands for a shell, with marks between their outputs.
func (w *walk) script() string {
	var b strings.Builder
	b.WriteString("exec 2>&1\n")
	for _, s := range w.steps {
		fmt.Fprintf(&b, "%s\nprintf '%s'\n", s.command, mark)
	}
	return b.String()
}

var (
	anything = regexp.MustCompile(`\.\.\.`)
	numbers  = regexp.MustCompile(`0x[0-9a-f]+|[0-9a-f]*[0-9][0-9a-f]*`)
	asRoot   = "Running as user \"root\" and group \"root\". This could be dangerous." // tshark's word to who tests
)

// matches reports whether the lines that were printed are those that are wanted.
func (s *step) matches(got []string) bool {
	var pattern strings.Builder
	pattern.WriteString(`^`)
	for _, line := range s.want {
		if line == "..." {
			pattern.WriteString(`(?:.*\n)*?`)
			continue
		}
		if s.vary {
			line = numbers.ReplaceAllString(line, "0")
		}
		for i, part := range anything.Split(line, -1) {
			if i > 0 {
				pattern.WriteString(`.*`)
				part = strings.TrimLeft(part, " ") // how many blanks follow depends on what was left out
			}
			pattern.WriteString(regexp.QuoteMeta(part))
		}
		pattern.WriteString(`\n`)
	}
	pattern.WriteString(`$`)
	text := strings.Join(append(got, ""), "\n")
	if s.vary {
		text = numbers.ReplaceAllString(text, "0")
	}
	return regexp.MustCompile(pattern.String()).MatchString(text)
}

// TestReadme runs the commands in README.md, and compares what they print with what it says. It needs the programs that
// they call, and to be root for the capture: otherwise it is skipped, except where the environment variable CI says that
// everything must be there.
func TestReadme(t *testing.T) {
	for _, program := range []string{"bash", "clang", "openssl", "tcpdump", "tshark", "wasm-ld"} {
		if _, err := exec.LookPath(program); err != nil {
			needtest.Skip(t, "%s is not installed", program)
		}
	}
	if os.Geteuid() != 0 {
		needtest.Skip(t, "tcpdump needs root")
	}
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(porttest.Free(t))
	w := readWalk(strings.ReplaceAll(string(text), "4433", port))
	if len(w.steps) < 20 {
		t.Fatalf("README.md has %d commands", len(w.steps))
	}
	outputs := strings.Split(w.run(t), mark)
	if len(outputs) != len(w.steps)+1 {
		t.Fatalf("%d of %d commands have ended:\n%s", len(outputs)-1, len(w.steps), outputs[len(outputs)-1])
	}
	for i, s := range w.steps {
		var got []string
		for line := range strings.Lines(outputs[i]) {
			if line = strings.TrimSuffix(line, "\n"); line != asRoot {
				got = append(got, line)
			}
		}
		if !s.matches(got) {
			t.Errorf("$ %s\nprints:\n%s\nREADME.md has:\n%s", s.command, strings.Join(got, "\n"),
				strings.Join(s.want, "\n"))
		}
	}
}

// run runs the commands in a folder of their own, with the encase that is built of these sources, and returns what they
// print. Whatever they leave running ends with them.
func (w *walk) run(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "encase"), "./cmd/encase")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-c", w.script())
	shell.Dir = t.TempDir()
	shell.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "ENCASE="+root,
		"WIRESHARK_CONFIG_DIR="+shell.Dir, "LC_ALL=C.UTF-8", "GOFLAGS=-mod=mod", "GOPROXY=off", "GOSUMDB=off", "GOWORK=off")
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	end := func() error { return syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) }
	shell.Cancel, shell.WaitDelay = end, time.Second
	var out bytes.Buffer
	shell.Stdout, shell.Stderr = &out, &out
	if err := shell.Run(); err != nil {
		t.Errorf("bash: %v", err)
	}
	end() // ESRCH says that nothing is left
	return out.String()
}

// TestMatches: what is compared is all that is not left out.
func TestMatches(t *testing.T) {
	for _, c := range []struct {
		want, got string
		vary, ok  bool
	}{
		{"a\nb", "a\nb", false, true},
		{"a", "a\nb", false, false},
		{"a\nb", "a", false, false},
		{"", "a", false, false},
		{"...\nb", "a\na\nb", false, true},
		{"a\n...", "a", false, true},
		{"...\nb", "a\na", false, false},
		{"a ...  c", "a b b c", false, true},
		{"a ...  c", "a b d", false, false},
		{"5 bytes", "6 bytes", false, false},
		{"5 bytes, 0xdd", "17 bytes, 0x7f", true, true},
		{"5 bytes", "5 frames", true, false},
	} {
		s := step{vary: c.vary, want: strings.Split(c.want, "\n")}
		if c.want == "" {
			s.want = nil
		}
		if s.matches(strings.Split(c.got, "\n")) != c.ok {
			t.Errorf("%q, printed where %q is wanted: want %v", c.got, c.want, c.ok)
		}
	}
}

// TestReadmeLinks: what README.md points to is there.
func TestReadmeLinks(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range regexp.MustCompile(`\]\(([^)#]+)\)`).FindAllStringSubmatch(string(text), -1) {
		if _, err := os.Stat(link[1]); err != nil {
			t.Error(err)
		}
	}
}
