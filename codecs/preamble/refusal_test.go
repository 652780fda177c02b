package preamble_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/frame"
)

const (
	clientHello = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
	pgStartup   = "0000001700030000757365720061006461746162617365006200"
	xmppHead    = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
	proxy2      = "0d0a0d0a000d0a515549540a"
)

// What peers say that do not, or will not, go on to TLS. why is part of the error, answer of what they hear at the end.
// A refusal is a peer that speaks the protocol; the others speak it wrongly, or another one.
var refusals = []struct {
	spec, said  string
	role        frame.Role
	refused     bool
	why, answer string
}{
	{"postgres", "N", frame.Client, true, "set ssl = on", ""},
	{"postgres", "EFATAL:  unsupported frontend protocol\n\x00", frame.Client, true,
		`the error "FATAL:  unsupported frontend`, ""},
	{"postgres", "E\x00\x00\x00\x15SFATAL\x00Mtoo many\x00\x00", frame.Client, true, `the error "too many"`, ""},
	{"postgres", "E\x00\x00\x00\x08\x1b[2J", frame.Client, true, "the error 1b 5b 32 4a", ""},
	{"postgres", "HTTP/1.1 400", frame.Client, false, `sends "H"`, ""},
	{"postgres", hx(pgStartup), frame.Server, true, "sslmode=require",
		"this server accepts TLS only: set sslmode=require\x00\x00"},
	{"postgres", hx("0000000804d21630" + pgStartup), frame.Server, true, "sslmode=require", "sslmode=require\x00\x00"},
	{"postgres", hx("0000000804d21630 0000000804d21630"), frame.Server, false, "code 80877104", "N"},
	{"postgres", hx("0000001004d2162e 0000000100000002"), frame.Server, true, "CancelRequest", ""},
	{"postgres", hx("0000000904d2162f00"), frame.Server, false, "length 9", ""},
	{"postgres", clientHello, frame.Server, false, "sslnegotiation=postgres", ""},
	{"postgres", "GET / HTTP/1.1\r\n", frame.Server, false, `sends "G"`, ""},

	{"mysql", hx("1a000000ff6a04") + "Host 'x' is not allowed", frame.Client, true, `the error 1130 "Host`, ""},
	{"mysql", hx("170000000a35000300000027784c502f37647600fef70802000000"), frame.Client, true,
		"set ssl-cert and ssl-key", ""},
	{"mysql", hx("050000000935000000"), frame.Client, false, "09 35 00 00 00", ""},
	{"mysql", hx("01000000ff"), frame.Client, true, "the error ff", ""},
	{"mysql", "220 mail ESMTP\r\n", frame.Client, false, "the number 32", ""},
	{"mysql", hx("5000000185a2bf00") + strings.Repeat("\x00", 24), frame.Server, true, "use --ssl-mode=REQUIRED",
		"or --ssl"},
	{"mysql", hx("2000000185a2bf00" + strings.Repeat("00", 28)), frame.Server, false, "the bit for TLS", ""},
	{"mysql", clientHello, frame.Server, false, "the number 2", ""},

	{"smtp", "554 no SMTP service here\r\n", frame.Client, true, `"554 no SMTP`, ""},
	{"smtp", "220 x\r\n250-x\r\n250 SIZE\r\n", frame.Client, true, "it offers no TLS", "EHLO localhost\r\n"},
	{"smtp", "220 x\r\n250 STARTTLS\r\n", frame.Client, true, "it offers no TLS", ""},
	{"smtp", "220 x\r\n250-x\r\n250 STARTTLS\r\n454 4.7.0 not \x1b[0mavailable\r\n", frame.Client, true,
		`not \x1b[0mavailable`, ""},
	{"smtp", "SSH-2.0-OpenSSH_9.2p1\r\n", frame.Client, false, "that is SSH", ""},
	{"smtp", "220\x00", frame.Client, false, "", ""},
	{"smtp", strings.Repeat("2", 5000), frame.Client, false, "no end of the line within 2048 bytes", ""},
	{"smtp", strings.Repeat("220-x\r\n", 200), frame.Client, false, "more than 128 lines", ""},
	{"smtp", clientHello, frame.Server, false, "it starts TLS at once", ""},
	{"smtp", "EHLO x\r\nAUTH PLAIN AHVzZXIAcGFzcw==\r\nQUIT\r\n", frame.Server, true, `sends "AUTH"`,
		"221 localhost\r\n"},
	{"smtp", "EHLO x\r\nQUIT\r\n", frame.Server, true, `sends "QUIT"`, "221 localhost\r\n"},
	{"smtp", "PASS word\x00", frame.Server, false, `sends "PASS"`, ""},
	{"smtp", strings.Repeat("NOOP\r\n", 100), frame.Server, false, "32 other commands", "250 localhost\r\n"},
	{"imap", "* PREAUTH welcome\r\n", frame.Client, true, "cannot begin TLS", ""},
	{"imap", "* BYE overloaded\r\n", frame.Client, true, "overloaded", ""},
	{"imap", "* OK x\r\na1 BAD no\r\n", frame.Client, true, "a1 BAD no", ""},
	{"imap", "* OK x\r\na2 OK\r\n", frame.Client, false, "a2 OK", ""},
	{"imap", "a LOGIN user password\r\nb LOGOUT\r\n", frame.Server, true, `sends "LOGIN"`, "* BYE\r\nb OK done\r\n"},
	{"pop3", "-ERR busy\r\n", frame.Client, true, "busy", ""},
	{"pop3", "+OK\r\n-ERR what\r\n", frame.Client, true, "what", "STLS\r\n"},
	{"pop3", "+OKAY\r\n", frame.Client, false, "+OKAY", ""},
	{"pop3", "USER u\r\nPASS p\r\nQUIT\r\n", frame.Server, true, `sends "USER"`, "-ERR STLS first\r\n+OK\r\n"},
	{"nntp", "400 load\r\n", frame.Client, true, "load", ""},
	{"nntp", "200 x\r\n580 no\r\n", frame.Client, true, "580 no", ""},
	{"ftp", "220 x\r\n534 no\r\n", frame.Client, true, "534 no", "AUTH TLS\r\n"},
	{"ftp", "AUTH KERBEROS_V4\r\nUSER a\r\nQUIT\r\n", frame.Server, true, `sends "AUTH"`,
		"530 AUTH TLS first\r\n221 bye\r\n"},
	{"sieve", "\"SIEVE\" \"\"\r\nOK\r\n", frame.Client, true, "it offers no TLS", ""},
	{"sieve", "BYE {3}\r\nbad\r\n", frame.Client, true, "bad", ""},
	{"sieve", "\"SIEVE\" {99999}\r\n", frame.Client, false, "a literal of more than", ""},
	{"irc", ":x 691 * :STARTTLS failed\r\n", frame.Client, true, "691", ""},
	{"irc", ":x 001 * :Welcome\r\n", frame.Client, false, "001", ""},
	{"telnet", hx("fffe2e"), frame.Client, true, "a refusal of START_TLS", ""},
	{"telnet", "\r\nlogin: ", frame.Client, false, "data before TLS", ""},
	{"telnet", hx("fffd2e fffa2e02fff0"), frame.Client, false, "no START_TLS FOLLOWS", hx("fffa2e01fff0")},
	{"telnet", hx("fffc2e"), frame.Server, true, "a refusal of START_TLS", ""},
	{"telnet", clientHello, frame.Server, false, "it starts TLS at once", ""},
	{"telnet", strings.Repeat(hx("fffd01"), 100), frame.Client, false, "64 other commands", hx("fffc01")},

	{"xmpp", xmppHead + "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
		frame.Client,
		true, "host-unknown", ""},
	{"xmpp", strings.Replace(xmppHead, " version='1.0'", "", 1), frame.Client, true, "without a version", ""},
	{"xmpp", xmppHead + "<stream:features><starttls/></stream:features>", frame.Client, true, "it offers no TLS", ""},
	{"xmpp", xmppHead + "</stream:stream>", frame.Client, true, "the end of its stream", ""},
	{"xmpp", xmppHead + "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>" +
		"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", frame.Client, true, "sends failure", ""},
	{"xmpp", "<!DOCTYPE x [<!ENTITY a 'b'>]>", frame.Client, false, "XMPP forbids", ""},
	{"xmpp", "<stream:stream " + strings.Repeat("a", 20000), frame.Client, false, "more than 16384 bytes", ""},
	{"xmpp", "<a><b></a>", frame.Client, false, "", ""},
	{"xmpp", "220 mail ESMTP\r\n<", frame.Client, false, `"220 mail ESMTP\n"`, ""},
	{"xmpp", clientHello, frame.Server, false, "it starts TLS at once", ""},
	{"xmpp", xmppHead + "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AHUAcA==</auth>", frame.Server, true,
		`the element "auth"`,
		"</stream:stream>"},
	{"xmpp:domain=a", strings.Replace(xmppHead, ">", " to='b'>", 1), frame.Server, true,
		`a stream to "a", but sends one to "b"`,
		"</stream:stream>"},

	{"ldap", hx("302a02010178250a01020400041e756e737570706f7274656420657874656e646564206f7065726174696f6e"),
		frame.Client, true,
		`the result 2 protocolError with the text "unsupported extended operation"`, ""},
	{"ldap", hx("302402010078 1f0a013404000400 8a16312e332e362e312e342e312e313436362e3230303336"), frame.Client, true,
		"a notice that it disconnects: the result 52 unavailable", ""},
	{"ldap", hx("300c02010278070a010004000400"), frame.Client, false, "another request", ""},
	{"ldap", hx("300c02010161070a010004000400"), frame.Client, false, "", ""},
	{"ldap", hx("3085000000000a"), frame.Client, false, "not a length", ""},
	{"ldap", hx("3084ffffffff"), frame.Client, false, "not a length", ""},
	{"ldap", hx("3003020201"), frame.Client, false, "no message of LDAP", ""},
	{"ldap", hx("300c020101600702010304008000 30050201024200"), frame.Server, true, "a request of type 0",
		hx("0a010d0400040e") + "StartTLS first"},
	{"ldap", hx("30050201024200"), frame.Server, true, "an unbind request", ""},
	{"ldap", clientHello, frame.Server, false, "it starts TLS at once", ""},

	{"rdp", hx("0300000b06d00000123400"), frame.Client, true, "RDP's own encryption", ""},
	{"rdp", hx("030000130ed000001234000201080000000000"), frame.Client, true, "RDP's own encryption", ""},
	{"rdp", hx("030000130ed000001234000300080005000000"), frame.Client, true, "the failure 5 (CredSSP required)", ""},
	{"rdp", hx("030000130ed000001234000200080002000000"), frame.Client, false, "not what was asked for", ""},
	{"rdp", hx("0300fff30ed0"), frame.Client, false, "", ""},
	{"rdp", hx("0300000b06e00000000000"), frame.Server, true, "the protocols 0x0", hx("0300080001000000")},
	{"rdp:hybrid", hx("030000130ee000000000000100080001000000"), frame.Server, true, "CredSSP over TLS",
		hx("0300080005000000")},
	{"rdp", clientHello, frame.Server, false, "it starts TLS at once", ""},

	{"connect:a:1", "HTTP/1.1 403 Forbidden\r\n\r\n", frame.Client, true, `"HTTP/1.1 403 Forbidden"`, ""},
	{"connect:a:1", "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\n\r\n", frame.Client, true,
		"see the option secret", ""},
	{"connect:a:1", "HTTP/1.1 101 Switching Protocols\r\n\r\n", frame.Client, true, "101", ""},
	{"connect:a:1", "HTTP/2 200\r\n\r\n", frame.Client, false, "HTTP/2", ""},
	{"connect:a:1", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 9), frame.Client, false, "4 interim answers", ""},
	{"connect:a:1", "HTTP/1.1 200 ok\r\n folded\r\n", frame.Client, false, "no header field", ""},
	{"connect:a:1", "HTTP/1.1 200 ok\r\n" + strings.Repeat("A: b\r\n", 200), frame.Client, false, "100 fields", ""},
	{"connect:a:1", "CONNECT b:1 HTTP/1.1\r\n\r\n", frame.Server, true, `sends "b:1"`, "HTTP/1.1 403 Forbidden\r\n"},
	{"connect", "CONNECT b HTTP/1.1\r\n\r\n", frame.Server, true, "no HOST:PORT", "HTTP/1.1 403 Forbidden\r\n"},
	{"connect", "GET http://u:p@h/ HTTP/1.1\r\n\r\n", frame.Server, true, `sends "GET"`, "HTTP/1.1 405 "},
	{"connect", "CONNECT a:1 HTTP/1.1\r\nProxy-Authorization : Basic abc\r\n", frame.Server, false,
		`"Proxy-Authorizat"`, ""},
	{"connect", clientHello, frame.Server, false, "it starts TLS at once", ""},
	{"upgrade:x", "HTTP/1.1 200 OK\r\n\r\n", frame.Client, true, `"HTTP/1.1 200 OK"`, ""},
	{"upgrade:x", "HTTP/1.1 101 OK\r\nUpgrade: y\r\n\r\n", frame.Client, false, `sends "y"`, ""},
	{"upgrade:x", "GET / HTTP/1.1\r\n\r\n", frame.Server, true, "one without it",
		"HTTP/1.1 426 Upgrade Required\r\nUpgrade: x\r\n"},
	{"upgrade:x", "POST / HTTP/1.1\r\nUpgrade: x\r\nConnection: upgrade\r\nContent-Length: 1\r\n\r\n", frame.Server,
		true, "a body",
		"HTTP/1.1 400 "},
	{"upgrade:x", "GET / HTTP/1.0\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", frame.Server, true, "one without it",
		"426"},
	{"upgrade:x,path=/a", "GET /b HTTP/1.1\r\n\r\n", frame.Server, true, "another path", "HTTP/1.1 404 "},

	{"socks5:a:1", hx("05ff"), frame.Client, true, "see the option secret", ""},
	{"socks5:a:1", hx("0502"), frame.Client, false, "not offered", ""},
	{"socks5:a:1", hx("0500 0505"), frame.Client, true, "the reply 5 (connection refused)", ""},
	{"socks5:a:1", hx("0500 05ee"), frame.Client, true, "the reply 238 (unassigned)", ""},
	{"socks5:a:1", hx("0500 05000009"), frame.Client, false, "an unknown type", ""},
	{"socks5:a:1", hx("0400"), frame.Client, false, "", ""},
	{"socks5", hx("050102"), frame.Server, true, "without authentication", hx("05ff")},
	{"socks5", hx("050100 05020001 7f0000010050"), frame.Server, true, "the command 2", hx("05070001000000000000")},
	{"socks5", hx("050100 05010009"), frame.Server, false, "an unknown type", hx("05080001000000000000")},
	{"socks5:a:1", hx("050100 05010001 7f0000010050"), frame.Server, true, `"127.0.0.1:80"`,
		hx("05020001000000000000")},
	{"socks5", clientHello, frame.Server, false, "it starts TLS at once", ""},

	{"proxy", clientHello, frame.Server, false, "switch the PROXY protocol on", ""},
	{"proxy", "GET / HTTP/1.1\r\n", frame.Server, false, "", ""},
	{"proxy:v2", "PROXY UNKNOWN\r\n", frame.Server, false, "the other version", ""},
	{"proxy:v1", hx(proxy2), frame.Server, false, "the other version", ""},
	{"proxy", "PROXY TCP4 1.2.3.4 ::1 1 1\r\n", frame.Server, false, "not TCP4 or TCP6", ""},
	{"proxy", "PROXY TCP6 ::1%eth0 ::1 1 1\r\n", frame.Server, false, "not TCP4 or TCP6", ""},
	{"proxy", "PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n", frame.Server, false, "not TCP4 or TCP6", ""},
	{"proxy", "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", frame.Server, false, "not TCP4 or TCP6", ""},
	{"proxy", "PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n", frame.Server, false, "not TCP4 or TCP6", ""},
	{"proxy", "PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n" + strings.Repeat("x", 200), frame.Server, false, "within 107 bytes",
		""},
	{"proxy", hx(proxy2 + "31110000"), frame.Server, false, "an unknown version", ""},
	{"proxy", hx(proxy2 + "22110000"), frame.Server, false, "an unknown version", ""},
	{"proxy", hx(proxy2 + "21410000"), frame.Server, false, "an unknown version", ""},
	{"proxy", hx(proxy2 + "2111000b"), frame.Server, false, "too short for its addresses", ""},
	{"proxy", hx(proxy2 + "2111ffff"), frame.Server, false, "more than 4096 bytes", ""},
	{"proxy", hx(proxy2 + "20000004 05000200"), frame.Server, false, "the TLVs do not end", ""},
	{"proxy", hx(proxy2 + "20000007 030004a9b87e8e"), frame.Server, false, "its checksum is wrong", ""},
	{"proxy", hx(proxy2 + "20000006 030003a9b87e"), frame.Server, false, "its checksum is wrong", ""},

	{"nbd", nbdOpening + "\x00\x00", frame.Client, true, "the flags 0x0", ""},
	{"nbd", "NBDMAGIC" + hx("00420281861253"), frame.Client, false, "", ""}, // from before there were options
	{"nbd", nbdOpening + hx("0001 0003e889045565a9000000058000000200000000"), frame.Client, true,
		"the error 2 (policy)", ""},
	{"nbd", nbdOpening + hx("0001 0003e889045565a90000000580000001ffffffff"), frame.Client, false, "", ""},
	{"nbd", nbdOpening + hx("0001 0003e889045565a9000000050000000200000000"), frame.Client, false, "", ""},
	{"nbd", nbdOpening + hx("0001 0003e889045565a9000000050000000100000001 00"), frame.Client, false, "", ""},
	{"nbd", hx("00000001") + "IHAVEOPT" + hx("0000000100000004"), frame.Server, true, "EXPORT_NAME", ""},
	{"nbd", hx("00000001") + "IHAVEOPT" + hx("0000000300000000") + "IHAVEOPT" + hx("0000000200000000"), frame.Server,
		true,
		"the option 3", hx("0000000200000001 00000000")},
	{"nbd", hx("00000001") + "IHAVEOPT" + hx("0000000300001001"), frame.Server, false, "4097 bytes", ""},
	{"nbd", clientHello, frame.Server, false, "", ""},
}

func TestRefusals(t *testing.T) {
	for _, r := range refusals {
		heard, _, err := play(t, parse(t, r.spec), r.role, r.said)
		var e *preamble.Error
		if !errors.As(err, &e) || e.Refused != r.refused || e.Peer != r.role.Peer() || !strings.Contains(err.Error(),
			r.why) {
			t.Errorf("%s as %v: %.60q: %v\nwant an error with %q, refused: %t", r.spec, r.role, r.said, err, r.why,
				r.refused)
		}
		if !strings.Contains(heard, r.answer) {
			t.Errorf("%s as %v: %.60q: answered %q, want %q", r.spec, r.role, r.said, heard, r.answer)
		}
	}
}
