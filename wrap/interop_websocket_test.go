package wrap_test

import (
	"bufio"
	"io"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/needtest"
	"github.com/encase-tls/encase/wrap/porttest"
)

const webSocketSpec = "websocket:host=server.test,path=/tunnel,protocol=binary"

// TestWebsockify goes through websockify, which knows WebSocket and no TLS, to OpenSSL, which knows TLS and no
// WebSocket.
func TestWebsockify(t *testing.T) {
	dir := opensslFiles(t)
	server := start(t, "openssl", "s_server", "-accept", "127.0.0.1:0",
		"-cert", dir+"/server.crt", "-key", dir+"/server.key", "-CAfile", dir+"/ca.crt", "-Verify", "1", "-verify_return_error", "-rev")
	target := server.after("ACCEPT ")
	address := porttest.Free(t)
	proxy := start(t, "websockify", address, target)
	conn := dialPatiently(t, address, proxy)
	client := clientOf(t, webSocketSpec)
	c := wrap.Client(wrap.Stream(conn), client)
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "one two three\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(c).ReadString('\n'); line != "eerht owt eno\n" {
		t.Errorf("%q, %v", line, err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// TestPythonWebSocket serves a program made of Python's ssl and websockets modules, see testdata/wsclient.py.
func TestPythonWebSocket(t *testing.T) {
	const python = "/usr/bin/python3" // Debian's own: its modules belong to it
	if err := exec.Command(python, "-c", "import websockets").Run(); err != nil {
		needtest.Skip(t, "python3-websockets is not installed: %v", err)
	}
	dir := opensslFiles(t)
	_, server := wrapConfigs(t, webSocketSpec)
	server.Linger = patience
	l, err := wrap.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go serveEcho(l)
	client := start(t, python, "testdata/wsclient.py",
		"ws://"+l.Addr().String()+"/tunnel", dir+"/ca.crt", "server.test", "round trip")
	if reply := client.after("reply: "); reply != "round trip" {
		t.Errorf("the client has got %q", reply)
	}
	if code := client.after("closed with "); code != "1000" {
		t.Errorf("the client was closed with %q", code)
	}
	client.wait()
	if status := client.cmd.ProcessState.ExitCode(); status != 0 {
		t.Errorf("the client ends with status %d", status)
	}
}

// dialPatiently waits until a program listens.
func dialPatiently(t *testing.T, address string, p *program) net.Conn {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %v", p.cmd.Path, err)
		}
	}
}
