package datagram

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/logging"

	"github.com/encase-tls/encase/wrap/needtest"
)

// TestListenerManyClients lets clients of pion's and our own connect at once, to several sockets.
func TestListenerManyClients(t *testing.T) {
	client, server := configs(t, "")
	server.Handler, server.Socket.ReadBuffer = echo, 4<<20
	l := listen(t, server, ListenOptions{Shards: 2})
	const each = 40
	var clients sync.WaitGroup
	for i := range each {
		clients.Go(func() { mustEcho(t, dial(t, l, client), fmt.Sprintf("ours, %d", i)) })
		clients.Go(func() {
			c, err := pionClient(l)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if err := ask(c, fmt.Sprintf("pion's, %d", i)); err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
	if s := l.Stats(); s.Opened != 2*each || s.Failed != 0 {
		t.Errorf("%+v", s)
	}
	eventually(t, "pion's have gone", func() bool { return l.Stats().Peers == each })
}

// pionClient connects with pion alone.
func pionClient(l *Listener) (*dtls.Conn, error) {
	shared, err := sharedCredential()
	if err != nil {
		return nil, err
	}
	c, err := dtls.DialWithOptions("udp4", l.Addr().(*net.UDPAddr),
		dtls.WithRootCAs(shared.ca.Pool()), dtls.WithServerName("server.test"),
		dtls.WithLoggerFactory(&logging.DefaultLoggerFactory{Writer: io.Discard}))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return c, c.HandshakeContext(ctx)
}

// TestListenerPrograms lets programs that no one here wrote talk to it: each line comes back.
func TestListenerPrograms(t *testing.T) {
	for _, args := range [][]string{
		{"openssl", "s_client", "-dtls1_2", "-connect", "ADDR"},
		{"openssl", "s_client", "-dtls1_2", "-connect", "ADDR", "-mtu", "300"},
		{"gnutls-cli", "--udp", "--insecure", "-p", "PORT", "127.0.0.1"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			if _, err := exec.LookPath(args[0]); err != nil {
				needtest.Skip(t, "%s is needed: %v", args[0], err)
			}
			_, server := configs(t, "", slowFlights)
			server.Handler = echo
			l := listen(t, server, ListenOptions{})
			_, port, _ := net.SplitHostPort(l.Addr().String())
			line := talk(t, args, strings.NewReplacer("ADDR", l.Addr().String(), "PORT", port))
			if line != "do you hear me?" {
				t.Errorf("%q", line)
			}
			eventually(t, "it has said goodbye", func() bool { return l.Stats().Peers == 0 })
		})
	}
}

// talk starts a program, gives it a line and returns what comes back, once it does.
func talk(t *testing.T, args []string, names *strings.Replacer) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var full []string
	for _, a := range args[1:] {
		full = append(full, names.Replace(a))
	}
	cmd := exec.CommandContext(ctx, args[0], full...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); cmd.Wait() }()
	in.Write([]byte("do you hear me?\n"))
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), "do you hear me?") {
			return lines.Text()
		}
	}
	return ""
}
