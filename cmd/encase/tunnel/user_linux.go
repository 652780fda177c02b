package tunnel

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// kept are the capabilities that a tunnel needs: the interface, routes and marks, and ports below 1024.
var kept = []int{unix.CAP_NET_ADMIN, unix.CAP_NET_BIND_SERVICE}

// become makes this process another user's, who has the capabilities in kept and no others, before anything of a peer
// is read: it begins the program anew with them. It returns only if there is nothing to do, or if it fails. Folders that
// the daemon writes to are made for the user first.
func (c *config) become(s *steward) error {
	name := get[string](c.doc, "interface.user")
	if name == "" || os.Getuid() != 0 {
		return nil // or it has happened
	}
	u, err := user.Lookup(name)
	if err != nil {
		return fmt.Errorf("interface.user: %w; make one with: useradd --system %s", err, name)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil || uid == 0 {
		return fmt.Errorf("interface.user: %s is not a user with fewer rights (%s)", name, u.Uid)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return fmt.Errorf("interface.user: the group of %s: %w", name, err)
	}
	for _, folder := range []string{filepath.Dir(c.controlAt), stateFolder()} {
		if err := folderFor(folder, uid, gid); err != nil {
			return fmt.Errorf("interface.user: %w", err)
		}
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	guardInherited(true)
	environment := os.Environ()
	if s != nil {
		ends, err := s.keep()
		if err != nil {
			return err
		}
		environment = append(environment, pipesEnv+"="+ends)
	}
	runtime.LockOSThread() // the kernel keeps rights by thread; that which calls exec decides
	defer runtime.UnlockOSThread()
	if err := dropTo(uid, gid); err != nil {
		return fmt.Errorf("interface.user: becoming %s: %w", name, err)
	}
	return fmt.Errorf("beginning anew as %s: %w", name, syscall.Exec(program, os.Args, environment))
}

// folderFor makes a folder and gives it to a user if it is encase's alone.
func folderFor(folder string, uid, gid int) error {
	err := os.Mkdir(folder, 0o755)
	if errors.Is(err, os.ErrExist) && folder != runFolder && folder != "/var/lib/encase" {
		return nil // somebody else's
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return os.Chown(folder, uid, gid)
}

// dropTo makes this thread another user's, with the capabilities in kept, which programs that it executes inherit.
func dropTo(uid, gid int) error {
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return err
	}
	for c := range unix.CAP_LAST_CAP + 1 {
		if !slices.Contains(kept, c) {
			unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0) // an older kernel has fewer
		}
	}
	for _, call := range []struct {
		number  uintptr
		a, b, c int
	}{
		{unix.SYS_SETGROUPS, 0, 0, 0}, {unix.SYS_SETRESGID, gid, gid, gid}, {unix.SYS_SETRESUID, uid, uid, uid},
	} { // those of package syscall change all threads
		if _, _, e := syscall.RawSyscall(call.number, uintptr(call.a), uintptr(call.b), uintptr(call.c)); e != 0 {
			return e
		}
	}
	var bits uint32
	for _, c := range kept {
		bits |= 1 << c
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Effective: bits, Permitted: bits, Inheritable: bits}}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return err
	}
	for _, c := range kept {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(c), 0, 0); err != nil {
			return err
		}
	}
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

// keep makes the pipes outlive the program that this process executes, which finds them by the text.
func (s *steward) keep() (string, error) {
	var ends []string
	for _, f := range []*os.File{s.toIt, s.fromIt} {
		raw, err := f.SyscallConn()
		if err != nil {
			return "", err
		}
		raw.Control(func(fd uintptr) {
			ends = append(ends, strconv.Itoa(int(fd)))
			_, err = unix.FcntlInt(fd, unix.F_SETFD, 0)
		})
		if err != nil {
			return "", err
		}
	}
	return strings.Join(ends, ","), nil
}

// inheritedPipe returns one that keep has kept.
func inheritedPipe(number string) *os.File {
	fd, _ := strconv.Atoi(number)
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "steward")
}

// keptCapabilities are those that a tunnel needs when it is set up: for routes and marks, and, as root without a user
// of its own, to read and replace files that are others'.
func keptCapabilities() []int {
	if os.Getuid() == 0 {
		return []int{unix.CAP_NET_ADMIN, unix.CAP_DAC_OVERRIDE}
	}
	return []int{unix.CAP_NET_ADMIN}
}

// setCloseOnExec says whether a file is closed when this process executes another program.
func setCloseOnExec(fd int, closed bool) {
	flags := 0
	if closed {
		flags = unix.FD_CLOEXEC
	}
	unix.FcntlInt(uintptr(fd), unix.F_SETFD, flags) // what is no file need not be closed
}
