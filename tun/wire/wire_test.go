package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/tun/packet"
)

func TestPacketHeader(t *testing.T) {
	for _, c := range []struct {
		g    packet.GSO
		n    int
		want string
	}{
		{packet.GSO{}, 40, "\x10\x00\x00\x00\x00\x28"},
		{packet.GSO{Partial: true}, 65535, "\x11\x00\x00\x00\xff\xff"},
		{packet.GSO{Kind: packet.TCP4, Partial: true, ECN: true, Size: 1348}, 0x1234, "\x23\x00\x05\x44\x12\x34"},
		{packet.GSO{Kind: packet.UDP6, Partial: true, Size: 1}, 1, "\x51\x00\x00\x01\x00\x01"},
	} {
		var h [HeaderLen]byte
		PutPacket(h[:], c.n, c.g)
		f, err := ParseHeader(h[:])
		if string(h[:]) != c.want || err != nil || f != (Frame{GSO: c.g, Length: c.n}) {
			t.Errorf("%+v: %q, %+v, %v", c.g, h, f, err)
		}
	}
	for _, bad := range []string{"\x60\x00\x00\x00\x00\x01", "\x14\x00\x00\x00\x00\x01", "\x10\x01\x00\x00\x00\x01",
		"\x01\x01\x00\x00\x00\x01", "\x00\x01\x00\x01\x00\x01", "\xf0\x00\x00\x00\x00\x01"} {
		if f, err := ParseHeader([]byte(bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %+v, %v", bad, f, err)
		}
	}
	b := AppendControl([]byte("x"), TypeBye, []byte("\x01why"))
	if f, err := ParseHeader(b[1:]); err != nil || f != (Frame{Control: true, Type: TypeBye, Length: 4}) ||
		string(b) != "x\x00\x08\x00\x00\x00\x04\x01why" {
		t.Errorf("%q: %+v, %v", b, f, err)
	}
}

func TestDatagram(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Frame
		body string
		ok   bool
	}{
		{"\x45rest", Frame{Length: 5}, "\x45rest", true},
		{"\x60rest", Frame{Length: 5}, "\x60rest", true},
		{"\xc5rest", Frame{Length: 5, GSO: packet.GSO{Partial: true}}, "\x45rest", true},
		{"\xe0", Frame{Length: 1, GSO: packet.GSO{Partial: true}}, "\x60", true},
		{"\x08\x01", Frame{Control: true, Type: TypeBye, Length: 1}, "\x01", true},
		{"\x3f", Frame{Control: true, Type: 63}, "", true},
		{"", Frame{}, "", false},
		{"\x50", Frame{}, "", false},
		{"\x80", Frame{}, "", false},
		{"\xf5", Frame{}, "", false},
	} {
		f, body, err := ParseDatagram([]byte(c.in))
		if (err == nil) != c.ok || c.ok && (f != c.want || string(body) != c.body) || !c.ok && !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %+v, %q, %v", c.in, f, body, err)
		}
	}
}

// goodConfig is a Config that is accepted.
func goodConfig() Config {
	return Config{Version: 1, Session: "s1", Token: "secret", MTU: 1400,
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.66.0.2/24"), netip.MustParsePrefix("fd66::2/64")},
		Routes:    []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, DNS: []netip.Addr{netip.MustParseAddr("10.66.0.1")},
		Keepalive: Seconds(25 * time.Second), Dead: Seconds(60 * time.Second), Rekey: Seconds(time.Hour), Features: []string{"tcp"},
	}
}

func TestMessages(t *testing.T) {
	hello := Hello{Version: 1, Features: []string{FeatureTCP}, Name: "laptop", MTU: 9000, Resume: "t"}
	if got, err := ParseHello(AppendJSON(nil, hello)); err != nil || !reflect.DeepEqual(got, hello) {
		t.Errorf("%+v, %v", got, err)
	}
	cfg := goodConfig()
	if got, err := ParseConfig(AppendJSON(nil, cfg)); err != nil || !reflect.DeepEqual(got, cfg) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := ParseAttach([]byte(`{"version":1,"token":"t","later":[1]}`)); err != nil || got.Token != "t" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := ParsePing(AppendPing(nil, Ping{1, 2, 1 << 31})); err != nil || got != (Ping{1, 2, 1 << 31}) {
		t.Errorf("%+v, %v", got, err)
	}
	probe := Probe{7, 1300, 1400}
	if b := AppendProbe(nil, probe); len(b) != 1399 {
		t.Errorf("a probe of %d bytes", len(b))
	} else if got, err := ParseProbe(b); err != nil || got != probe {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := ParseProbe(AppendProbe(nil, Probe{ID: 7})); err != nil || got != (Probe{7, 0, LeastProbe}) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := ParseProbed(AppendProbed(nil, Probed{7, 1400})); err != nil || got != (Probed{7, 1400}) {
		t.Errorf("%+v, %v", got, err)
	}
	bye, err := ParseBye(AppendBye(nil, Bye{ReasonFull, "try\x1b[2J later \xff"}))
	if err != nil || bye != (Bye{ReasonFull, "try?[2J later ?"}) ||
		bye.Error() != "tunnel: the server is full: try?[2J later ?" {
		t.Errorf("%q, %v", bye.Error(), err)
	}
}

// What an authenticated peer can do wrong in a message is an error that names it.
func TestMalformed(t *testing.T) {
	change := func(f func(*Config)) []byte {
		c := goodConfig()
		f(&c)
		return AppendJSON(nil, c)
	}
	config := func(p []byte) error { _, err := ParseConfig(p); return err }
	hello := func(p []byte) error { _, err := ParseHello(p); return err }
	for _, c := range []struct {
		parse func([]byte) error
		p     []byte
		want  string
	}{
		{config, nil, "EOF"},
		{config, []byte(`{}{}`), "something behind"},
		{config, bytes.Repeat([]byte(" "), MaxBody+1), "16385 bytes"},
		{config, change(func(c *Config) { c.Addresses = nil }), "0 addresses"},
		{config, change(func(c *Config) { c.Addresses = []netip.Prefix{netip.MustParsePrefix("224.0.0.1/24")} }), "224.0.0.1"},
		{config, change(func(c *Config) { c.Routes = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8")} }), "route 10.0.0.1/8"},
		{config, change(func(c *Config) { c.Routes = make([]netip.Prefix, 513) }), "route"},
		{config, change(func(c *Config) { c.MTU = 1279 }), "MTU 1279"},
		{config, change(func(c *Config) { c.Token = "" }), "no session"},
		{config, change(func(c *Config) { c.Domains = []string{strings.Repeat("a", 256)} }), "too long"},
		{config, change(func(c *Config) { c.Dead = 1 }), "dead"},
		{config, change(func(c *Config) { c.DNS = []netip.Addr{netip.MustParseAddr("fe80::1%eth0")} }), "DNS server"},
		{config, []byte(`{"keepalive":1e99}`), "seconds"},
		{hello, []byte(`{"version":0}`), "version 0"},
		{hello, []byte(`{"version":1,"mtu":-1}`), "MTU -1"},
		{hello, []byte(`{"version":1,"name":"` + strings.Repeat("x", 256) + `"}`), "too long"},
	} {
		err := c.parse(c.p)
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: %v; want %q in it", c.p, err, c.want)
		}
	}
	for name, err := range map[string]error{
		"ping": second(ParsePing(nil)), "probe": second(ParseProbe([]byte("abc"))), "probed": second(ParseProbed(nil)),
		"bye": second(ParseBye(nil)), "long bye": second(ParseBye(make([]byte, 202))), "attach": second(ParseAttach([]byte("{}"))),
	} {
		if !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// Whatever comes is refused or is something that can be sent again.
func FuzzControl(f *testing.F) {
	f.Add(byte(TypeConfig), AppendJSON(nil, goodConfig()))
	f.Add(byte(TypeHello), []byte(`{"version":1,"features":["tcp"]}`))
	f.Add(byte(TypePing), AppendPing(nil, Ping{1, 2, 3}))
	f.Fuzz(func(t *testing.T, kind byte, p []byte) {
		var message any
		var err error
		switch Type(kind) {
		case TypeHello:
			message, err = ParseHello(p)
		case TypeConfig:
			message, err = ParseConfig(p)
		case TypeAttach:
			message, err = ParseAttach(p)
		case TypePing:
			_, err = ParsePing(p)
		case TypeProbe:
			_, err = ParseProbe(p)
		case TypeProbed:
			_, err = ParseProbed(p)
		case TypeBye:
			_, err = ParseBye(p)
		default:
			_, _, err = ParseDatagram(p)
		}
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("untyped error: %v", err)
		}
		if err == nil && message != nil {
			if _, err := json.Marshal(message); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte("\x23\x00\x05\x44\x12\x34"))
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) < HeaderLen {
			return
		}
		frame, err := ParseHeader(p)
		if err != nil || frame.Control {
			return
		}
		var h [HeaderLen]byte
		PutPacket(h[:], frame.Length, frame.GSO)
		if !bytes.Equal(h[:], p[:HeaderLen]) {
			t.Fatalf("% x becomes % x", p[:HeaderLen], h)
		}
	})
}
