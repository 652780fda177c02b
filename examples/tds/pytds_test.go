package main

import (
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/wrap/needtest"
)

// pytds is a client in Python, whose arguments are a port, a file of authorities, and "login" for that alone.
const pytds = `
import pytds, sys
port, ca, what = sys.argv[1:]
c = pytds.connect('127.0.0.1', '', 'sa', 'secret', port=int(port), autocommit=True, timeout=10, login_timeout=10,
                  cafile=ca, validate_host=False, enc_login_only=what == 'login')
cursor = c.cursor()
cursor.execute('select encryption')
print(cursor.fetchall()[0][0])
`

// TestPyTDS has python-tds log in, an implementation that shares nothing with FreeTDS.
func TestPyTDS(t *testing.T) {
	const python = "/usr/bin/python3" // to which Debian's packages belong
	if err := exec.Command(python, "-c", "import pytds, OpenSSL").Run(); err != nil {
		needtest.Skip(t, "python-tds is not installed: apt-get install python3-tds python3-openssl")
	}
	dir := certificates(t)
	for _, c := range []struct{ what, options, want string }{
		{"all", "", "everything encrypted: TLS 1.2"},
		{"login", "", "everything encrypted: TLS 1.2"},
		{"login", "login-only", "the login encrypted: what follows it is in clear"},
		{"all", "login-only", "everything encrypted: TLS 1.2"},
	} {
		address, _ := startServer(t, dir, c.options)
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		out, err := exec.CommandContext(ctx, python, "-c", pytds, port, filepath.Join(dir, "ca.crt"), c.what).CombinedOutput()
		cancel()
		if err != nil || !strings.HasPrefix(string(out), c.want) {
			t.Errorf("%s of %q: %s%v", c.what, c.options, out, err)
		}
	}
}
