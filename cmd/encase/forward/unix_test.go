package forward

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// tryRun runs a configuration that may not be possible to run.
func tryRun(t *testing.T, text string) error {
	t.Helper()
	doc, bad := parseTOML("encase.toml", []byte("config_version = 1\n"+text))
	if doc == nil {
		t.Fatal(bad)
	}
	cfg, found := read(doc)
	if cfg == nil {
		t.Fatal(found.Err())
	}
	s := newService(nil, newJournal())
	err := s.start(cfg)
	s.stop(syscall.SIGTERM, nil)
	return err
}

func TestUnixSocketMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in")
	text := func(mode string) string { return forwardTOML("in", "unix:"+path, mode, serveTCP(t, echo), "") }
	d := run(t, text(""))
	for _, c := range []struct {
		mode string
		want fs.FileMode
	}{{"", 0o600}, {`mode = "0660"`, 0o660}, {`mode = "0606"`, 0o606}} {
		d.reloadWith(t, text(c.mode))
		info, err := os.Stat(path)
		if err != nil || info.Mode() != fs.ModeSocket|c.want {
			t.Errorf("with %q the socket is %v, %v; want %v", c.mode, info, err, c.want)
		}
	}
	if got := sayLine(t, d.dial("in"), "hello"); got != "hello" {
		t.Errorf("got %q", got)
	}
	rest, _ := os.ReadDir(filepath.Dir(path))
	if len(rest) != 1 {
		t.Errorf("%v are in the folder, want the socket alone", rest)
	}
	d.kill()
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket is still there when the program has ended")
	}
}

// The file that a program left which died is replaced. Everything else stays.
func TestUnixSocketStale(t *testing.T) {
	backend := serveTCP(t, echo)
	text := func(path string) string { return forwardTOML("in", "unix:"+path, "", backend, "") }
	t.Run("left behind", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "in")
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		l.Close()
		if got := sayLine(t, run(t, text(path)).dial("in"), "hello"); got != "hello" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("in use", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "in")
		first := run(t, text(path))
		first.address("in")
		if err := tryRun(t, text(path)); err == nil || !strings.Contains(err.Error(), "another program listens on "+path) {
			t.Errorf("a second program got %v", err)
		}
		if got := sayLine(t, first.dial("in"), "hello"); got != "hello" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("no socket", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "in")
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := tryRun(t, text(path)); err == nil || !strings.Contains(err.Error(), "no socket; move it away") {
			t.Errorf("got %v", err)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != "precious" {
			t.Errorf("the file is %q, %v now", data, err)
		}
	})
	t.Run("replaced meanwhile", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "in")
		d := run(t, text(path))
		d.address("in")
		os.Remove(path)
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		d.kill()
		if data, err := os.ReadFile(path); err != nil || string(data) != "precious" {
			t.Errorf("the file is %q, %v now", data, err)
		}
	})
}

// Abstract addresses have no file.
func TestUnixSocketAbstract(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("abstract addresses are Linux's")
	}
	name := fmt.Sprintf("@encase-test-%d", os.Getpid())
	run(t, forwardTOML("in", "unix:"+name, "", serveTCP(t, echo), ""))
	c, err := net.Dial("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := sayLine(t, c, "hello"); got != "hello" {
		t.Errorf("got %q", got)
	}
}
