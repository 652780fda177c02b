//go:build linux

// Package tuntest makes network namespaces, and what belongs into them, for tests of tunnels. Nothing of it touches the
// namespace that the tests run in.
package tuntest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Patience bounds every wait of these tests.
const Patience = time.Minute

// Skip skips a test for want of something, but not where all has been provided for: in CI it fails.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// NeedRoot skips a test where it cannot have namespaces and devices.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		Skip(t, "needs root, for a network namespace and a device in it")
	}
}

// Need skips a test where a program is missing.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			Skip(t, "needs %s", p)
		}
	}
}

// A Namespace is a network namespace that lives as long as its test.
type Namespace struct {
	t    testing.TB
	Name string
}

var made atomic.Int64

// New makes a namespace with nothing in it but loopback.
func New(t testing.TB) *Namespace {
	t.Helper()
	NeedRoot(t)
	Need(t, "ip")
	n := &Namespace{t, fmt.Sprintf("encase-%d-%d", os.Getpid(), made.Add(1))}
	Command(t, "ip", "netns", "add", n.Name)
	t.Cleanup(func() { Command(t, "ip", "netns", "del", n.Name) })
	n.IP("link", "set", "lo", "up")
	return n
}

// Path returns the file of the namespace.
func (n *Namespace) Path() string { return "/run/netns/" + n.Name }

// IP runs ip in the namespace.
func (n *Namespace) IP(args ...string) string {
	n.t.Helper()
	return Command(n.t, "ip", append([]string{"-n", n.Name}, args...)...)
}

// Command returns a command that will run in the namespace.
func (n *Namespace) Command(name string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", n.Name, name}, args...)...)
}

// Run runs a command in the namespace and returns what it prints.
func (n *Namespace) Run(name string, args ...string) string {
	n.t.Helper()
	out, err := n.Command(name, args...).CombinedOutput()
	if err != nil {
		n.t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Eventually waits until something is so, and ends the test if it is not within Patience. A machine that was halted for a
// while has that only behind it when the test has looked a few hundred times.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(Patience)
	for looks := 1; !ok(); looks++ {
		if looks > 500 && time.Now().After(end) {
			t.Fatalf("not after %v: %s", Patience, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// AwaitAddress waits until packets to an address of the namespace are taken in: the kernel has a new one of IPv6 at
// once, but makes the route that leads packets to it somewhat later.
func (n *Namespace) AwaitAddress(address string) {
	n.t.Helper()
	Eventually(n.t, "packets to "+address+" are taken in", func() bool {
		out, err := n.Command("ip", "route", "get", address).CombinedOutput()
		return err == nil && strings.HasPrefix(string(out), "local ")
	})
}

// Connect makes a pair of virtual Ethernet interfaces between two namespaces, each with a name and an address such as
// 10.1.0.1/24, and waits until both are up.
func Connect(a, b *Namespace, nameA, addrA, nameB, addrB string) {
	a.t.Helper()
	Command(a.t, "ip", "link", "add", nameA, "netns", a.Name, "type", "veth", "peer", "name", nameB, "netns", b.Name)
	a.IP("addr", "add", addrA, "dev", nameA)
	b.IP("addr", "add", addrB, "dev", nameB)
	a.IP("link", "set", nameA, "up")
	b.IP("link", "set", nameB, "up")
	for name, n := range map[string]*Namespace{nameA: a, nameB: b} {
		Eventually(a.t, name+" is up", func() bool { return strings.Contains(n.IP("link", "show", name), "state UP") })
	}
}

// Command runs a program and returns what it prints.
func Command(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Do runs f in the namespace, on a thread of its own: sockets that f makes belong to the namespace for ever.
func (n *Namespace) Do(f func() error) {
	n.t.Helper()
	if err := n.Try(f); err != nil {
		n.t.Fatal(err)
	}
}

// Try is Do that returns the error.
func (n *Namespace) Try(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		there, err := os.Open(n.Path())
		if err == nil {
			defer there.Close()
			err = unix.Setns(int(there.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = f()
		}
		result <- err
	}()
	return <-result
}
