package websocket

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/encase-tls/encase/frame"
)

// What python3-websockets 10.4 and websockify 0.10 said to each other.
const (
	pythonRequest = "GET / HTTP/1.1\r\nHost: 127.0.0.1:16081\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: WWgnBkQWqPCouu6/g0b6xQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: binary\r\n" +
		"User-Agent: Python/3.11 websockets/10.4\r\n\r\n"
	websockifyAnswer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: r3W+qa1Lyr1vhujRHyYeoG6sfUU=\r\nSec-WebSocket-Protocol: binary\r\n\r\n"
	pythonKey = "WWgnBkQWqPCouu6/g0b6xQ=="
)

// https://www.rfc-editor.org/rfc/rfc6455.html#section-1.3
func TestAccept(t *testing.T) {
	if got := acceptFor("dGhlIHNhbXBsZSBub25jZQ=="); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("got %s", got)
	}
}

// A script is a Peeker that reads from a string, a byte at a time, and keeps what is written.
type script struct {
	*frame.Reader
	answer bytes.Buffer
}

func newScript(s string) *script {
	return &script{Reader: frame.NewReader(iotest.OneByteReader(strings.NewReader(s)), nil, 0)}
}

func (s *script) Write(p []byte) (int, error) { return s.answer.Write(p) }

func (s *script) rest(t *testing.T) string {
	t.Helper()
	rest, err := io.ReadAll(s.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return string(rest)
}

func TestServerAnswersAsWebsockifyDoes(t *testing.T) {
	o := Options{Protocol: "binary"}
	s := newScript(pythonRequest + "\x82\x80")
	if err := o.accept(s); err != nil {
		t.Fatal(err)
	}
	if got := s.answer.String(); got != websockifyAnswer {
		t.Errorf("got %q\nwant %q", got, websockifyAnswer)
	}
	if rest := s.rest(t); rest != "\x82\x80" {
		t.Errorf("left for the frames: %q", rest)
	}
}

// edit replaces one piece of a message, which has to be there.
func edit(t *testing.T, s, from, to string) string {
	t.Helper()
	if !strings.Contains(s, from) {
		t.Fatalf("no %q in %q", from, s)
	}
	return strings.Replace(s, from, to, 1)
}

func TestRequests(t *testing.T) {
	for _, c := range []struct{ from, to, status, why string }{
		{"Connection: Upgrade", "connection: keep-alive, UPGRADE", "101", ""},
		{"Upgrade: websocket", "Upgrade: h2c, WebSocket", "101", ""},
		{"binary", "chat, binary", "101", ""},
		{"binary", "Binary", "101", ""}, // not ours, and none is chosen
		{"GET / ", "GET /tunnel?x ", "101", ""},
		{"GET", "POST", "405", "the method"},
		{"HTTP/1.1", "HTTP/1.0", "400", "not HTTP/1.1"},
		{"HTTP/1.1", "XTTP/1.1", "400", "not HTTP:"},
		{"Host: 127.0.0.1:16081\r\n", "", "400", "no Host"},
		{"Upgrade: websocket", "Upgrade: h2c", "426", "upgrade"},
		{"Connection: Upgrade", "Connection: close", "426", "upgrade"},
		{"Version: 13", "Version: 8", "426", "version"},
		{pythonKey, "WWgnBkQWqPCouu6/g0b6", "400", "Sec-WebSocket-Key"},
		{pythonKey, "?", "400", "Sec-WebSocket-Key"},
		{"Sec-WebSocket-Key", "X", "400", "Sec-WebSocket-Key"},
		{"User-Agent", "Sec-WebSocket-Key: " + pythonKey + "\r\nUser-Agent", "400", "Sec-WebSocket-Key"},
		{"User-Agent", "Content-Length: 4\r\nUser-Agent", "400", "body"},
		{"User-Agent", "Transfer-Encoding: chunked\r\nUser-Agent", "400", "body"},
		{"\r\nHost", "\nHost", "400", "CR LF"},
		{"User-Agent", "A\rB: \r\nUser-Agent", "400", "CR LF"},
		{"User-Agent", strings.Repeat("A: b\r\n", maxLines) + "User-Agent", "400", "lines"},
		{"Python", strings.Repeat("P", maxHead), "400", "16384 bytes"},
	} {
		o := Options{Protocol: "binary"}
		s := newScript(edit(t, pythonRequest, c.from, c.to))
		err := o.accept(s)
		got := s.answer.String()
		if !strings.HasPrefix(got, "HTTP/1.1 "+c.status+" ") || !strings.HasSuffix(got, "\r\n\r\n") {
			t.Errorf("%.40q for %.40q: answered %q, want %s", c.to, c.from, got, c.status)
		}
		if c.why == "" && err == nil {
			continue
		}
		if !errors.Is(err, frame.ErrMalformed) || !strings.Contains(err.Error(), c.why) || c.why == "" {
			t.Errorf("%.40q for %.40q: %v, want an error with %q", c.to, c.from, err, c.why)
		}
	}
}

func TestServerPath(t *testing.T) {
	for _, c := range []struct{ path, target, status string }{
		{"", "/any?x=y", "101"},
		{"/a", "/a", "101"},
		{"/a", "/a?token=1", "101"},
		{"/a", "http://h/a", "101"},
		{"/a", "/b", "404"},
		{"/a", "/a/", "404"},
		{"/a?b=c", "/a?b=c", "101"},
		{"/a?b=c", "/a", "404"},
	} {
		o := Options{Path: c.path}
		s := newScript(edit(t, pythonRequest, "GET / ", "GET "+c.target+" "))
		o.accept(s)
		if got := s.answer.String(); !strings.HasPrefix(got, "HTTP/1.1 "+c.status+" ") {
			t.Errorf("path %q asked for %q: %q, want %s", c.path, c.target, got, c.status)
		}
	}
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct{ from, to, why string }{
		{"binary", "binary", ""},
		{"Upgrade: websocket", "upgrade: WEBSOCKET", ""},
		{"Sec-WebSocket-Protocol: binary\r\n", "", ""},
		{"HTTP/1.1 101 Switching Protocols", "HTTP/1.1 403 Forbidden", `"403 Forbidden", not 101`},
		{"HTTP/1.1", "HTTP/1.0", "speaks"},
		{"HTTP/1.1", "SSH-2.0", "not HTTP"},
		{"Upgrade: websocket", "Upgrade: h2c", "lacks"},
		{"Connection: Upgrade\r\n", "", "lacks"},
		{"r3W", "r3w", "Sec-WebSocket-Accept"},
		{"Sec-WebSocket-Accept", "X", "Sec-WebSocket-Accept"},
		{"binary", "chat", "subprotocol"},
		{"binary", "binary\r\nSec-WebSocket-Protocol: binary", "subprotocol"},
		{"Upgrade: websocket", "Upgrade: websocket\r\nSec-WebSocket-Extensions: permessage-deflate", "extensions"},
	} {
		answer, err := http.ReadResponse(bufio.NewReader(strings.NewReader(edit(t, websockifyAnswer, c.from, c.to))), nil)
		o := Options{Protocol: "binary"}
		if err == nil {
			err = o.checkAnswer(answer, pythonKey)
		} else if err = refuse("not HTTP"); c.why != "not HTTP" {
			t.Fatal(err)
		}
		if c.why == "" && err == nil {
			continue
		}
		if !errors.Is(err, frame.ErrMalformed) || c.why == "" || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%q for %q: %v, want an error with %q", c.to, c.from, err, c.why)
		}
	}
}

func TestUpgradeCutShort(t *testing.T) {
	o := Options{}
	if err := o.accept(newScript("")); !errors.Is(err, io.EOF) {
		t.Errorf("nothing: %v", err)
	}
	if err := o.accept(newScript(pythonRequest[:100])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a request: %v", err)
	}
}

func TestParse(t *testing.T) {
	for arg, want := range map[string]string{
		"hots=a":              `unknown option "hots"`,
		",":                   `unknown option ""`,
		"path":                `path has no value`,
		"path=":               `path has no value`,
		"path=/a,path=/a":     `path is given twice`,
		"path=a":              `bad path "a"`,
		"path=/a b":           `bad path "/a b"`,
		"path=/\r\nX: y":      `bad path`,
		"path=http://h/":      `bad path`,
		"host=a b":            `bad host "a b"`,
		"host=a\r\nX: y":      `bad host`,
		"host=user@h":         `bad host`,
		"host=h/p":            `bad host`,
		"protocol=a b":        `bad protocol "a b"`,
		"protocol=x\r\nX: y":  `bad protocol`,
		"host=[::1]:8080":     "",
		"host=h:1,path=/a%2C": "",
		"path=/a?b=c,host=h":  "",
	} {
		_, err := Parse(arg)
		if want == "" {
			if err != nil {
				t.Errorf("Parse(%q): %v", arg, err)
			}
		} else if err == nil || !strings.HasPrefix(err.Error(), "websocket: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q): %v, want an error with %q", arg, err, want)
		}
	}
}

// A dialled connection as a Peeker.
type dialled struct {
	*frame.Reader
	net.Conn
}

func (d dialled) Read(p []byte) (int, error) { return d.Reader.Read(p) }

func within(t *testing.T, c net.Conn) dialled {
	t.Helper()
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Error(err)
	}
	return dialled{frame.NewReader(c, nil, 0), c}
}

func preamble(t *testing.T, spec string, role frame.Role) frame.Preamble {
	t.Helper()
	mk, err := Parse(spec)
	if err != nil {
		t.Fatal(err)
	}
	m, err := mk(role)
	if err != nil {
		t.Fatal(err)
	}
	return m.(frame.Preamble)
}

// The server is net/http's, which hands the connection over after the request.
func TestClientAgainstNetHTTP(t *testing.T) {
	const after = "\x82\x05first frame in the same segment"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/tunnel" || r.Host != "example.com:8080" || r.Header.Get("Sec-WebSocket-Protocol") != "binary" {
			http.Error(w, "not here", http.StatusForbidden)
			return
		}
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Protocol: binary\r\nSec-WebSocket-Accept: " + acceptFor(r.Header.Get("Sec-WebSocket-Key")) +
			"\r\n\r\n" + after)
		rw.Flush()
	}))
	defer server.Close()

	for spec, refused := range map[string]string{
		"host=example.com:8080,path=/tunnel,protocol=binary": "",
		"host=example.com:8080,path=/other,protocol=binary":  "403 Forbidden",
	} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		p := within(t, conn)
		err = preamble(t, spec, frame.Client).Exchange(context.Background(), p, frame.Client)
		if refused != "" {
			if !errors.Is(err, frame.ErrMalformed) || !strings.Contains(err.Error(), refused) {
				t.Errorf("%s: %v, want %s", spec, err, refused)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if rest, err := io.ReadAll(p); err != nil || string(rest) != after {
			t.Errorf("after the exchange: %q, %v", rest, err)
		}
	}
}

// The client is net/http's, which gives the connection to the reader of the answer's body.
func TestServerAgainstNetHTTP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ours := preamble(t, "path=/tunnel,protocol=binary", frame.Server)
	served := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			served <- err
			return
		}
		p := within(t, conn)
		if err = ours.Exchange(context.Background(), p, frame.Server); err == nil {
			_, err = io.CopyN(p, p, 5)
		}
		served <- err
	}()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "GET", "http://"+l.Addr().String()+"/tunnel?x=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Upgrade": "websocket", "Connection": "Upgrade",
		"Sec-WebSocket-Key": pythonKey, "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": "chat, binary"} {
		request.Header.Set(name, value)
	}
	client := http.Client{Transport: &http.Transport{}}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	body := answer.Body.(io.ReadWriteCloser)
	defer body.Close()
	if err := (&Options{Protocol: "binary"}).checkAnswer(answer, pythonKey); err != nil {
		t.Fatal(err)
	}
	echo := make([]byte, 5)
	if _, err := io.WriteString(body, "hello"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(body, echo); err != nil || string(echo) != "hello" {
		t.Errorf("echo: %q, %v", echo, err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestHostByDefault: who names no host asks for the server that TLS is to verify.
func TestHostByDefault(t *testing.T) {
	for name, want := range map[string]string{"": "localhost", "ws.example": "ws.example", "::1": "[::1]", "a b": "localhost"} {
		if got := hostOf(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	m, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	client, err := m(frame.Client)
	if err != nil {
		t.Fatal(err)
	}
	p := newScript("")
	ctx := frame.WithServerName(context.Background(), "ws.example")
	if err := client.(frame.Preamble).Exchange(ctx, p, frame.Client); err == nil {
		t.Fatal("a server that says nothing has upgraded")
	}
	if !strings.Contains(p.answer.String(), "\r\nHost: ws.example\r\n") {
		t.Errorf("asked for %q", p.answer.String())
	}
}
