package tun

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/encase-tls/encase/tun/tuntest"
)

// megabytes returns how much n MB are here: less under the race detector, more in a soak test.
func megabytes(n int) int {
	switch {
	case raceEnabled:
		n = max(1, n/10)
	case os.Getenv("ENCASE_SOAK") != "":
		n *= 10
	}
	return n << 20
}

func sumOf(r io.Reader) string {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return fmt.Sprintf("%s, %d bytes, %v", hex.EncodeToString(h.Sum(nil)), n, err)
}

// A fileServer gives a file, and says what it has been given, by HTTP.
type fileServer struct{ name string }

func (f fileServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		io.WriteString(w, sumOf(r.Body))
		return
	}
	http.ServeFile(w, r, f.name)
}

// serve serves a file at an address in a namespace, and returns where.
func serve(t testing.TB, ns *tuntest.Namespace, address, file string) (url string) {
	t.Helper()
	var l net.Listener
	ns.Do(func() (err error) { l, err = net.Listen("tcp", net.JoinHostPort(address, "0")); return err })
	s := &http.Server{Handler: fileServer{file}}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return "http://" + l.Addr().String() + "/"
}

// A big file goes both ways through the tunnel, fetched and sent by a program that knows nothing of it.
func TestFiles(t *testing.T) {
	tuntest.Need(t, "curl")
	file := t.TempDir() + "/file"
	n := megabytes(100)
	data, err := io.ReadAll(tuntest.Noise(0, n))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	want := sumOf(bytes.NewReader(data))
	for _, carrier := range []Carrier{Stream, Datagrams} {
		t.Run(string(carrier), func(t *testing.T) {
			r := newRig(t, nil)
			c := r.client("alice.test", nil, carrier)
			c.address()
			for _, address := range []string{"10.66.0.1", "fd66::1"} {
				url := serve(t, r.ns, address, file)
				if got := curl(t, c.ns, url); got != want {
					t.Errorf("from %s comes %s, want %s", address, got, want)
				}
				if got := c.ns.Run("curl", "-sSgf", "--max-time", "100", "-T", file, url); got != want {
					t.Errorf("to %s goes %s, want %s", address, got, want)
				}
			}
		})
	}
}

// curl fetches a page and returns its sum.
func curl(t *testing.T, ns *tuntest.Namespace, url string) string {
	t.Helper()
	cmd := ns.Command("curl", "-sSgf", "--max-time", "100", url)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sum := sumOf(out)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("curl %s: %v: %s", url, err, complaint.String())
	}
	return sum
}

// Many flows at once, both ways, keep their bytes to themselves, also when the device has several queues, which several
// goroutines read.
func TestManyFlows(t *testing.T) {
	const flows = 32
	for _, carrier := range []Carrier{Stream, Datagrams} {
		for _, queues := range []int{1, 2, 4} {
			t.Run(fmt.Sprintf("%s/%d", carrier, queues), func(t *testing.T) {
				r := newRig(t, func(c *ServerConfig) { c.Interface.Queues = queues })
				c := r.client("alice.test", func(c *ClientConfig) { c.Interface.Queues = queues }, carrier)
				c.address()
				var all []*tuntest.Flow
				for i := range flows {
					from, to, address := c.ns, r.ns, [...]string{"10.66.0.1", "fd66::1"}[i/2%2]
					if i%2 == 1 {
						from, to, address = to, from, [...]string{"10.66.0.2", "fd66::2"}[i/2%2]
					}
					f := tuntest.NewFlow(t, from, to, address)
					f.Start(tuntest.Noise(i, megabytes(40)/flows))
					all = append(all, f)
				}
				for i, f := range all {
					if n := f.Wait(); n != int64(megabytes(40)/flows) {
						t.Errorf("flow %d has carried %d bytes", i, n)
					}
				}
			})
		}
	}
}
