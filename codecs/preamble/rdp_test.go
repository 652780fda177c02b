package preamble_test

import (
	"io"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/porttest"
)

// xrdp behind our client: TLS is proof that it took our request.
func TestRDPClientAgainstXrdp(t *testing.T) {
	xrdp := program(t, "xrdp")
	dir := issued(t).files(t)
	start := func(security string) (addr string) {
		addr = porttest.Free(t)
		_, port, _ := net.SplitHostPort(addr)
		conf := configured(t, "[Globals]\nport=tcp://127.0.0.1:"+port+"\nfork=true\n"+
			"security_layer="+security+"\ncertificate="+dir+
			"/server.crt\nkey_file="+dir+"/server.key\n"+
			"ssl_protocols=TLSv1.2, TLSv1.3\n[Logging]\nLogFile="+dir+"/log\n"+
			"LogLevel=INFO\n")
		daemon(t, command(t, xrdp, "--nodaemon", "--config", conf))
		await(t, addr)
		return addr
	}
	addr := start("tls")
	for _, ours := range []preamble.RDP{{}, {Cookie: "user"}} {
		if _, err := dial(t, addr, ours); err != nil {
			t.Errorf("%+v: %v", ours, err)
		}
	}
	_, err := dial(t, start("rdp"), preamble.RDP{})
	refusal(t, err, "TLS")
}

// FreeRDP before our server, on a screen in memory. Behind TLS it begins with MCS Connect-Initial in TPKT and X.224.
func TestRDPServerAgainstFreeRDP(t *testing.T) {
	xfreerdp, xvfb := program(t, "xfreerdp"), program(t, "Xvfb")
	display := ":" + strconv.Itoa(100+os.Getpid()%1000)
	daemon(t, command(t, xvfb, display, "-screen", "0", "640x480x16", "-nolisten", "tcp"))
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat("/tmp/.X11-unix/X" + display[1:]); err == nil {
			break
		}
	}
	first := make(chan string, 4)
	cfg := serverConfig(t, preamble.RDP{})
	addr := listen(t, func(c net.Conn) {
		conn := wrap.Server(wrap.Stream(c), cfg)
		defer conn.Close()
		p := make([]byte, 9)
		_, err := io.ReadFull(conn, p)
		if err != nil {
			t.Error(err)
		}
		first <- string(append(p[:2], p[4:]...)) // without the length
	})
	cmd := command(t, xfreerdp, "/v:"+addr, "/u:user", "/p:password", "/sec:tls", "/cert:ignore", "/timeout:60000")
	cmd.Env = append(os.Environ(), "DISPLAY="+display, "HOME="+t.TempDir())
	cmd.Run() // fails: there is no desktop behind TLS
	select {
	case got := <-first:
		if got != "\x03\x00\x02\xf0\x80\x7f\x65" {
			t.Errorf("behind TLS FreeRDP begins with % x", got)
		}
	case <-time.After(time.Minute):
		t.Error("FreeRDP does not get through to TLS")
	}
}
