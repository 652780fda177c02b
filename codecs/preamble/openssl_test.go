package preamble_test

import (
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/frame"
)

// Every dialogue that openssl s_client knows as a client, against our servers.
func TestServersAgainstOpenSSL(t *testing.T) {
	openssl := program(t, "openssl")
	ca := issued(t).files(t) + "/ca.crt"
	for _, c := range []struct {
		protocol string
		ours     frame.Preamble
		args     []string
	}{
		{"smtp", preamble.SMTP{Name: hostname}, nil},
		{"lmtp", preamble.SMTP{LMTP: true}, nil},
		{"pop3", preamble.POP3{}, nil},
		{"imap", preamble.IMAP{}, nil},
		{"ftp", preamble.FTP{}, nil},
		{"xmpp", preamble.XMPP{Domain: hostname}, []string{"-name", hostname}},
		{"xmpp-server", preamble.XMPP{Server: true}, nil},
		{"telnet", preamble.Telnet{}, nil},
		{"irc", preamble.IRC{}, nil},
		{"mysql", preamble.MySQL{}, nil},
		{"postgres", preamble.Postgres{}, nil},
		{"nntp", preamble.NNTP{}, nil},
		{"sieve", preamble.Sieve{}, nil},
		{"ldap", preamble.LDAP{}, nil},
	} {
		t.Run(c.protocol, func(t *testing.T) {
			t.Parallel()
			addr := echo(t, nil, c.ours)
			openSSL(t, openssl, append([]string{"-connect", addr, "-starttls", c.protocol, "-CAfile", ca},
				c.args...)...)
		})
	}
	t.Run("connect", func(t *testing.T) {
		t.Parallel()
		addr := echo(t, nil, preamble.Connect{Target: hostname + ":443", Secret: secretOf(t, "user:pass word")})
		openSSL(t, openssl, "-proxy", addr, "-proxy_user", "user", "-proxy_pass", "pass:pass word",
			"-connect", hostname+":443", "-CAfile", ca)
	})
}

// The tests above can fail: a client of one protocol gets nowhere with a server of another.
func TestOpenSSLOfAnotherProtocol(t *testing.T) {
	openssl := program(t, "openssl")
	failed := make(chan error, 1)
	addr := echo(t, failed, preamble.IMAP{})
	cmd := command(t, openssl, "s_client", "-quiet", "-connect", addr, "-starttls", "pop3")
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Errorf("it succeeds: %s", out)
	}
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "imap: the client") {
		t.Errorf("our server reports %v", err)
	}
}

// openSSL has s_client verify the server and send a line, which it expects back.
func openSSL(t *testing.T, openssl string, args ...string) {
	t.Helper()
	args = append([]string{"s_client", "-quiet", "-verify_return_error", "-verify_hostname", hostname}, args...)
	cmd := command(t, openssl, args...)
	cmd.Stdin = strings.NewReader("hello\n")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "hello\n") {
		t.Errorf("%v: %s", err, out)
	}
}

func secretOf(t *testing.T, text string) *preamble.Secret {
	t.Helper()
	s, err := preamble.ReadSecret(secretFile(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
