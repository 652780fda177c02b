//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
)

// TestMain makes the test binary the program itself where a test asks for it: two roles need two processes.
func TestMain(m *testing.M) {
	if os.Getenv("TWOFILES_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestTwoProcesses(t *testing.T) {
	for name, said := range map[string]string{
		"nothing":             "",
		"a line":              "hello\n",
		"more than the FIFOs": strings.Repeat("0123456789abcde\n", 64<<10),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			server := command(t, "server", dir)
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			awaitFIFO(t, filepath.Join(dir, "to-client"))
			client := command(t, "client", dir)
			client.Stdin = strings.NewReader(said)
			heard, err := client.Output()
			if err != nil {
				t.Fatal(err)
			}
			if err := server.Wait(); err != nil {
				t.Errorf("server: %v", err)
			}
			if string(heard) != said {
				t.Errorf("%d bytes came back from %d", len(heard), len(said))
			}
		})
	}
}

// TestCut checks that a server which dies is not taken for one that has closed.
func TestCut(t *testing.T) {
	dir := t.TempDir()
	server := command(t, "server", dir)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	awaitFIFO(t, filepath.Join(dir, "to-client"))
	stdin, typed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	defer typed.Close()
	typed.WriteString("hello")
	kill := writerFunc(func(p []byte) (int, error) { return len(p), server.Process.Kill() })
	err = run(t.Context(), []string{"client", dir}, stdin, kill)
	if !errors.Is(err, bio.ErrTruncated) {
		t.Errorf("%v, want bio.ErrTruncated", err)
	}
	server.Wait() // killed
}

func TestUsage(t *testing.T) {
	if err := run(t.Context(), []string{"peer", "."}, nil, nil); err == nil {
		t.Error("a role that does not exist is accepted")
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// command is the program in a process of its own, which ends with the test.
func command(t *testing.T, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), "TWOFILES_MAIN=1", "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = new(bytes.Buffer)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%v: %v", args, cmd.Stderr)
		}
	})
	return cmd
}

func awaitFIFO(t *testing.T, name string) {
	for range 500 {
		if _, err := os.Stat(name); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("the server has not made %s", name)
}
