package openvpn

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
)

// A StaticKey is the key of tls-auth or tls-crypt, as "openvpn --genkey secret FILE" makes it. It does not show itself
// when it is printed.
type StaticKey struct{ halves [2]half }

// A half is what one direction uses: a key for encryption and one for authentication, each as long as any algorithm may
// want it.
type half struct{ cipher, mac [64]byte }

const (
	halfLen   = 128
	staticLen = 2 * halfLen

	beginStatic = "-----BEGIN OpenVPN Static key V1-----"
	endStatic   = "-----END OpenVPN Static key V1-----"
)

// ReadStaticKey reads a key from a file. On systems with file modes nobody but the owner may have access to the file:
// it must have mode 0600 or less.
func ReadStaticKey(path string) (*StaticKey, error) {
	text, err := readPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("openvpn: %w", err)
	}
	k, err := ParseStaticKey(text)
	if err != nil {
		return nil, fmt.Errorf("%w (in %s)", err, path)
	}
	return k, nil
}

// ParseStaticKey returns the key in the text of a file: 256 bytes in hexadecimal between two lines, what is before and
// behind them is not looked at. text is not kept.
func ParseStaticKey(text []byte) (*StaticKey, error) {
	_, text, begun := cutLine(text, beginStatic)
	text, _, ended := cutLine(text, endStatic)
	if !begun || !ended {
		return nil, fmt.Errorf("openvpn: no static key: want lines %q and %q", beginStatic, endStatic)
	}
	digits := bytes.Join(bytes.Fields(text), nil)
	var raw [staticLen]byte
	if len(digits) != hex.EncodedLen(staticLen) {
		return nil, fmt.Errorf("openvpn: a static key has %d hexadecimal digits, here are %d",
			hex.EncodedLen(staticLen), len(digits))
	}
	if _, err := hex.Decode(raw[:], digits); err != nil {
		return nil, errors.New("openvpn: a static key has hexadecimal digits and nothing else")
	}
	return staticKey(&raw), nil
}

// cutLine returns what is before the line, and what is behind it.
func cutLine(text []byte, line string) (before, behind []byte, found bool) {
	for rest := text; len(rest) > 0; {
		at := len(text) - len(rest)
		var this []byte
		this, rest, _ = bytes.Cut(rest, []byte("\n"))
		if string(bytes.TrimSpace(this)) == line {
			return text[:at], rest, true
		}
	}
	return text, nil, false
}

func staticKey(raw *[staticLen]byte) *StaticKey {
	k := new(StaticKey)
	for i := range k.halves {
		k.halves[i] = newHalf(raw[i*halfLen:])
	}
	return k
}

func newHalf(raw []byte) (h half) {
	copy(h.cipher[:], raw)
	copy(h.mac[:], raw[len(h.cipher):halfLen])
	return h
}

// Format implements fmt.Formatter: whatever the verb, it does not show the key.
func (k StaticKey) Format(f fmt.State, _ rune) { io.WriteString(f, "(secret)") }

// MarshalText refuses to write the key into a file.
func (k StaticKey) MarshalText() ([]byte, error) { return nil, errSecret }

var errSecret = errors.New("openvpn: a key is not for files")

// maxKeyFile is more than any key takes, comments included.
const maxKeyFile = 16 << 10

// readPrivate returns the contents of a file that others have no access to, and whose mode is looked at after
// opening: of the file that is read, not of what has its name by now.
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
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxKeyFile:
		return nil, fmt.Errorf("%s: longer than the %d bytes that the file of a key may have", path, maxKeyFile)
	}
	return text, nil
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
