package preamble

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/encase-tls/encase/frame"
)

// MySQL is the greeting of a MySQL or MariaDB server and the client's SSLRequest. Behind it the client logs in: its
// packet has the number 2, and needs what stands in the greeting.
//
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html
type MySQL struct {
	// Capabilities are what a client asks for, and must ask for again when it logs in. 0 means what nearly every client
	// asks for; the bits for TLS and for protocol 4.1 are added.
	Capabilities uint32
	// Version is what a server calls itself; empty: "8.0.0-encase".
	Version string
	// Greeting, if not nil, is shown the greeting, that of the server to a client and its own to a server: it holds the
	// challenge for the password. packet is without its header and valid during the call. An error ends the dialogue.
	Greeting func(ctx context.Context, packet []byte) error
}

func init() {
	Register("mysql", Info{
		Summary: "SSLRequest of MySQL and MariaDB, behind the server's greeting",
		Syntax:  "[version=TEXT]   what a server calls itself (default: 8.0.0-encase)",
		Example: "mysql",
		Tested:  "MariaDB 10.11 server and client, openssl s_client 3.0",
	}, func(arg string) (frame.Preamble, error) {
		var m MySQL
		if err := parseOptions("mysql", arg, option{"version", "TEXT", into(&m.Version)}); err != nil {
			return nil, err
		}
		return m, m.check()
	})
}

// https://dev.mysql.com/doc/dev/mysql-server/latest/group__group__cs__capabilities__flags.html
const (
	mysqlLongPassword = 1 << 0
	mysqlLongFlag     = 1 << 2
	mysqlWithDB       = 1 << 3
	mysqlProtocol41   = 1 << 9
	mysqlSSL          = 1 << 11
	mysqlTransactions = 1 << 13
	mysqlSecure       = 1 << 15
	mysqlPluginAuth   = 1 << 19

	mysqlUsual = mysqlLongPassword | mysqlLongFlag | mysqlTransactions | mysqlSecure | mysqlPluginAuth

	mysqlProtocol   = 10
	mysqlError      = 0xff
	mysqlCharset    = 33      // utf8, general
	mysqlAutocommit = 2       // the only status that a server tells
	mysqlMaxPacket  = 1 << 24 // what a client is ready to receive
	mysqlSSLRequest = 32      // bytes
	mysqlMaxHello   = 4 << 10 // bytes of a greeting
	mysqlSecure3159 = 3159    // ER_SECURE_TRANSPORT_REQUIRED
	mysqlChallenge  = 20
)

func (m MySQL) check() error {
	if m.Version != "" && !isWord(m.Version) {
		return fmt.Errorf("mysql: bad version %q (allowed: printable ASCII without spaces)", m.Version)
	}
	return nil
}

// Exchange implements [frame.Preamble].
func (m MySQL) Exchange(ctx context.Context, p frame.Peeker, role frame.Role) error {
	if err := m.check(); err != nil {
		return err
	}
	tell := func(greeting []byte) error {
		if m.Greeting == nil {
			return nil
		}
		if err := m.Greeting(ctx, greeting); err != nil {
			return fmt.Errorf("mysql: the greeting is refused: %w", err)
		}
		return nil
	}
	return hold("mysql", p, role,
		func(t *talk) error { return m.client(t, tell) },
		func(t *talk) error { return m.server(t, tell) })
}

func (m MySQL) client(t *talk, tell func([]byte) error) error {
	greeting, err := mysqlGreeting(t)
	if err != nil {
		return err
	}
	if err := tell(greeting); err != nil {
		return err
	}
	request := binary.LittleEndian.AppendUint32(nil, cmp.Or(m.Capabilities, mysqlUsual)|mysqlProtocol41|mysqlSSL)
	request = binary.LittleEndian.AppendUint32(request, mysqlMaxPacket)
	request = append(request, mysqlCharset)
	request = append(request, make([]byte, mysqlSSLRequest-len(request))...)
	return t.send("SSLRequest", mysqlPacket(1, request))
}

// mysqlPacket returns a packet with its header: a length of three bytes and a number.
func mysqlPacket(number byte, payload []byte) []byte {
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(payload))|uint32(number)<<24)
	return append(head, payload...)
}

// mysqlHead reads the header of a packet.
func mysqlHead(t *talk, want string) (length int, number byte, err error) {
	head, err := t.take(4, want)
	if err != nil {
		return 0, 0, err
	}
	n := binary.LittleEndian.Uint32(head)
	return int(n & 0xffffff), byte(n >> 24), nil
}

// mysqlGreeting reads the server's greeting and checks that it offers TLS.
func mysqlGreeting(t *talk) ([]byte, error) {
	const want = "a greeting of protocol 10"
	length, number, err := mysqlHead(t, want)
	switch {
	case err != nil:
		return nil, err
	case number != 0 || length < 1 || length > mysqlMaxHello:
		got := fmt.Appendf(nil, "a packet of %d bytes with the number %d", length, number)
		return nil, t.wrong(want, got, "")
	}
	greeting, err := t.take(length, want)
	if err != nil {
		return nil, err
	}
	if greeting[0] == mysqlError {
		return nil, t.refused(want, "the error "+mysqlErrorText(greeting), notServing)
	}
	capabilities, ok := mysqlCapabilities(greeting)
	switch {
	case !ok:
		return nil, t.wrong(want, greeting, "")
	case capabilities&mysqlSSL == 0:
		return nil, t.refused("a greeting that offers TLS", "one without it", "set ssl-cert and ssl-key there")
	}
	return greeting, nil
}

// mysqlErrorText returns the number and the message of an error packet.
func mysqlErrorText(packet []byte) string {
	if len(packet) < 3 {
		return show(packet)
	}
	return fmt.Sprintf("%d %s", binary.LittleEndian.Uint16(packet[1:]), show(packet[3:]))
}

// mysqlCapabilities returns the lower 16 capabilities that a greeting names: behind the protocol, the version and its
// NUL, the connection's number (4), the first part of the challenge (8), and a NUL.
func mysqlCapabilities(greeting []byte) (low uint16, ok bool) {
	const between = 4 + 8 + 1
	_, rest, found := bytes.Cut(greeting, []byte{0})
	if !found || greeting[0] != mysqlProtocol || len(rest) < between+2 {
		return 0, false
	}
	return binary.LittleEndian.Uint16(rest[between:]), true
}

func (m MySQL) server(t *talk, tell func([]byte) error) error {
	greeting := m.greeting()
	if err := tell(greeting); err != nil {
		return err
	}
	if err := t.send("the greeting", mysqlPacket(0, greeting)); err != nil {
		return err
	}
	const want = "SSLRequest"
	length, number, err := mysqlHead(t, want)
	switch {
	case err != nil:
		return err
	case number != 1 || length < mysqlSSLRequest:
		got := fmt.Appendf(nil, "a packet of %d bytes with the number %d", length, number)
		return t.wrong(want, got, "")
	case length > mysqlSSLRequest:
		return mysqlTurnAway(t, want)
	}
	request, err := t.take(mysqlSSLRequest, want)
	if err != nil {
		return err
	}
	if capabilities := binary.LittleEndian.Uint32(request); capabilities&mysqlSSL == 0 {
		return t.wrong(want, request, "the bit for TLS is not set")
	}
	return nil
}

// greeting returns a greeting with a fresh challenge.
func (m MySQL) greeting() []byte {
	const capabilities = mysqlUsual | mysqlWithDB | mysqlProtocol41 | mysqlSSL
	challenge := []byte(rand.Text())[:mysqlChallenge] // text: a NUL would end it
	b := append([]byte{mysqlProtocol}, cmp.Or(m.Version, "8.0.0-encase")...)
	b = append(b, 0)
	b = binary.LittleEndian.AppendUint32(b, 1) // the connection's number
	b = append(b, challenge[:8]...)
	b = append(b, 0, capabilities&0xff, capabilities>>8&0xff, mysqlCharset, mysqlAutocommit, 0)
	b = append(b, capabilities>>16&0xff, capabilities>>24&0xff, mysqlChallenge+1)
	b = append(b, make([]byte, 10)...)
	b = append(b, challenge[8:]...)
	return append(b, "\x00mysql_native_password\x00"...)
}

// mysqlTurnAway tells a client that logs in in clear what to do. What it says, a name and a password, is not read.
func mysqlTurnAway(t *talk, want string) error {
	packet := binary.LittleEndian.AppendUint16([]byte{mysqlError}, mysqlSecure3159)
	packet = append(packet, "#HY000this server accepts TLS only: use --ssl-mode=REQUIRED or --ssl"...)
	if err := t.send("the error", mysqlPacket(2, packet)); err != nil {
		return err
	}
	return t.refused(want, "a login in clear", "use --ssl-mode=REQUIRED (MySQL) or --ssl (MariaDB) there")
}
