// Package needtest is for tests that need what a machine may not have: a program, a privilege, a device. They are
// skipped where it is missing. Where the environment variable CI is set all has been provided for, and they fail: no
// test is passed over unseen.
package needtest

import (
	"os"
	"os/exec"
	"testing"
)

// Program returns the path of a program, which is in a package of Debian's.
func Program(t testing.TB, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Skip(t, "%s is not installed: apt-get install %s", name, pkg)
	}
	return path
}

// Skip ends a test for want of something. The message, as of fmt.Printf, says what that is and how it is had.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
