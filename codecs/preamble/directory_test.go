package preamble_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"testing"

	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/porttest"
)

// An LDAP directory: ours before ldapsearch and slapd, and slapd itself with TLS and without.
func TestLDAP(t *testing.T) {
	slapd, ldapsearch := program(t, "slapd"), program(t, "ldapsearch")
	dir := issued(t).files(t)
	start := func(more string) (addr string) {
		t.Helper()
		addr = porttest.Free(t)
		conf := configured(t, "pidfile "+t.TempDir()+"/pid\n"+more)
		daemon(t, command(t, slapd, "-f", conf, "-h", "ldap://"+addr, "-d", "0"))
		await(t, addr)
		return addr
	}
	secure := start("TLSCertificateFile " + dir + "/server.crt\nTLSCertificateKeyFile " + dir + "/server.key\n")
	clear := start("")

	t.Run("client", func(t *testing.T) {
		conn, err := dial(t, secure, preamble.LDAP{})
		if err != nil {
			t.Fatal(err)
		}
		const bind, success = "\x30\x0c\x02\x01\x02\x60\x07\x02\x01\x03\x04\x00\x80\x00",
			"\x30\x0c\x02\x01\x02\x61\x07\x0a\x01\x00\x04\x00\x04\x00"
		got := make([]byte, len(success))
		io.WriteString(conn, bind)
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != success {
			t.Errorf("got % x, %v", got, err)
		}
		_, err = dial(t, clear, preamble.LDAP{})
		refusal(t, err, "the result 2 protocolError")
	})
	t.Run("server", func(t *testing.T) {
		addr := front(t, clear, preamble.LDAP{})
		cmd := command(t, ldapsearch, "-x", "-ZZ", "-H", "ldap://"+addr, "-b", "", "-s", "base", "supportedLDAPVersion")
		cmd.Env = append(os.Environ(), "LDAPTLS_CACERT="+dir+"/ca.crt")
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("supportedLDAPVersion: 3")) {
			t.Errorf("%v: %s", err, out)
		}
		cmd = command(t, ldapsearch, "-x", "-H", "ldap://"+addr, "-b", "", "-s", "base")
		if out, err := cmd.CombinedOutput(); err == nil || !bytes.Contains(out,
			[]byte("Confidentiality required (13)")) {
			t.Errorf("without TLS: %v: %s", err, out)
		}
	})
}

// front serves TLS behind preambles and hands on what it decrypts.
func front(t *testing.T, backend string, list ...frame.Preamble) (addr string) {
	t.Helper()
	cfg := serverConfig(t, list...)
	return listen(t, func(raw net.Conn) {
		conn := wrap.Server(wrap.Stream(raw), cfg)
		defer conn.Close()
		if conn.Handshake() != nil {
			return
		}
		behind, err := net.Dial("tcp", backend)
		if err != nil {
			t.Error(err)
			return
		}
		defer behind.Close()
		go func() {
			io.Copy(behind, conn)
			behind.(*net.TCPConn).CloseWrite()
		}()
		io.Copy(conn, behind)
	})
}
