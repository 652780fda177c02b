package confine

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// asConfined makes the test binary a program that confines itself; its value is a folder.
const asConfined = "ENCASE_TEST_CONFINED"

func TestMain(m *testing.M) {
	if folder := os.Getenv(asConfined); folder != "" {
		if err := confined(folder); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// confined confines this program, and returns what it may do and should not, or may not do and should.
func confined(folder string) error {
	release := manyThreads()
	defer release()
	open, err := os.Open(folder + "/secret") // what is open stays open
	if err != nil {
		return err
	}
	defer open.Close()
	if err := Enforce(Needs{
		Read:  []string{folder + "/read", folder + "/gone", "/proc"},
		Write: []string{folder + "/write", folder + "/file"}, Capabilities: []int{unix.CAP_NET_ADMIN},
	}, true); err != nil {
		return err
	}
	var all []error
	for _, c := range []struct {
		what string
		err  error
		want error
	}{
		{"reading", read(folder + "/read/a"), nil},
		{"reading what is replaced", errors.Join(os.WriteFile(folder+"/write/x", nil, 0o600),
			os.Rename(folder+"/write/x", folder+"/write/a"), read(folder+"/write/a")), nil},
		{"removing", os.Remove(folder + "/write/a"), nil},
		{"writing a file", os.WriteFile(folder+"/file", []byte("x"), 0o600), nil},
		{"writing where it reads", os.WriteFile(folder+"/read/b", nil, 0o600), fs.ErrPermission},
		{"reading elsewhere", read(folder + "/secret"), fs.ErrPermission},
		{"reading what is the system's", read("/etc/passwd"), fs.ErrPermission},
		{"executing", execute(), unix.EPERM},
		{"another namespace", unix.Unshare(unix.CLONE_NEWNET), unix.EPERM},
		{"another user", second(unix.RawSyscall(unix.SYS_SETUID, 1, 0, 0)), unix.EPERM},
		{"a socket", listen(), nil},
	} {
		if !errors.Is(c.err, c.want) {
			all = append(all, fmt.Errorf("%s: %v, want %v", c.what, c.err, c.want))
		}
	}
	runtime.GC()
	return errors.Join(append(all, threads())...)
}

// manyThreads makes threads before anything is confined.
func manyThreads() (release func()) {
	done := make(chan struct{})
	var there sync.WaitGroup
	for range 8 {
		there.Add(1)
		go func() {
			runtime.LockOSThread()
			there.Done()
			<-done
		}()
	}
	there.Wait()
	return func() { close(done) }
}

func read(name string) error {
	_, err := os.ReadFile(name)
	return err
}

func second(_, _ uintptr, e unix.Errno) error { return e }

// execute starts a program that there is on every system.
func execute() error {
	p, err := os.StartProcess("/proc/self/exe", []string{"x"}, &os.ProcAttr{})
	if err == nil {
		p.Kill()
		p.Wait()
	}
	return err
}

func listen() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		l.Close()
	}
	return err
}

// threads returns an error for each thread that has more rights than the first.
func threads() (err error) {
	all, _ := filepath.Glob("/proc/self/task/*/status")
	if len(all) < 8 {
		return fmt.Errorf("there are %d threads", len(all))
	}
	capabilities := "CapEff:\t0000000000000000\n"
	if os.Getuid() == 0 {
		capabilities = "CapEff:\t0000000000001000\n"
	}
	for _, name := range all {
		text, readErr := os.ReadFile(name)
		for _, want := range []string{"NoNewPrivs:\t1\n", "Seccomp:\t2\n", capabilities} {
			if readErr != nil || !strings.Contains(string(text), want) {
				err = errors.Join(err, fmt.Errorf("%s: no %q, %v", name, want, readErr))
			}
		}
	}
	return err
}

// A program that has confined itself does what it needs to and nothing else, on all of its threads.
func TestEnforce(t *testing.T) {
	if version() == 0 {
		t.Skip("this kernel has no Landlock")
	}
	folder := t.TempDir()
	for _, dir := range []string{"/read", "/write"} {
		if err := os.Mkdir(folder+dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"/read/a", "/secret", "/file"} {
		if err := os.WriteFile(folder+file, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self)
	c.Env = append(os.Environ(), asConfined+"="+folder)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The filter refuses what is on its list, calls of another architecture and those of x32, and nothing else.
func TestFilter(t *testing.T) {
	raw, err := program(unix.AUDIT_ARCH_X86_64)
	if err != nil {
		t.Fatal(err)
	}
	code, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatal("not to be understood")
	}
	vm, err := bpf.NewVM(code)
	if err != nil {
		t.Fatal(err)
	}
	const allow, refuse = unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_ERRNO | int(unix.EPERM)
	for _, c := range []struct {
		architecture, number uint32
		want                 int
	}{
		{unix.AUDIT_ARCH_X86_64, unix.SYS_READ, allow}, {unix.AUDIT_ARCH_X86_64, unix.SYS_SENDMMSG, allow},
		{unix.AUDIT_ARCH_X86_64, unix.SYS_EXECVE, refuse}, {unix.AUDIT_ARCH_X86_64, unix.SYS_KEYCTL, refuse},
		{unix.AUDIT_ARCH_X86_64, unix.SYS_READ | x32, refuse}, {unix.AUDIT_ARCH_I386, unix.SYS_READ, refuse},
	} {
		// The machine reads big-endian numbers, the kernel its own.
		data := []byte{byte(c.number >> 24), byte(c.number >> 16), byte(c.number >> 8), byte(c.number),
			byte(c.architecture >> 24), byte(c.architecture >> 16), byte(c.architecture >> 8), byte(c.architecture)}
		if got, err := vm.Run(data); err != nil || got != c.want {
			t.Errorf("call %#x of %#x: %#x, %v, want %#x", c.number, c.architecture, got, err, c.want)
		}
	}
}

// What confines a program is told in a line.
func TestString(t *testing.T) {
	for want, s := range map[string]State{
		"user 0, no capabilities, all files, all system calls": {},
		"user 7, net_admin, files by landlock 7, calls by seccomp": {Landlock: 7, Seccomp: true, User: 7,
			Capabilities: names(1 << unix.CAP_NET_ADMIN)},
		"user 0, 6 capabilities, all files, all system calls": {Capabilities: names(0x3f)},
	} {
		if got := s.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
