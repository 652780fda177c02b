// Package datagrams holds what the commands that speak DTLS have in common: pre-shared keys in files, and names of
// cipher suites.
package datagrams

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
)

const (
	// GoodKey is how long a pre-shared key should be at least, in bytes: shorter ones can be guessed.
	GoodKey = 16

	// maxKey and maxIdentity are what every implementation takes.
	// https://www.rfc-editor.org/rfc/rfc4279#section-5.3
	maxKey      = 64
	maxIdentity = 128

	maxKeyFile = 64 << 20
)

// ErrUnknownIdentity says that there is no key for an identity.
var ErrUnknownIdentity = errors.New("datagrams: no pre-shared key for this identity")

// Keys are pre-shared keys by their identities. They are never changed. They print as what they are, not as keys.
type Keys struct {
	byIdentity map[string][]byte
	first      string
	shortest   int
}

// ReadKeys reads a file of lines "identity:key", the key in hexadecimal, as psktool(1) and stunnel(8) have it; empty
// lines and those that begin with # are comments. Only its owner may have access to the file. An error names the file
// and the line, and nothing that is in it but identities.
func ReadKeys(path string) (*Keys, error) {
	text, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	k := &Keys{byIdentity: map[string][]byte{}, shortest: maxKey}
	number := 0
	for line := range bytes.Lines(text) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if err := k.add(line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, number, err)
		}
	}
	if len(k.byIdentity) == 0 {
		return nil, fmt.Errorf("%s: no key is in it; write lines of identity:key, the key in hexadecimal", path)
	}
	return k, nil
}

// add takes in a line. The key has no colon, the identity may have some.
func (k *Keys) add(line []byte) error {
	at := bytes.LastIndexByte(line, ':')
	if at < 0 {
		return errors.New("no colon is in the line; write identity:key, the key in hexadecimal")
	}
	identity, digits := string(line[:at]), bytes.TrimSpace(line[at+1:])
	key := make([]byte, hex.DecodedLen(len(digits)))
	_, err := hex.Decode(key, digits)
	switch {
	case identity == "" || len(identity) > maxIdentity:
		return fmt.Errorf("the identity has %d bytes, 1 to %d are allowed", len(identity), maxIdentity)
	case strings.IndexFunc(identity, isControl) >= 0:
		return errors.New("a control character is in the identity; take it out")
	case err != nil:
		return fmt.Errorf("the key of %q is not hexadecimal; make one with: openssl rand -hex 32", identity)
	case len(key) == 0 || len(key) > maxKey:
		return fmt.Errorf("the key of %q has %d bytes, 1 to %d are allowed; make one with: openssl rand -hex 32",
			identity, len(key), maxKey)
	case k.byIdentity[identity] != nil:
		return fmt.Errorf("the identity %q stands in an earlier line, too; each needs its own", identity)
	}
	if len(k.byIdentity) == 0 {
		k.first = identity
	}
	k.byIdentity[identity] = key
	k.shortest = min(k.shortest, len(key))
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// Len returns how many identities there are.
func (k *Keys) Len() int { return len(k.byIdentity) }

// Only returns the identity if there is one alone.
func (k *Keys) Only() (identity string, ok bool) { return k.first, len(k.byIdentity) == 1 }

// Has reports whether there is a key for an identity.
func (k *Keys) Has(identity string) bool { return k.byIdentity[identity] != nil }

// Shortest returns the length of the shortest key, in bytes.
func (k *Keys) Shortest() int { return k.shortest }

// Server returns what finds the key of a client, for dtls.Options.PSK. The keys must not be changed.
func (k *Keys) Server() func(identity []byte) ([]byte, error) {
	return func(identity []byte) ([]byte, error) {
		if key := k.byIdentity[string(identity)]; key != nil {
			return key, nil
		}
		return nil, ErrUnknownIdentity
	}
}

// Client returns what gives a client the key of its identity, whatever the server's hint.
func (k *Keys) Client(identity string) func(hint []byte) ([]byte, error) {
	key := k.byIdentity[identity]
	return func([]byte) ([]byte, error) { return key, nil }
}

// Format implements fmt.Formatter, so that no log gets a key.
func (k *Keys) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "%d pre-shared keys", k.Len()) }

// readPrivate reads a file that only its owner may use.
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fileFault(err)
	}
	defer f.Close()
	info, err := f.Stat() // of what was opened, not of what the path leads to by now
	if err != nil {
		return nil, fileFault(err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("%s: others than its owner may use these keys (mode %04o); run: chmod 600 %[1]s", path, mode)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	switch {
	case err != nil:
		return nil, fileFault(err)
	case len(text) > maxKeyFile:
		return nil, fmt.Errorf("%s: is longer than %d MiB; name a file of lines identity:key", path, maxKeyFile>>20)
	}
	return text, nil
}

// fileFault returns an error of a file without the name of the system call.
func fileFault(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		return fmt.Errorf("%s: %w; name a file of lines identity:key that this user may read", e.Path, e.Err)
	}
	return err
}
