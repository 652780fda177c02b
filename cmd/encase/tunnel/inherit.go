package tunnel

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Sockets that systemd has opened: a service without a right of its own can so listen on ports below 1024, and who
// connects while it starts waits.
//
// https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html

// inheritedPrefix begins an address that is the name of such a socket.
const inheritedPrefix = "fd:"

// firstInherited is the number of the first; the others follow.
const firstInherited = 3

// inherited returns the socket with a name, which FileDescriptorName= gives; without one it is that of the socket unit.
func inherited(name string) (*os.File, error) {
	return inheritedFrom(name, firstInherited, os.Getenv)
}

func inheritedFrom(name string, first int, env func(string) string) (*os.File, error) {
	count, _ := strconv.Atoi(env("LISTEN_FDS"))
	if count == 0 || env("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, fmt.Errorf("no sockets were handed down; start encase by a socket unit, or name an address")
	}
	names := strings.Split(env("LISTEN_FDNAMES"), ":")
	i := slices.Index(names, name)
	if i < 0 || i >= count {
		return nil, fmt.Errorf("no socket with the name %q was handed down, there are %q; set FileDescriptorName=", name,
			names)
	}
	return os.NewFile(uintptr(first+i), name), nil
}

// guardInherited keeps such sockets from programs that this one starts; with open they outlive one that this process
// executes in its place.
func guardInherited(open bool) {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return
	}
	count, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	for fd := firstInherited; fd < firstInherited+count; fd++ {
		setCloseOnExec(fd, !open)
	}
}
