package radius

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
)

const maxSecret = 1024

// A Secret is what a client and a server share. It does not show itself when it is printed. It should be long and
// random: who has seen one packet can try secrets at home.
type Secret struct{ key []byte }

// NewSecret returns a Secret of 1 to 1024 bytes, a copy of key.
func NewSecret(key []byte) (*Secret, error) {
	if len(key) == 0 || len(key) > maxSecret {
		return nil, fmt.Errorf("radius: a secret of %d bytes (allowed: 1 to %d)", len(key), maxSecret)
	}
	return &Secret{bytes.Clone(key)}, nil
}

// ReadSecret reads a Secret from a file of one line. On systems with file modes nobody but the owner may have access to
// the file: it must have mode 0600 or less.
func ReadSecret(path string) (*Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat() // of the file that is read, not of what has its name by now
	if err != nil {
		return nil, err
	}
	const others = 0o077
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return nil, fmt.Errorf("%s: not a regular file", path)
	case mode.Perm()&others != 0 && runtime.GOOS != "windows":
		return nil, fmt.Errorf("%s has mode %04o, so that others can use it: chmod 600 %s", path, mode.Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+3))
	if err != nil {
		return nil, err
	}
	line := bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if len(line) == 0 || len(line) > maxSecret || bytes.IndexByte(line, '\n') >= 0 {
		return nil, fmt.Errorf("%s: want one line with a secret of 1 to %d bytes", path, maxSecret)
	}
	return &Secret{line}, nil
}

// Format implements fmt.Formatter: whatever the verb, it does not show the secret.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, "(secret)") }

// MarshalText refuses to write the secret into a file.
func (Secret) MarshalText() ([]byte, error) {
	return nil, errors.New("radius: a Secret is not for files")
}
