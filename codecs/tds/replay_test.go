package tds_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/tds"
	"github.com/encase-tls/encase/frame"
)

// What tsql and a server said to each other, in our machines: the dialogue leads where it led them, the packets hold
// the records of a handshake, of which none is missing, and what follows is left as it is: records, or clear text
// behind the login.
func TestReplay(t *testing.T) {
	for _, c := range []struct {
		file           string
		loginOnly      bool
		client, server string // types of records in the handshake
		after          string // first bytes behind the handshake, from either end
	}{
		{"tsql-require.txt", false, "[22 22 20 22]", "[22 22 22 22 20 22]", "17 17"},
		{"tsql-big.txt", false, "[22 22 20 22]", "[22 22 22 22 20 22]", "17 17"},
		{"tsql-login.txt", true, "[22 22 20 22]", "[22 22 22 22 20 22]", "17 04"},
	} {
		arg := ""
		if c.loginOnly {
			arg = "login-only"
		}
		fromClient, fromServer := capture(t, c.file)
		var after []string
		for _, end := range []struct {
			role  frame.Role
			peer  []byte
			types string
		}{{frame.Server, fromClient, c.client}, {frame.Client, fromServer, c.server}} {
			m := newMachine(t, arg, end.role)
			_, rest, err := exchange(t, m, end.role, end.peer)
			if a, ok := tds.Agreed(m); err != nil || !ok || a.LoginOnly != c.loginOnly {
				t.Fatalf("%s, as %v: %+v, %v", c.file, end.role, a, err)
			}
			handshake, rest := unpack(t, m, rest)
			if got := fmt.Sprint(recordTypes(t, handshake)); got != end.types {
				t.Errorf("%s, as %v: records of the types %s, want %s", c.file, end.role, got, end.types)
			}
			after = append(after, fmt.Sprintf("%02x", rest[0]))
		}
		if got := strings.Join(after, " "); got != c.after {
			t.Errorf("%s: %s behind the handshake, want %s", c.file, got, c.after)
		}
	}
}

// capture returns what client and server said in a file of testdata.
func capture(t *testing.T, name string) (client, server []byte) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var from *[]byte
	for line := range strings.Lines(string(text)) {
		switch line[0] {
		case '#':
			continue
		case '>':
			from = &client
		case '<':
			from = &server
		}
		*from = append(*from, unhex(t, line[2:])...)
	}
	return client, server
}

// unpack returns what is in the packets of the handshake, which ends with the second flight, and what follows it.
func unpack(t *testing.T, m frame.Machine, p []byte) (handshake, rest []byte) {
	t.Helper()
	r := frame.NewReader(bytes.NewReader(p), m.(frame.Delimiter), 0)
	for flights := 0; flights < 2; {
		b, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if b.Bytes()[1]&1 != 0 {
			flights++
		}
		p = p[b.Len():]
		ev, err := m.Recv(nil, b)
		if err != nil || len(ev) != 1 {
			t.Fatal(ev, err)
		}
		handshake = append(handshake, ev[0].Buf.Bytes()...)
	}
	return handshake, p
}

// recordTypes returns those of the TLS records that p consists of.
func recordTypes(t *testing.T, p []byte) (types []byte) {
	t.Helper()
	for len(p) > 0 {
		n := len(p) + 1
		if len(p) > 5 {
			n = 5 + int(p[3])<<8 + int(p[4])
		}
		if n > len(p) {
			t.Fatalf("no whole record: %x", p)
		}
		types, p = append(types, p[0]), p[n:]
	}
	return types
}
