package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/wrap"
)

// TestMain makes the test binary the program itself when the parent starts it again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "child" {
		main()
		return
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0") // of the child
	os.Exit(m.Run())
}

func TestRun(t *testing.T) {
	for _, n := range []int{0, 6, 1 << 20} {
		said := bytes.Repeat([]byte{'x'}, n)
		out := new(buffer)
		if err := run(t.Context(), nil, io.NopCloser(bytes.NewReader(said)), out); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
		if want := fmt.Sprintf("%x\n", sha256.Sum256(said)); out.String() != want {
			t.Errorf("%d bytes: the answer is %q, want %q", n, out, want)
		}
	}
}

// TestCut checks that the child sums nothing up that was cut off.
func TestCut(t *testing.T) {
	ca, err := ephemeral.New("test CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("child.example")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := ca.WriteFiles(dir, map[string]tls.Certificate{"child": cert}); err != nil {
		t.Fatal(err)
	}
	toChild, fromParent, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	toParent, fromChild, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- run(t.Context(), []string{"child", dir}, toChild, fromChild) }()

	conn := wrap.Client(wrap.Stream(wrap.Join(toParent, fromParent)), &wrap.Config{
		TLS: &tls.Config{RootCAs: ca.Pool(), ServerName: "child.example"},
	})
	if _, err := conn.Write([]byte("half of it")); err != nil {
		t.Fatal(err)
	}
	fromParent.Close() // without close_notify
	if err := <-ended; !errors.Is(err, bio.ErrTruncated) {
		t.Errorf("the child reports %v, want bio.ErrTruncated", err)
	}
	conn.Close()
}

// A buffer is a bytes.Buffer that can be closed.
type buffer struct{ bytes.Buffer }

func (*buffer) Close() error { return nil }
