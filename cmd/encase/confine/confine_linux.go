package confine

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// inForce is the version of Landlock that Enforce has used.
var inForce atomic.Int64

// Enforce confines all threads of this program to what it needs, as far as the kernel can. The error says what could
// not be done of what the kernel has, or, with strict, that it has not all; the rest is done nevertheless.
func Enforce(n Needs, strict bool) error {
	errs := []error{dropCapabilities(n.Capabilities)}
	_, _, e := psx.Syscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
	errs = append(errs, fault("no_new_privs", e), bound(n, strict), filter(strict))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("confine: %w", err)
	}
	return nil
}

func fault(what string, err error) error {
	if err == nil || err == unix.Errno(0) {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// version returns that of the kernel's Landlock, 0 if there is none or if it is turned off.
func version() int {
	v, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 {
		return 0
	}
	return int(v)
}

// bound bounds the files. Of later versions than the seventh nothing is used but what the library does of itself.
func bound(n Needs, strict bool) error {
	const tried = 7
	has := min(version(), tried)
	if has == 0 {
		if strict {
			return errors.New("this kernel has no Landlock; boot it with lsm=landlock,..., or do without")
		}
		return nil
	}
	var rules []landlock.Rule
	for _, path := range n.Read {
		rules = appendRule(rules, path, landlock.RODirs, landlock.ROFiles)
	}
	for _, path := range n.Write {
		rules = appendRule(rules, path, landlock.RWDirs, landlock.RWFiles)
	}
	if err := landlock.V7.BestEffort().RestrictPaths(rules...); err != nil {
		return fmt.Errorf("landlock: %w", err)
	}
	inForce.Store(int64(has))
	return nil
}

func appendRule(rules []landlock.Rule, path string, dirs, files func(...string) landlock.FSRule) []landlock.Rule {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return rules
	case info.IsDir():
		return append(rules, dirs(path))
	}
	return append(rules, files(path))
}

// dropCapabilities leaves those in keep that there are, and takes the others for good: none can be inherited, and
// without new privileges a program that is executed gains none from the bounding set.
func dropCapabilities(keep []int) error {
	var bits uint64
	for _, c := range keep {
		bits |= 1 << c
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	for i := range data {
		left := data[i].Permitted & uint32(bits>>(32*i))
		data[i] = unix.CapUserData{Effective: left, Permitted: left}
	}
	_, _, e := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0)
	return fault("capabilities", e)
}

// Look returns what this program is confined by, as the kernel says.
func Look() State {
	s := State{Landlock: int(inForce.Load()), User: os.Getuid(), Capabilities: []string{}}
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return s
	}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":\t")
		switch key {
		case "NoNewPrivs":
			s.NoNewPrivileges = value == "1"
		case "Seccomp":
			s.Seccomp = value == "2"
		case "CapEff":
			bits, _ := strconv.ParseUint(value, 16, 64)
			s.Capabilities = names(bits)
		}
	}
	return s
}

// names returns those of capabilities, sorted.
func names(bits uint64) []string {
	known := map[int]string{
		unix.CAP_DAC_OVERRIDE: "dac_override", unix.CAP_NET_ADMIN: "net_admin", unix.CAP_NET_RAW: "net_raw",
		unix.CAP_NET_BIND_SERVICE: "net_bind_service", unix.CAP_SYS_ADMIN: "sys_admin",
	}
	out := []string{}
	for c := range 64 {
		if bits&(1<<c) == 0 {
			continue
		}
		name := known[c]
		if name == "" {
			name = fmt.Sprintf("%d", c)
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
