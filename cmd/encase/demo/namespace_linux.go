package demo

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// A namespace is a network of its own. It has no name: it ends with its thread, and so with this program, however that
// ends.
type namespace struct {
	work chan func()
	tid  int
}

// newNamespace makes a namespace with nothing in it but loopback.
func newNamespace() (*namespace, error) {
	n := &namespace{work: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine, and with it the namespace
		err := unix.Unshare(unix.CLONE_NEWNET)
		n.tid = unix.Gettid()
		made <- err
		for f := range n.work {
			f()
		}
	}()
	if err := <-made; err != nil {
		close(n.work)
		return nil, fmt.Errorf("a network namespace: %w; it needs root", err)
	}
	return n, n.ip("link", "set", "lo", "up")
}

// path returns the file of the namespace.
func (n *namespace) path() string { return fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), n.tid) }

// do runs f in the namespace: sockets that it makes belong there for ever.
func (n *namespace) do(f func() error) error {
	done := make(chan error)
	n.work <- func() { done <- f() }
	return <-done
}

// ip runs the program ip in the namespace.
func (n *namespace) ip(args ...string) error {
	return n.do(func() error {
		out, err := exec.Command("ip", args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %v: %w: %s", args, err, out)
		}
		return nil
	})
}

// wire connects two namespaces; the interfaces are called as the other end, and have addresses
// 10.99.NUMBER.1 and .2.
func wire(a, b *namespace, number int) error {
	nameA, nameB := fmt.Sprintf("client%d", number), "server"
	steps := []func() error{
		func() error {
			return a.ip("link", "add", nameA, "type", "veth", "peer", "name", nameB, "netns", fmt.Sprint(b.tid))
		},
		func() error { return a.ip("addr", "add", fmt.Sprintf("10.99.%d.1/24", number), "dev", nameA) },
		func() error { return b.ip("addr", "add", fmt.Sprintf("10.99.%d.2/24", number), "dev", nameB) },
		func() error { return a.ip("link", "set", nameA, "up") },
		func() error { return b.ip("link", "set", nameB, "up") },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (n *namespace) close() { close(n.work) }
