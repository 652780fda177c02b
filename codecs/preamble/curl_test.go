package preamble_test

import (
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// curl asks for a page through a proxy that is also the web server behind it.
func TestServersAgainstCurl(t *testing.T) {
	curl := program(t, "curl")
	ca := issued(t).files(t) + "/ca.crt"
	target := hostname + ":443"
	secret := secretOf(t, "user:pass word")
	headers := newHeaders()
	for _, c := range []struct {
		name string
		ours frame.Preamble
		args func(addr string) []string
	}{
		{"connect", preamble.Connect{Target: target, Secret: secret}, func(addr string) []string {
			return []string{"--proxy", "http://" + addr, "--proxy-user", "user:pass word", "https://" + hostname + "/"}
		}},
		{"connect IPv6", preamble.Connect{Target: "[2001:db8::1]:443"}, func(addr string) []string {
			return []string{"--insecure", "--proxy", "http://" + addr, "https://[2001:db8::1]/"}
		}},
		{"socks5", preamble.SOCKS5{Target: target}, func(addr string) []string {
			return []string{"--proxy", "socks5h://" + addr, "https://" + hostname + "/"}
		}},
		{"socks5 with password", preamble.SOCKS5{Target: target, Secret: secret}, func(addr string) []string {
			return []string{"--proxy", "socks5h://" + addr, "--proxy-user", "user:pass word", "https://" + hostname +
				"/"}
		}},
		{"socks5 by address", preamble.SOCKS5{Target: "192.0.2.1:443"}, func(addr string) []string {
			return []string{"--proxy", "socks5://" + addr, "--resolve", target + ":192.0.2.1", "https://" + hostname +
				"/"}
		}},
		{"proxy v1", preamble.Proxy{Accept: headers.add},
			func(addr string) []string {
				return []string{"--haproxy-protocol", "--connect-to", target + ":" + addr, "https://" + hostname + "/"}
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := web(t, c.ours)
			args := append([]string{"--silent", "--show-error", "--noproxy", "", "--cacert", ca}, c.args(addr)...)
			out, err := command(t, curl, args...).CombinedOutput()
			if err != nil || string(out) != "page" {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	if h := <-headers; h.Src.(*net.TCPAddr).IP.String() != "127.0.0.1" || h.Dst.(*net.TCPAddr).Port == 0 {
		t.Errorf("curl's header says %v to %v", h.Src, h.Dst)
	}
}

// web serves one page over TLS behind preambles.
func web(t *testing.T, list ...frame.Preamble) (addr string) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w,
			"page")
	})}
	t.Cleanup(func() { server.Close() })
	go server.Serve(wrap.NewListener(inner, serverConfig(t, list...)))
	return inner.Addr().String()
}
