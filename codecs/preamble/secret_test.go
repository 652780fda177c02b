package preamble_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/frame"
)

// Servers with a secret let in who knows it.
func TestAuthentication(t *testing.T) {
	secret := secretOf(t, "user:pass:phrase")
	basic := func(s string) string {
		return "CONNECT a:1 HTTP/1.1\r\nProxy-Authorization: " + s + "\r\n\r\n"
	}
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, c := range []struct {
		p    frame.Preamble
		said string
		ok   bool
	}{
		{preamble.Connect{Secret: secret}, basic("basic  " + encode("user:pass:phrase")), true},
		{preamble.Connect{Secret: secret}, basic("Basic " + encode("user:pass")), false},
		{preamble.Connect{Secret: secret}, basic("Basic " + encode("user")), false},
		{preamble.Connect{Secret: secret}, basic("Bearer " + encode("user:pass:phrase")), false},
		{preamble.Connect{Secret: secret}, basic("Basic !"), false},
		{preamble.Connect{Secret: secret}, "CONNECT a:1 HTTP/1.1\r\n\r\n", false},
		{preamble.SOCKS5{Secret: secret}, "\x05\x02\x00\x02" + "\x01\x04user\x0bpass:phrase" +
			"\x05\x01\x00\x03\x01a\x00\x01", true},
		{preamble.SOCKS5{Secret: secret}, "\x05\x01\x02" + "\x01\x04user\x04pass", false},
		{preamble.SOCKS5{Secret: secret}, "\x05\x01\x02" + "\x01\x00\x00", false},
		{preamble.SOCKS5{Secret: secret}, "\x05\x01\x00" + "\x05\x01\x00\x03\x01a\x00\x01", false},
	} {
		_, _, err := play(t, c.p, frame.Server, c.said)
		if c.ok && err != nil || !c.ok && err == nil {
			t.Errorf("%q: %v", c.said, err)
		}
		if err != nil && (strings.Contains(err.Error(), "phrase") || strings.Contains(err.Error(), encode("pass"))) {
			t.Errorf("the error shows what came: %v", err)
		}
	}
}

// A client says its secret only to a proxy that asks for it, in SOCKS5.
func TestSOCKS5ClientKeepsItsSecret(t *testing.T) {
	p := preamble.SOCKS5{Target: "a:1", Secret: secretOf(t, "user:password")}
	heard, _, err := play(t, p, frame.Client, "\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
	if err != nil || strings.Contains(heard, "password") {
		t.Errorf("it says %q (%v)", heard, err)
	}
	heard, _, err = play(t, p, frame.Client, "\x05\x02\x01\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
	if err != nil || heard != "\x05\x02\x00\x02\x01\x04user\x08password\x05\x01\x00\x03\x01a\x00\x01" {
		t.Errorf("it says %q (%v)", heard, err)
	}
}

// Accept decides, and its error is the one that is returned; the peer learns no more than that.
func TestAccept(t *testing.T) {
	policy := errors.New("not on a Sunday")
	var asked []string
	accept := func(_ context.Context, target string) error {
		asked = append(asked, target)
		return policy
	}
	for _, c := range []struct {
		p           frame.Preamble
		said, heard string
	}{
		{preamble.Connect{Accept: accept}, "CONNECT a:1 HTTP/1.1\r\n\r\n", "HTTP/1.1 403 Forbidden\r\n"},
		{preamble.SOCKS5{Accept: accept}, hx("050100 05010003 0161 0001"), hx("0500 05020001000000000000")},
		{preamble.Proxy{Accept: func(context.Context, preamble.ProxyHeader) error { return policy }},
			"PROXY UNKNOWN\r\n", ""},
		{preamble.MySQL{Greeting: func(context.Context, []byte) error { return policy }}, "", ""},
	} {
		s := newScript(strings.NewReader(c.said))
		err := c.p.Exchange(context.Background(), s, frame.Server)
		if !errors.Is(err, policy) || !strings.HasPrefix(s.heard.String(), c.heard) {
			t.Errorf("%v; answered %q", err, &s.heard)
		}
	}
	if strings.Join(asked, " ") != "a:1 a:1" {
		t.Errorf("asked for %q", asked)
	}
}
