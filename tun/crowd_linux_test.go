package tun

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/tun/tuntest"
)

// A crowd's clients are in a process of their own, so that what is measured here is the server.
const (
	crowdFolder  = "ENCASE_TEST_CROWD" // with certificates, one for each client
	crowdCarrier = "ENCASE_TEST_CROWD_CARRIER"
	crowdReady   = "the crowd is there"
)

// gather starts a process with clients of the server, each with a session, that answer questions until the test ends.
func (r *rig) gather(t *testing.T, carrier Carrier, n int) {
	t.Helper()
	dir, certs := t.TempDir(), map[string]tls.Certificate{}
	for i := range n {
		name := fmt.Sprintf("client%04d.test", i)
		certs[name] = r.issue(name)
	}
	if err := r.ca.WriteFiles(dir, certs); err != nil {
		t.Fatal(err)
	}
	c := r.ns.Command(os.Args[0], "-test.run=^TestCrowdProcess$", "-test.count=1")
	c.Env = append(os.Environ(), crowdFolder+"="+dir, crowdCarrier+"="+string(carrier))
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); c.Wait() })
	var heard strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if heard.WriteString(lines.Text() + "\n"); lines.Text() == crowdReady {
			go io.Copy(io.Discard, out)
			return
		}
	}
	t.Fatalf("the crowd does not come: %s", heard.String())
}

// TestCrowdProcess is no test but the process of gather.
func TestCrowdProcess(t *testing.T) {
	dir := os.Getenv(crowdFolder)
	if dir == "" {
		t.Skip("it is a part of others")
	}
	authority, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	names, err := filepath.Glob(filepath.Join(dir, "client*.crt"))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	places := make(chan struct{}, 8)
	for _, name := range names {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			if err := attend(name, Carrier(os.Getenv(crowdCarrier)), roots); err != nil {
				t.Error(err)
			}
		})
	}
	if all.Wait(); t.Failed() {
		return
	}
	fmt.Println(crowdReady)
	io.Copy(io.Discard, os.Stdin) // until the other process has enough
}

// attend connects a client of a crowd, which goes on for as long as the process.
func attend(name string, carrier Carrier, roots *x509.CertPool) error {
	cert, err := tls.LoadX509KeyPair(name, strings.TrimSuffix(name, ".crt")+".key")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*tuntest.Patience)
	defer cancel()
	p, err := dialPuppet(ctx, carrier, cert, roots)
	if err == nil {
		err = p.join("")
	}
	if err == nil {
		go p.answer()
	}
	return err
}

// footprint returns the memory that is in use, and how many goroutines there are.
func footprint() (bytes, goroutines int) {
	var m runtime.MemStats
	for range 3 { // what pools keep goes at the second
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse), runtime.NumGoroutine()
}

// A server with many clients that have nothing to say has little memory for each, and serves one more as it would
// without them.
func TestManyIdleClients(t *testing.T) {
	n := 100
	if os.Getenv("ENCASE_SOAK") != "" {
		n = 1000
	}
	for carrier, most := range map[Carrier]int{Stream: 48 << 10, Datagrams: 28 << 10} {
		t.Run(string(carrier), func(t *testing.T) {
			r := newRig(t, func(c *ServerConfig) {
				c.Limits = Limits{Rate: -1, RateAll: -1, PerAddress: -1}
				c.Addresses = []netip.Prefix{netip.MustParsePrefix("10.66.0.1/20")}
				c.Pools = []netip.Prefix{netip.MustParsePrefix("10.66.0.0/20")}
			})
			before, goroutines := footprint()
			r.gather(t, carrier, n)
			s := r.server.Status()
			if len(s.Sessions) != n || s.Refused != 0 {
				t.Fatalf("%d sessions, %d refused", len(s.Sessions), s.Refused)
			}
			each, more := 0, 0
			tuntest.Eventually(t, fmt.Sprintf("a client takes more than %d bytes", most), func() bool {
				time.Sleep(time.Second) // what is not in use is given back when nothing has come for some time
				var after int
				after, more = footprint()
				each = (after - before) / n
				t.Logf("%d clients: %d bytes each, %.1f goroutines", n, each, float64(more-goroutines)/float64(n))
				return each <= most || raceEnabled // which needs memory of its own
			})
			if most := 4 * n; more-goroutines > most {
				t.Errorf("%d goroutines for %d clients", more-goroutines, n)
			}
			c := r.client("one-more.test", nil, carrier)
			c.address()
			transfer(t, c.ns, r.ns, "10.66.0.1", 4<<20)
		})
	}
}
