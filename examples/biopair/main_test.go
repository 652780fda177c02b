package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs/check"
	"github.com/encase-tls/encase/frame"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	os.Exit(m.Run())
}

func TestRun(t *testing.T) {
	for _, n := range []int{0, 6, 1<<20 + 1} {
		var out bytes.Buffer
		if err := run(t.Context(), bytes.NewReader(make([]byte, n)), &out); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
		if want := fmt.Sprintf("got %d bytes\n", n); out.String() != want {
			t.Errorf("%d bytes: the answer is %q, want %q", n, &out, want)
		}
	}
}

func TestHeaderKeepsTheContract(t *testing.T) {
	if err := check.Codec(frame.Symmetric(func() frame.Codec { return header{} })); err != nil {
		t.Error(err)
	}
}

// TestFaults checks what each end reports, and that the other is told.
func TestFaults(t *testing.T) {
	t.Run("cut", func(t *testing.T) {
		client, server := links(t, "server.example")
		go func() {
			client.Write([]byte("half of it"))
			client.Close()
		}()
		if _, err := io.ReadAll(server); !errors.Is(err, bio.ErrTruncated) {
			t.Errorf("the server reports %v, want bio.ErrTruncated", err)
		}
	})
	t.Run("not a frame", func(t *testing.T) {
		client, server := links(t, "server.example")
		go client.tcp.Write([]byte("GET / HTTP/1.1\r\n"))
		if _, err := io.ReadAll(server); !errors.Is(err, frame.ErrMalformed) {
			t.Errorf("the server reports %v, want frame.ErrMalformed", err)
		}
	})
	t.Run("wrong name", func(t *testing.T) {
		client, server := links(t, "other.example")
		go client.Write(nil)
		var alert *bio.AlertError
		if _, err := io.ReadAll(server); !errors.As(err, &alert) || alert.Sent {
			t.Errorf("the server reports %v, want the client's alert", err)
		}
	})
}

// links returns both ends of a link for which no handshake has been done. The client expects a server of that name.
func links(t *testing.T, name string) (client, server *link) {
	ca, err := ephemeral.New("test CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("server.example")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dialled, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	end := func(tcp net.Conn, cfg *tls.Config, role frame.Role) *link {
		t.Cleanup(func() { tcp.Close() })
		tcp.SetDeadline(time.Now().Add(10 * time.Second))
		l, err := newLink(t.Context(), tcp, cfg, role)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	return end(dialled, &tls.Config{RootCAs: ca.Pool(), ServerName: name}, frame.Client),
		end(accepted, &tls.Config{Certificates: []tls.Certificate{cert}}, frame.Server)
}
