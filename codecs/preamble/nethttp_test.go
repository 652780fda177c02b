package preamble_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/frame"
)

// hijack takes the connection from a web server, and what it has read from it already.
func hijack(t *testing.T, w http.ResponseWriter, answer string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, answer)
	return conn, rw.Reader
}

// A web server of Go's that makes tunnels, and one that changes to TLS.
func TestClientsAgainstNetHTTP(t *testing.T) {
	target := echo(t, nil)
	behind := func(w http.ResponseWriter, answer string) {
		there, err := net.Dial("tcp", target)
		if err != nil {
			t.Error(err)
			return
		}
		defer there.Close()
		conn, in := hijack(t, w, answer)
		defer conn.Close()
		go io.Copy(there, in)
		io.Copy(conn, there)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodConnect && r.Host == "db.example:5432":
			behind(w, "HTTP/1.1 200 OK\r\n\r\n")
		case r.URL.Path == "/tls" && r.Host == "www.example" && r.Header.Get("Upgrade") == "TLS/1.0":
			behind(w, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: TLS/1.0\r\n\r\n")
		default:
			http.Error(w, "not here", http.StatusForbidden)
		}
	}))
	t.Cleanup(server.Close)
	addr := server.Listener.Addr().String()
	for _, p := range []frame.Preamble{
		preamble.Connect{Target: "db.example:5432"},
		preamble.Upgrade{Protocol: "TLS/1.0", Host: "www.example", Path: "/tls"},
	} {
		conn, err := dial(t, addr, p)
		if err != nil {
			t.Errorf("%T: %v", p, err)
			continue
		}
		roundTrip(t, "behind a web server", conn)
	}
	_, err := dial(t, addr, preamble.Connect{Target: "other.example:5432"})
	refusal(t, err, "403 Forbidden")
	_, err = dial(t, addr, preamble.Upgrade{Protocol: "TLS/1.0", Path: "/other"})
	refusal(t, err, "403 Forbidden")
}

// A web client of Go's behind both kinds of proxy.
func TestServersAgainstNetHTTP(t *testing.T) {
	secret := secretOf(t, "user:pass word")
	only := hostname + ":443"
	for scheme, ours := range map[string]frame.Preamble{
		"http":   preamble.Connect{Target: only, Secret: secret},
		"socks5": preamble.SOCKS5{Target: only, Secret: secret},
	} {
		proxy := &url.URL{Scheme: scheme, Host: web(t, ours), User: url.UserPassword("user", "pass word")}
		transport := &http.Transport{
			Proxy:             http.ProxyURL(proxy),
			TLSClientConfig:   &tls.Config{RootCAs: issued(t).authority.Pool()},
			DisableKeepAlives: true,
		}
		client := http.Client{Transport: transport, Timeout: 10 * time.Second}
		answer, err := client.Get("https://" + hostname + "/")
		if err != nil {
			t.Errorf("%s: %v", scheme, err)
			continue
		}
		if page, err := io.ReadAll(answer.Body); string(page) != "page" || err != nil {
			t.Errorf("%s: %q, %v", scheme, page, err)
		}
		answer.Body.Close()
	}
}

// A web client of Go's asks for an upgrade, and makes TLS over what the answer gives it.
func TestUpgradeServerAgainstNetHTTP(t *testing.T) {
	addr := echo(t, nil, preamble.Upgrade{Protocol: "TLS/1.0", Path: "/tls"})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/tls?x=y", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "h2c, TLS/1.0")
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	body, ok := answer.Body.(io.ReadWriteCloser)
	if !ok || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the answer is %s", answer.Status)
	}
	defer body.Close()
	roundTrip(t, "upgraded", tls.Client(bodyConn{ReadWriteCloser: body},
		&tls.Config{RootCAs: issued(t).authority.Pool(), ServerName: hostname}))
}

// A bodyConn is a connection in the form in which net/http hands it over.
type bodyConn struct {
	net.Conn // nil: addresses and deadlines there are none
	io.ReadWriteCloser
}

func (b bodyConn) Read(p []byte) (int, error)  { return b.ReadWriteCloser.Read(p) }
func (b bodyConn) Write(p []byte) (int, error) { return b.ReadWriteCloser.Write(p) }
func (b bodyConn) Close() error                { return b.ReadWriteCloser.Close() }

func (bodyConn) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (bodyConn) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }
