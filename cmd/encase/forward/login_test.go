package forward

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"
)

// loginPacket returns a packet of TDS with n bytes in all, the login.
func loginPacket(n int) []byte {
	p := append([]byte{0x10, 1, 0, 0, 0, 0, 1, 0}, random(n-tdsHeaderLen)...)
	binary.BigEndian.PutUint16(p[2:], uint16(n))
	return p
}

// Behind a login that TLS was for alone, what both ends say travels in clear, all of it, and as much as they like.
func TestLoginOnly(t *testing.T) {
	f := certificates(t)
	for _, size := range []int{tdsHeaderLen, 300, 4096, 32767} {
		for _, more := range []int{0, 1, 3_000_000} {
			t.Run(fmt.Sprintf("%d and %d", size, more), func(t *testing.T) {
				far := run(t, forwardTOML("far", anyPort, f.server("tds:login-only"), serveTCP(t, echo), ""))
				wire := newTap(t, far.address("far"))
				near := run(t, forwardTOML("near", anyPort, "", wire.address, f.client("tds:login-only")))
				login, rest := loginPacket(size), random(more)
				back, err := roundTrip(near.dial("near"), append(bytes.Clone(login), rest...))
				if err != nil || !bytes.Equal(back, append(bytes.Clone(login), rest...)) {
					t.Fatalf("%d bytes came back, %v; want the %d that were sent", len(back), err, size+more)
				}
				said := wire.said()
				if size > 2*tdsHeaderLen && bytes.Contains(said, login) {
					t.Error("the login is on the wire in clear")
				}
				if !bytes.HasSuffix(said, rest) {
					t.Error("what follows the login is not on the wire in clear")
				}
				for _, e := range []entry{near.find(t, 0, "connection closed"), far.find(t, 0, "connection closed")} {
					if !strings.Contains(fmt.Sprint(e), "login_only:true") || e.text("from_client") != fmt.Sprint(float64(size+more)) {
						t.Errorf("the log says %v", e)
					}
				}
			})
		}
	}
}

// Who shakes hands and does not log in is given up, and so is who says something else.
func TestNoLogin(t *testing.T) {
	f := certificates(t)
	for name, c := range map[string]struct {
		says         string
		end          bool
		reason, text string
	}{
		"nothing":     {"", false, "timeout", "login: context deadline exceeded"},
		"half":        {"\x10\x01\x00\x20\x00\x00\x01\x00half", false, "timeout", "login: "},
		"an end":      {"\x10\x01\x00\x20\x00\x00\x01\x00half", true, "truncated", "login: "},
		"less":        {"\x10\x01\x00\x07\x00\x00\x01\x00", false, "malformed", "no packet of TDS"},
		"more":        {"\x10\x01\x80\x00\x00\x00\x01\x00", false, "malformed", "no packet of TDS"},
		"another one": {"GET / HTTP/1.1\r\n\r\n", false, "timeout", "login: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			far := run(t, forwardTOML("far", anyPort, f.server("tds:login-only"), serveTCP(t, echo), ""))
			near := run(t, forwardTOML("near", anyPort, "", far.address("far"), f.client("tds:login-only"))+
				"[forward.limits]\nhandshake_timeout = \"5s\"\n")
			client := near.dial("near")
			io.WriteString(client, c.says)
			if c.end {
				client.(*net.TCPConn).CloseWrite()
			}
			near.find(t, 0, "connection failed", "reason", c.reason, "error", c.text)
			far.find(t, 0, "connection failed", "error", "login: ")
			expectEnd(t, client)
		})
	}
}

// A program that ends does not wait for a login.
func TestEndsWithoutLogin(t *testing.T) {
	f := certificates(t)
	far := run(t, forwardTOML("far", anyPort, f.server("tds:login-only"), serveTCP(t, echo), ""))
	near := run(t, forwardTOML("near", anyPort, "", far.address("far"), f.client("tds:login-only")))
	client := near.dial("near")
	far.find(t, 0, "accepted")
	near.find(t, 0, "accepted")
	near.kill()
	expectEnd(t, client)
}

// A tap carries bytes between two addresses, and the ends of both directions, and keeps what clients say.
type tap struct {
	address string
	mu      sync.Mutex
	heard   bytes.Buffer
}

func newTap(t testing.TB, target string) *tap {
	tp := &tap{}
	tp.address = serveTCP(t, func(a net.Conn) {
		defer a.Close()
		b, err := net.Dial("tcp", target)
		if err != nil {
			return
		}
		defer b.Close()
		b.SetDeadline(time.Now().Add(patience))
		var both sync.WaitGroup
		both.Go(func() { pour(b, io.TeeReader(a, tp)) })
		both.Go(func() { pour(a, b) })
		both.Wait()
	})
	return tp
}

// pour copies until the end, and passes that on.
func pour(dst net.Conn, src io.Reader) {
	io.Copy(dst, src)
	dst.(*net.TCPConn).CloseWrite()
}

func (tp *tap) Write(p []byte) (int, error) {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	return tp.heard.Write(p)
}

func (tp *tap) said() []byte {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	return bytes.Clone(tp.heard.Bytes())
}

// wide returns a text as TDS has it.
func wide(s string) (p []byte) {
	for _, u := range utf16.Encode([]rune(s)) {
		p = binary.LittleEndian.AppendUint16(p, u)
	}
	return p
}

// tsql logs in through a forward to the server of examples/tds. Each side of the forward has its own encryption: a client
// that wants no more than an encrypted login reaches a server that wants all encrypted, and the reverse.
func TestTSQL(t *testing.T) {
	needs(t, "tsql", "go")
	f := certificates(t)
	server := filepath.Join(t.TempDir(), "tds")
	build := exec.Command("go", "build", "-o", server, "../../../examples/tds")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, c := range []struct {
		encryption, accept string // of tsql, and what it is granted
		connect, options   string // what is asked of the server, and what it grants
		before, behind     bool   // the statement is in clear in front of the forward, and behind it
	}{
		{"require", "freetds", "", "", false, false},
		{"request", "freetds,login-only", "", "", true, false},
		{"require", "freetds", "login-only", "login-only", false, true},
		{"request", "freetds,login-only", "login-only", "login-only", true, true},
		{"request", "freetds,login-only", "login-only", "", true, false},
		{"request", "freetds", "login-only", "login-only", false, true},
	} {
		t.Run(c.encryption+" "+c.accept+" "+c.connect+" "+c.options, func(t *testing.T) {
			args := []string{"server", anyPort, f.path("server.crt"), f.path("server.key"), c.options}
			p := startProgram(t, server, args...)
			p.expect("listening at ")
			p.expect("\n")
			behind := newTap(t, strings.TrimSpace(strings.TrimPrefix(p.output(), "listening at ")))
			d := run(t, forwardTOML("db", anyPort, f.server("tds:"+c.accept), behind.address, f.client("tds:"+c.connect)))
			before := newTap(t, d.address("db"))
			out := runTSQL(t, before.address, c.encryption, f.path("ca.crt"))
			if !strings.Contains(out, "\n42\n(1 row affected)") {
				t.Errorf("tsql says\n%s", out)
			}
			if clear := bytes.Contains(before.said(), wide("select 42")); clear != c.before {
				t.Errorf("the statement is in clear in front: %t, want %t", clear, c.before)
			}
			if clear := bytes.Contains(behind.said(), wide("select 42")); clear != c.behind {
				t.Errorf("the statement is in clear behind: %t, want %t", clear, c.behind)
			}
			if bytes.Contains(append(before.said(), behind.said()...), wide("TSQL")) { // its name in the login
				t.Error("the login is in clear")
			}
		})
	}
}

// runTSQL returns what tsql prints for a statement. The certificate that it sees is not for an address.
func runTSQL(t *testing.T, address, encryption, ca string) string {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "freetds.conf")
	text := fmt.Sprintf("[global]\n tds version = 7.4\n encryption = %s\n ca file = %s\n check certificate hostname = no\n"+
		" client charset = UTF-8\n[under-test]\n host = 127.0.0.1\n port = %s\n", encryption, ca, portOf(address))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "tsql", "-S", "under-test", "-U", "sa", "-P", "secret")
	cmd.Env = append(os.Environ(), "FREETDSCONF="+conf, "LC_ALL=C.UTF-8")
	cmd.Stdin = strings.NewReader("select 42\ngo\nexit\n")
	out, _ := cmd.CombinedOutput() // its status is no judge: it is 0 or 1 for many reasons
	return string(out)
}
