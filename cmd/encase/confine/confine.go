// Package confine takes from a program that has set itself up what it does not need any more, so that whoever takes it
// over gets little: files by Landlock, capabilities, and system calls by seccomp. What is taken cannot be had back, and
// programs that it starts do not have it either.
//
//	https://docs.kernel.org/userspace-api/landlock.html
//	https://docs.kernel.org/userspace-api/seccomp_filter.html
//	https://man7.org/linux/man-pages/man7/capabilities.7.html
package confine

import (
	"fmt"
	"strings"
)

// Needs are what a program goes on to need.
type Needs struct {
	// Read are files and folders that are read, with all that is below. What is not there is passed over.
	Read []string
	// Write are folders in which files are made, replaced and removed, and files that are written to. What is not there
	// is passed over.
	Write []string
	// Capabilities are those that are kept, of the ones that there are, by their numbers.
	Capabilities []int
}

// A State is what a program is confined by.
type State struct {
	// Landlock is the version of Landlock that bounds files, 0 for none.
	Landlock int `json:"landlock"`
	// Seccomp says that a filter refuses system calls.
	Seccomp bool `json:"seccomp"`
	// NoNewPrivileges says that no program which is executed gains rights.
	NoNewPrivileges bool `json:"no_new_privileges"`
	// Capabilities are those that are left, by their names.
	Capabilities []string `json:"capabilities"`
	// User is the number of the user, -1 where users have none.
	User int `json:"user"`
}

// String describes a State in a line.
func (s State) String() string {
	files, calls := "all files", "all system calls"
	if s.Landlock > 0 {
		files = fmt.Sprintf("files by landlock %d", s.Landlock)
	}
	if s.Seccomp {
		calls = "calls by seccomp"
	}
	capabilities := "no capabilities"
	switch n := len(s.Capabilities); {
	case n > 4:
		capabilities = fmt.Sprintf("%d capabilities", n)
	case n > 0:
		capabilities = strings.Join(s.Capabilities, " ")
	}
	return fmt.Sprintf("user %d, %s, %s, %s", s.User, capabilities, files, calls)
}
