package preamble_test

import (
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/preamble"
	"github.com/encase-tls/encase/frame"
)

// hx decodes bytes as they were captured.
func hx(s string) string {
	p, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return string(p)
}

const (
	ldapRequest = "301d02010177188016312e332e362e312e342e312e313436362e3230303337"
	nbdOpening  = "NBDMAGICIHAVEOPT"
)

// What programs have said to each other, and what we say in the place of one of them. heard is "-" where it has a
// random part.
var dialogues = []struct {
	spec, said, heard string
	role              frame.Role
}{
	// PostgreSQL 15; its psql asks for GSSAPI first if it has a ticket.
	{"postgres", "S", hx("0000000804d2162f"), frame.Client},
	{"postgres", hx("0000000804d2162f"), "S", frame.Server},
	{"postgres", hx("0000000804d21630 0000000804d2162f"), "NS", frame.Server},
	// MariaDB 10.11 and its client.
	{"mysql", hx("640000000a352e352e352d31302e31312e31392d4d6172696144422d302b646562313275310003000000" +
		"27784c502f37647600fe" +
		"ff080200ff81150000000000001d000000432b49717e447850652f5645006d7973716c5f6e61746976655f70617373776f726400"),
		hx("2000000105aa080000000001210000000000000000000000000000000000000000000000"), frame.Client},
	{"mysql", hx("2000000185aabf0000001000210000000000000000000000000000000000000000000000"), "-", frame.Server},
	// stunnel 5.68 in both roles.
	{"smtp", "220 test stunnel for ESMTP\r\n250-test\r\n250 STARTTLS\r\n220 Go ahead\r\n",
		"EHLO localhost\r\nSTARTTLS\r\n", frame.Client},
	{"smtp", "EHLO localhost\r\nSTARTTLS\r\n",
		"220 localhost ESMTP\r\n250-localhost\r\n250 STARTTLS\r\n220 ready for TLS\r\n", frame.Server},
	{"pop3", "+OK test + stunnel\r\n+OK Stunnel starts TLS negotiation\r\n", "STLS\r\n", frame.Client},
	{"pop3", "STLS\r\n", "+OK ready\r\n+OK begin TLS\r\n", frame.Server},
	{"imap", "* OK test (stunnel)\r\na1 OK Begin TLS negotiation now\r\n", "a1 STARTTLS\r\n", frame.Client},
	{"imap", "stunnel STARTTLS\r\n",
		"* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] ready\r\nstunnel OK begin TLS\r\n",
		frame.Server},
	// The greeting alone, for a side without TLS.
	{"greeting:smtp,name=mx", "", "220 mx ESMTP\r\n", frame.Server},
	{"greeting:smtp", "220-mx\r\n220 ready\r\n", "", frame.Client},
	{"greeting:lmtp", "", "220 localhost LMTP\r\n", frame.Server},
	{"greeting:ftp", "220 (vsFTPd 3.0.3)\r\n", "", frame.Client},
	{"greeting:imap", "* OK [CAPABILITY IMAP4rev1] ready\r\n", "", frame.Client},
	{"greeting:imap", "", "* OK ready\r\n", frame.Server},
	{"greeting:pop3", "+OK <1.2@mx>\r\n", "", frame.Client},
	{"greeting:nntp", "201 read only\r\n", "", frame.Client},
	// Others, after the examples in their specifications.
	{"lmtp:name=mx", "220-mail\r\n220 LMTP\r\n250-mail\r\n250-PIPELINING\r\n250-starttls\r\n250 SIZE\r\n220 go\r\n",
		"LHLO mx\r\nSTARTTLS\r\n", frame.Client},
	{"smtp", "NOOP\r\nHELO x\r\nmail from:<a@b>\nSTARTTLS now\r\nehlo x\r\nstarttls\r\n",
		"220 localhost ESMTP\r\n250 localhost\r\n250 localhost\r\n530 5.7.0 STARTTLS first\r\n" +
			"530 5.7.0 STARTTLS first\r\n" +
			"250-localhost\r\n250 STARTTLS\r\n220 ready for TLS\r\n", frame.Server},
	{"imap", "* OK [CAPABILITY IMAP4rev2] hello\r\n* CAPABILITY IMAP4rev2\r\na1 OK [ALERT] now\r\n", "a1 STARTTLS\r\n",
		frame.Client},
	{"nntp", "201 NNTP service ready, posting prohibited\r\n382 Continue with TLS negotiation\r\n", "STARTTLS\r\n",
		frame.Client},
	{"nntp", "CAPABILITIES\r\nMODE READER\r\nSTARTTLS\r\n", "200 ready\r\n101 capabilities follow\r\nVERSION 2\r\n" +
		"STARTTLS\r\n.\r\n483 STARTTLS first\r\n382 begin TLS\r\n", frame.Server},
	{"ftp", "220-Welcome\r\n to a host\r\n 220 it is not the end\r\n220 really\r\n234 AUTH TLS OK.\r\n", "AUTH TLS\r\n",
		frame.Client},
	{"ftp", "FEAT\r\nauth ssl\r\n",
		"220 ready\r\n211-features\r\n AUTH TLS\r\n PBSZ\r\n PROT\r\n211 end\r\n234 begin TLS\r\n",
		frame.Server},
	{"sieve", "\"IMPLEMENTATION\" \"Example1 ManageSieved v001\"\r\n\"SIEVE\" {9}\r\nfile\r\ninto\r\n\"StartTLS\"\r\n" +
		"OK\r\nOK {5+}\r\nBegin negotiation\r\n", "STARTTLS\r\n", frame.Client},
	{"irc", ":irc.example NOTICE * :*** Looking up your hostname\r\n:irc.example 670 you :STARTTLS successful\r\n",
		"STARTTLS\r\n", frame.Client},
	{"irc", "CAP LS 302\r\nNICK me\r\nSTARTTLS\r\n", ":encase CAP * LS :tls\r\n:encase 670 * :begin TLS\r\n",
		frame.Server},
	{"telnet", hx("fffb03 fffd18 fffd2e fffa2e01fff0"), hx("fffe03 fffc18 fffb2e fffa2e01fff0"), frame.Client},
	{"telnet", hx("fffb2e fffa2e01fff0"), hx("fffd2e fffa2e01fff0"), frame.Server},
	{"telnet", hx("fffa2e01fff0 fffb2e fffa2e01fff0"), hx("fffd2e fffa2e01fff0"), frame.Server},
	// the first is too early
	{"xmpp:domain=im.example.com", "<?xml version='1.0'?>\n" +
		"<stream:stream from='im.example.com' id='t7AMCin9zjMNwQKDnplntZPIDEI='" +
		" version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>\n<stream:features>" +
		"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>" +
		"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>" +
		"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'></proceed>",
		"<?xml version='1.0'?><stream:stream xmlns='jabber:client'" +
			" xmlns:stream='http://etherx.jabber.org/streams' version='1.0'" +
			" to='im.example.com'><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", frame.Client},
	{"xmpp", "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'" +
		" xmlns='jabber:client' to='a&amp;b' version='1.0'>" +
		"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "-", frame.Server},
	// OpenLDAP 2.5; Active Directory writes lengths with four bytes.
	{"ldap", hx("3024020101781f0a0100040004008a16312e332e362e312e342e312e313436362e3230303337"), hx(ldapRequest),
		frame.Client},
	{"ldap", hx("308400000010020101788400000007 0a0100 0400 0400"), hx(ldapRequest), frame.Client},
	{"ldap", hx(ldapRequest), hx("3024020101781f0a0100040004008a16312e332e362e312e342e312e313436362e3230303337"),
		frame.Server},
	{"ldap", hx("300c020101600702010304008000" + ldapRequest),
		hx("301a02010161150a010d0400040e5374617274544c53206669727374" +
			"3024020101781f0a0100040004008a16312e332e362e312e342e312e313436362e3230303337"), frame.Server},
	// xrdp 0.9 and FreeRDP 2.11.
	{"rdp", hx("030000130ed000001234000201080001000000"), hx("030000130ee000000000000100080001000000"), frame.Client},
	{"rdp:cookie=user", hx("030000130ed000001234000201080001000000"),
		hx("0300002a25e00000000000436f6f6b69653a206d737473686173683d757365720d0a0100080001000000"), frame.Client},
	{"rdp", hx("0300002a25e00000000000436f6f6b69653a206d737473686173683d757365720d0a0100080001000000"),
		hx("030000130ed000001234000200080001000000"), frame.Server},
	// curl 7.88 and tinyproxy 1.11.
	{"connect:db.example:443", "HTTP/1.0 200 Connection established\r\nProxy-agent: tinyproxy/1.11.1\r\n\r\n",
		"CONNECT db.example:443 HTTP/1.1\r\nHost: db.example:443\r\n\r\n", frame.Client},
	{"connect", "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\nUser-Agent: curl/7.88.1\r\n" +
		"Proxy-Connection: Keep-Alive\r\n\r\n", "HTTP/1.1 200 Connection established\r\n\r\n", frame.Server},
	{"connect:db.example:443", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\nContent-Length: 5\r\n\r\n",
		"CONNECT db.example:443 HTTP/1.1\r\nHost: db.example:443\r\n\r\n", frame.Client},
	{"upgrade:TLS/1.0,path=/x",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c, tls/1.0\r\nConnection: Upgrade\r\n\r\n",
		"GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: TLS/1.0\r\n\r\n", frame.Client},
	{"upgrade:TLS/1.0,path=/x",
		"OPTIONS /x?y HTTP/1.1\r\nHost: a\r\nUpgrade: TLS/1.0\r\nConnection: keep-alive, upgrade\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: TLS/1.0\r\n\r\n", frame.Server},
	// curl 7.88 and microsocks 1.0.
	{"socks5:127.0.0.1:39081", hx("0500 05000001000000000000"), hx("050100 050100017f00000198a9"), frame.Client},
	{"socks5:localhost:39081", hx("0500 050000030468657374 00ff"), hx("050100 05010003096c6f63616c686f737498a9"),
		frame.Client},
	{"socks5:db.example:443", hx("05020001 050100030a64622e6578616d706c6501bb"), hx("0500 05000001000000000000"),
		frame.Server},
	// HAProxy 2.6.
	{"proxy", "PROXY TCP4 127.0.0.1 127.0.0.1 60576 42771\r\n", "", frame.Server},
	{"proxy", "PROXY UNKNOWN ffff::1 and so on\r\n", "", frame.Server},
	{"proxy", hx("0d0a0d0a000d0a515549540a21110024" +
		"7f0000017f000001c760a2e5030004fa11311605000e746573742d3132372e302e302e31"), "",
		frame.Server},
	{"proxy:v1,src=192.0.2.1:1,dst=192.0.2.2:65535", "", "PROXY TCP4 192.0.2.1 192.0.2.2 1 65535\r\n", frame.Client},
	{"proxy:crc", "", hx("0d0a0d0a000d0a515549540a20000007030004a9b87e8f"), frame.Client},
	{"proxy:src=192.0.2.1:1,dst=192.0.2.2:65535", "", hx("0d0a0d0a000d0a515549540a2111000cc0000201c00002020001ffff"),
		frame.Client},
	// nbdkit 1.32 and nbdinfo 1.14.
	{"nbd", nbdOpening + hx("0003 0003e889045565a9000000050000000100000000"),
		hx("00000003") + "IHAVEOPT" + hx("0000000500000000"), frame.Client},
	{"nbd", hx("00000003") + "IHAVEOPT" + hx("0000000300000000") + "IHAVEOPT" + hx("0000000500000000"),
		nbdOpening + hx("0003 0003e889045565a9000000038000000500000000 0003e889045565a9000000050000000100000000"),
		frame.Server},
}

// A dialogue goes as it should, whatever follows it, and a peer that ends it anywhere is reported as just that.
func TestDialogues(t *testing.T) {
	const after = "\x16\x03\x01\x00\x05hello"
	for _, d := range dialogues {
		p := parse(t, d.spec)
		heard, rest, err := play(t, p, d.role, d.said+after)
		if err != nil || rest != after || d.heard != "-" && heard != d.heard {
			t.Errorf("%s as %v: %v\nheard %q\nwant  %q\nleft  %q", d.spec, d.role, err, heard, d.heard, rest)
		}
		for n := range len(d.said) {
			_, _, err := play(t, p, d.role, d.said[:n])
			if n == 0 && !errors.Is(err, io.EOF) || n > 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s as %v, cut after %q: %v", d.spec, d.role, d.said[:n], err)
			}
		}
	}
}

// The random part of what servers say is such that a client can use it.
func TestRandomParts(t *testing.T) {
	seen := map[string]bool{}
	for range 2 {
		heard, _, err := play(t, preamble.MySQL{Version: "5"}, frame.Server,
			hx("20000001 00080000"+strings.Repeat("00", 28)))
		challenge := heard[4+3+4:][:8] + heard[4+3+4+8+19:][:12]
		if err != nil || seen[challenge] || strings.ContainsRune(challenge, 0) || !strings.HasSuffix(heard,
			"\x00mysql_native_password\x00") {
			t.Errorf("the greeting %q with the challenge %q (%v)", heard, challenge, err)
		}
		seen[challenge] = true
		heard, _, err = play(t, preamble.XMPP{}, frame.Server, dialogues[xmppServer(t)].said)
		if !strings.Contains(heard, " from='a&amp;b'>") || seen[heard] || err != nil {
			t.Errorf("the head %q (%v)", heard, err)
		}
		seen[heard] = true
	}
}

func xmppServer(t *testing.T) int {
	t.Helper()
	for i, d := range dialogues {
		if d.spec == "xmpp" && d.role == frame.Server {
			return i
		}
	}
	t.Fatal("no dialogue of an XMPP server")
	return 0
}
