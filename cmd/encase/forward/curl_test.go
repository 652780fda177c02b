package forward

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
)

// mirror is a web server that sends back what it is sent, after a header that says how it was reached.
func mirror(t testing.TB, cfg *tls.Config) (address string) {
	l, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{TLSConfig: cfg, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Protocol", r.Proto)
		io.Copy(w, r.Body)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if cfg == nil {
			s.Serve(l)
		} else {
			s.ServeTLS(l, "", "")
		}
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	return l.Addr().String()
}

// curl goes through two forwards with TLS in frames between them: with HTTP, and with HTTPS of its own, TLS in TLS.
func TestCurl(t *testing.T) {
	needs(t, "curl")
	f := certificates(t)
	cert, err := tls.LoadX509KeyPair(f.path("server.crt"), f.path("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	body := random(5_000_000)
	if err := os.WriteFile(f.path("body"), body, 0o600); err != nil {
		t.Fatal(err)
	}
	own := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}}
	for scheme, cfg := range map[string]*tls.Config{"http": nil, "https": own} {
		t.Run(scheme, func(t *testing.T) {
			d, entrance := pair(t, f, "length:16be", mirror(t, cfg), "")
			var got, problems bytes.Buffer
			c := exec.Command("curl", "--silent", "--show-error", "--fail", "--max-time", "20", "--cacert", f.path("ca.crt"),
				"--noproxy", "*", "--connect-to", "server.test::127.0.0.1:"+portOf(entrance),
				"--dump-header", f.path("head"), "--upload-file", f.path("body"), scheme+"://server.test/mirror")
			c.Stdout, c.Stderr = &got, &problems
			if err := c.Run(); err != nil {
				t.Fatalf("%v: %s", err, problems.String())
			}
			if !bytes.Equal(got.Bytes(), body) {
				t.Errorf("%d bytes came back, want the %d that were sent", got.Len(), len(body))
			}
			head, err := os.ReadFile(f.path("head"))
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"http": "X-Protocol: HTTP/1.1", "https": "x-protocol: HTTP/2.0"}[scheme]
			if !bytes.Contains(head, []byte(want)) {
				t.Errorf("the answer's header is %q, want %s", head, want)
			}
			d.find(t, 0, "connection closed")
		})
	}
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}
