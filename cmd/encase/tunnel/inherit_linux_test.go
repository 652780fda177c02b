package tunnel

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A socket is found by its name, and only if it was meant for this process.
func TestInherited(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	vars := map[string]string{"LISTEN_FDS": "2", "LISTEN_FDNAMES": "other:vpn", "LISTEN_PID": strconv.Itoa(os.Getpid())}
	env := func(name string) string { return vars[name] }
	fd, err := unix.Dup(int(f.Fd())) // a number that nobody else closes
	if err != nil {
		t.Fatal(err)
	}
	got, err := inheritedFrom("vpn", fd-1, env)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	again, err := net.FileListener(got)
	if err != nil || again.Addr().String() != l.Addr().String() {
		t.Fatalf("%v, %v", again, err)
	}
	again.Close()
	if _, err := inheritedFrom("web", 3, env); err == nil || !strings.Contains(err.Error(), `["other" "vpn"]`) {
		t.Errorf("a name that is not there: %v", err)
	}
	vars["LISTEN_PID"] = "1"
	if _, err := inheritedFrom("vpn", 3, env); err == nil || !strings.Contains(err.Error(), "handed down") {
		t.Errorf("sockets of another process: %v", err)
	}
}
