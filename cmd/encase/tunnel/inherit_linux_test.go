package tunnel

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/encase-tls/encase/cmd/encase/control"
	"github.com/encase-tls/encase/tun/tuntest"
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

// A daemon serves sockets that were opened for it, as systemd does: no address is its own, and no program that it starts
// gets them.
func TestSocketActivation(t *testing.T) {
	p := newPlace(t)
	seen := filepath.Join(p.dir, "seen")
	vpn := p.daemon(p.server, "vpn.test", strings.NewReplacer(`address = "10.1.0.1:4443"`+"\n[[", `address = "fd:udp"`+"\n[[",
		`address = "10.1.0.1:4443"`+"\ncodec", `address = "fd:web"`+"\ncodec", "[interface]", fmt.Sprintf("[interface]\n"+
			"post_up = [\"/bin/sh\", \"-c\", \"ls -l /proc/self/fd >%s\"]\n", seen)).Replace(vpnConfig))
	alice := p.daemon(p.client, "alice.test", aliceConfig)
	files := p.sockets(t, "10.1.0.1:4443")
	vpn.start(files...)
	alice.start()
	p.reaches("10.66.0.1", tuntest.Patience)
	p.until(tuntest.Patience, "both carriers are there", func() bool {
		a, err := vpn.ask(control.Request{Do: control.Status})
		return err == nil && len(a.Status.Sessions) == 1 && len(a.Status.Sessions[0].Connections) == 2
	})
	p.until(tuntest.Patience, "the program has run", func() bool { _, err := os.Stat(seen); return err == nil })
	if text, err := os.ReadFile(seen); err != nil || strings.Contains(string(text), "socket:") {
		t.Errorf("a program of the configuration has\n%s, %v", text, err)
	}
}

// sockets opens what systemd would open, for datagrams and for streams.
func (p *place) sockets(t *testing.T, address string) (files []*os.File) {
	t.Helper()
	err := p.server.Try(func() error {
		pc, err := net.ListenPacket("udp", address)
		if err != nil {
			return err
		}
		defer pc.Close()
		l, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		defer l.Close()
		udp, err := pc.(*net.UDPConn).File()
		if err != nil {
			return err
		}
		tcp, err := l.(*net.TCPListener).File()
		files = []*os.File{udp, tcp}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { files[0].Close(); files[1].Close() })
	return files
}
