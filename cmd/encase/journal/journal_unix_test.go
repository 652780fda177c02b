//go:build unix

package journal

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// listen is the journal's end.
func listen(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func hear(t *testing.T, l *net.UnixConn) string {
	t.Helper()
	l.SetReadDeadline(time.Now().Add(20 * time.Second))
	buf := make([]byte, 1<<18)
	n, err := l.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

// A record is a datagram, its attributes are fields, and nothing in a value makes a field of its own.
func TestRecords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l := listen(t, path)
	var level slog.LevelVar
	log := slog.New(New(path, &level))
	for _, c := range []struct {
		name string
		do   func()
		want string
	}{
		{"plain", func() { log.Info("tunnel is up", "mtu", 1400) },
			"MESSAGE=tunnel is up mtu=1400\nPRIORITY=6\nSYSLOG_IDENTIFIER=encase\nENCASE_MTU=1400\n"},
		{"groups", func() {
			log.With("client", "a").WithGroup("tls").Warn("x", "cipher suite", "y", slog.Group("in", "n", 1))
		},
			"MESSAGE=x client=a \"tls.cipher suite\"=y tls.in.n=1\nPRIORITY=4\nSYSLOG_IDENTIFIER=encase\nENCASE_CLIENT=a\n" +
				"ENCASE_TLS_CIPHER_SUITE=y\nENCASE_TLS_IN_N=1\n"},
		{"lines", func() { log.Error("x", "e", "a\nPRIORITY=0") },
			"MESSAGE=x e=\"a\\nPRIORITY=0\"\nPRIORITY=3\nSYSLOG_IDENTIFIER=encase\nENCASE_E\n" +
				"\x0c\x00\x00\x00\x00\x00\x00\x00a\nPRIORITY=0\n"},
		{"level", func() { log.Debug("no"); level.Set(slog.LevelDebug); log.Debug("yes") },
			"MESSAGE=yes\nPRIORITY=7\nSYSLOG_IDENTIFIER=encase\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.do()
			if got := hear(t, l); got != c.want {
				t.Errorf("%q\nwant\n%q", got, c.want)
			}
		})
	}
	log.Info("long", "v", strings.Repeat("x", 1<<20))
	if got := hear(t, l); len(got) > 3*maxValue {
		t.Errorf("a record of %d bytes", len(got))
	}
}

// A journal that is started anew gets what is logged from then on.
func TestJournalRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l := listen(t, path)
	log := slog.New(New(path, slog.LevelInfo))
	log.Info("one")
	hear(t, l)
	l.Close()
	os.Remove(path)
	log.Info("lost")
	l = listen(t, path)
	log.Info("two")
	if got := hear(t, l); !strings.HasPrefix(got, "MESSAGE=two\n") {
		t.Errorf("%q", got)
	}
}

// A file is read by the journal if systemd says so.
func TestReads(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		t.Skip("files have no numbers here")
	}
	t.Setenv("JOURNAL_STREAM", "1:2")
	if Reads(f) {
		t.Error("another file is taken for the journal's")
	}
	t.Setenv("JOURNAL_STREAM", fmt.Sprintf("%d:%d", s.Dev, s.Ino))
	if !Reads(f) {
		t.Error("the journal's file is not")
	}
}
