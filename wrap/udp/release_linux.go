package udp

import (
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// A release is the version of a Linux kernel.
type release struct{ major, minor, patch int }

var runningRelease = sync.OnceValue(func() release {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return release{}
	}
	return parseRelease(unix.ByteSliceToString(u.Release[:]))
})

// parseRelease reads "6.18.44-anything". What is missing is 0.
func parseRelease(s string) (r release) {
	s, _, _ = strings.Cut(s, "-")
	for i, part := range strings.SplitN(s, ".", 4) {
		digits := strings.IndexFunc(part, func(c rune) bool { return c < '0' || c > '9' })
		if digits >= 0 {
			part = part[:digits]
		}
		n, _ := strconv.Atoi(part)
		switch i {
		case 0:
			r.major = n
		case 1:
			r.minor = n
		case 2:
			r.patch = n
		}
	}
	return r
}

func (r release) before(o release) bool {
	if r.major != o.major {
		return r.major < o.major
	}
	if r.minor != o.minor {
		return r.minor < o.minor
	}
	return r.patch < o.patch
}

const errMangles plainError = "Linux 7.0 to 7.1.4 damages the headers of what it cuts: use 7.1.5 or later"

// mangles reports whether the kernel is one whose GSO sends wrong headers. That cannot be found out by trying.
func (r release) mangles() bool {
	return !r.before(release{7, 0, 0}) && r.before(release{7, 1, 5})
}

// joinsWell reports whether UDP_GRO is to be used. It came with 5.0; before 5.12 it is said to have faults.
func (r release) joinsWell() bool { return !r.before(release{5, 12, 0}) }
