package preamble

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
)

// A Secret is a user name and a password. It does not show them when it is printed.
type Secret struct{ user, password string }

// ReadSecret reads a user name and a password from a file: one line, "user:password", each 1 to 255 bytes without
// control characters. The user name has no colon. On systems with file modes nobody but the owner may have access to
// the file: it must have mode 0600 or less.
func ReadSecret(path string) (*Secret, error) {
	text, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	user, password, ok := bytes.Cut(text, []byte(":"))
	if !ok || !isCredential(user) || !isCredential(password) {
		return nil, fmt.Errorf("%s: want one line user:password, each 1 to %d bytes without control characters",
			path, maxWord)
	}
	return &Secret{string(user), string(password)}, nil
}

func isCredential(p []byte) bool {
	for _, c := range p {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return len(p) > 0 && len(p) <= maxWord
}

// readPrivate returns the one line of a file that others have no access to, and whose mode is looked at after opening:
// of the file that is read, not of what has its name by now.
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := private(path, info.Mode()); err != nil {
		return nil, err
	}
	const max = 2*maxWord + len(":\r\n")
	text, err := io.ReadAll(io.LimitReader(f, int64(max)+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > max:
		return nil, fmt.Errorf("%s: longer than the %d bytes that user:password may have", path, max)
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r")), nil
}

func private(path string, mode fs.FileMode) error {
	const others = 0o077
	switch {
	case !mode.IsRegular():
		return fmt.Errorf("%s: not a regular file", path)
	case mode.Perm()&others != 0 && runtime.GOOS != "windows":
		return fmt.Errorf("%s has mode %04o, so that others can use it: chmod 600 %s", path, mode.Perm(), path)
	}
	return nil
}

// Format implements fmt.Formatter: whatever the verb, it does not show the secret.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, "(secret)") }

// MarshalText refuses to write the secret into a file.
func (s Secret) MarshalText() ([]byte, error) {
	return nil, errors.New("preamble: a Secret is not for files")
}

// basic returns the credentials of HTTP's Basic scheme.
// https://www.rfc-editor.org/rfc/rfc7617.html#section-2
func (s *Secret) basic() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(s.user+":"+s.password))
}

// is reports whether user and password are right, in a time that does not tell how much of them is.
func (s *Secret) is(user, password []byte) bool {
	a := subtle.ConstantTimeCompare([]byte(s.user), user)
	return a&subtle.ConstantTimeCompare([]byte(s.password), password) == 1
}
