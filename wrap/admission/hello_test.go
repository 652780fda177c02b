package admission

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"
)

// First ClientHellos as programs have sent them.
var (
	opensslHello = unhex("" +
		"16feff000000000000000000dd010000d100000000000000d1fefd837ea74eda065708cfaf973248510c7511744d2a23bb13" +
		"318f52f4faf6fbc92200000038c02cc030009fcca9cca8ccaac02bc02f009ec024c028006bc023c0270067c00ac0140039c0" +
		"09c0130033009d009c003d003c0035002f00ff0100006f0000000e000c000009612e6578616d706c65000b00040300010200" +
		"0a000c000a001d0017001e001900180023000000100007000504636f61700016000000170000000d002a0028040305030603" +
		"080708080809080a080b080408050806040105010601030303010302040205020602")
	gnutlsHello = unhex("" +
		"16feff000000000000000000ce010000c200000000000000c2fefd3229744e8e2beed76540ac47e4e099afc79e8fb8d5b1b9" +
		"d3764bef8c040c350a00000032c02ccca9c0adc00ac02bc0acc009c030cca8c014c02fc013009dc09d0035009cc09c002f00" +
		"9fccaac09f0039009ec09e003301000066000500050100000000000a00160014001700180019001d001e0100010101020103" +
		"0104000b00020100000d00220020040108090804040308070501080a0805050308080601080b080606030201020300160000" +
		"0017000000230000ff01000100001c00024000")
)

func unhex(s string) []byte {
	p, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return p
}

// record puts a handshake message, or a fragment of length bytes of it, into a record.
func record(typ byte, seq int, body []byte, length int) []byte {
	n := len(body)
	m := []byte{typ, 0, byte(length >> 8), byte(length), 0, byte(seq), 0, 0, 0, 0, byte(n >> 8), byte(n)}
	m = append(m, body...)
	r := []byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(m) >> 8), byte(len(m))}
	return append(r, m...)
}

// helloBody makes a ClientHello without extensions.
func helloBody(random, session, cookie []byte) []byte {
	b := append([]byte{0xfe, 0xfd}, random...)
	b = append(append(b, byte(len(session))), session...)
	b = append(append(b, byte(len(cookie))), cookie...)
	return append(b, 0, 2, 0xc0, 0x2b, 1, 0)
}

func hello(random byte) []byte {
	body := helloBody(bytes.Repeat([]byte{random}, 32), nil, nil)
	return record(msgClientHello, 0, body, len(body))
}

func TestParseHello(t *testing.T) {
	random, session, cookie := bytes.Repeat([]byte{7}, 32), []byte("session"), []byte("cookie of 20 bytes..")
	body := helloBody(random, session, cookie)
	for _, c := range []struct {
		name     string
		datagram []byte
		want     Hello
	}{
		{"with a cookie", record(1, 1, body, len(body)), Hello{random, session, cookie, 1, true}},
		{"first fragment", record(1, 1, body[:65], len(body)), Hello{random, session, cookie, 1, false}},
		{"a record behind", append(record(1, 1, body, len(body)), 20), Hello{random, session, cookie, 1, true}},
		{"openssl", opensslHello, Hello{opensslHello[27:59], nil, nil, 0, true}},
		{"gnutls-cli", gnutlsHello, Hello{gnutlsHello[27:59], nil, nil, 0, true}},
	} {
		got, ok := ParseHello(c.datagram)
		same := bytes.Equal(got.Random, c.want.Random) && bytes.Equal(got.SessionID, c.want.SessionID) &&
			bytes.Equal(got.Cookie, c.want.Cookie) && got.Seq == c.want.Seq && got.Whole == c.want.Whole
		if !ok || !same {
			t.Errorf("%s: %+v, %v", c.name, got, ok)
		}
	}
}

func TestParseHelloRefuses(t *testing.T) {
	body := helloBody(make([]byte, 32), nil, nil)
	change := func(at int, to byte) []byte {
		p := record(1, 0, body, len(body))
		p[at] = to
		return p
	}
	withSession := func(n int) []byte {
		b := helloBody(make([]byte, 32), make([]byte, n), nil)
		return record(1, 0, b, len(b))
	}
	cases := map[string][]byte{
		"nothing":                {},
		"application data":       change(0, 23),
		"TLS":                    change(1, 3),
		"a later epoch":          change(4, 1),
		"a longer record":        change(12, 255),
		"a ServerHello":          change(13, 2),
		"a later message":        change(18, 9),
		"a later fragment":       change(21, 1),
		"a longer fragment":      change(24, 255),
		"a megabyte":             change(14, 16),
		"DTLS 1.0":               change(26, 0xff),
		"a longer cookie":        change(60, 200),
		"an odd list of suites":  change(62, 1),
		"no suites":              change(62, 0),
		"compression demanded":   change(66, 1),
		"bytes behind":           record(1, 0, append(slices.Clone(body), 0), len(body)+1),
		"a long session ID":      withSession(33),
		"cut before the cookie":  record(1, 0, body[:30], len(body)),
		"an empty fragment":      record(1, 0, nil, len(body)),
		"a fragment beyond all":  record(1, 0, body, len(body)-1),
		"extensions cut short":   record(1, 0, append(slices.Clone(body), 0, 9, 1), len(body)+3),
		"a message of zero byte": record(1, 0, nil, 0),
	}
	for name, p := range cases {
		if h, ok := ParseHello(p); ok {
			t.Errorf("%s: %+v", name, h)
		}
	}
	for _, whole := range [][]byte{opensslHello, gnutlsHello} {
		for n := range whole {
			if _, ok := ParseHello(whole[:n]); ok {
				t.Errorf("the first %d bytes of %d pass", n, len(whole))
			}
		}
	}
}

func TestParseVerify(t *testing.T) {
	body := append([]byte{0xfe, 0xff, 6}, "cookie"...)
	if got, ok := ParseVerify(record(3, 0, body, len(body))); !ok || string(got) != "cookie" {
		t.Errorf("%q, %v", got, ok)
	}
	for _, bad := range [][]byte{record(3, 0, body[:8], 8), record(3, 0, body[:2], 2), opensslHello} {
		if got, ok := ParseVerify(bad); ok {
			t.Errorf("%x has the cookie %q", bad, got)
		}
	}
}

func TestIsServerHello(t *testing.T) {
	body := helloBody(make([]byte, 32), nil, nil)
	if !IsServerHello(record(2, 1, body, len(body))) || IsServerHello(opensslHello) || IsServerHello(nil) {
		t.Error("not told apart")
	}
}

func TestIsLaterFragment(t *testing.T) {
	body := helloBody(make([]byte, 32), nil, nil)
	later := record(1, 0, body[30:], len(body))
	later[21] = 30
	beyond := bytes.Clone(later)
	beyond[21] = 31
	first := record(1, 0, body[:36], len(body))
	if !IsLaterFragment(later) || IsLaterFragment(first) || IsLaterFragment(beyond) || IsLaterFragment(opensslHello) {
		t.Error("not told apart")
	}
	if _, ok := ParseHello(later); ok {
		t.Error("a later fragment is taken for a ClientHello")
	}
}

func TestClassify(t *testing.T) {
	want := []struct {
		upTo int
		p    Protocol
	}{{3, STUN}, {15, Unknown}, {19, ZRTP}, {63, DTLS}, {79, TURNChannel}, {127, QUIC}, {191, RTP}, {255, QUIC}}
	for b := range 256 {
		i := slices.IndexFunc(want, func(w struct {
			upTo int
			p    Protocol
		}) bool {
			return b <= w.upTo
		})
		if got := Classify([]byte{byte(b)}); got != want[i].p {
			t.Errorf("%d: %v, want %v", b, got, want[i].p)
		}
	}
	if Classify(nil) != Unknown {
		t.Error("an empty datagram is something")
	}
}

// FuzzParseHello parses arbitrary datagrams: what it says of one must lie in it.
func FuzzParseHello(f *testing.F) {
	f.Add(opensslHello)
	f.Add(gnutlsHello)
	f.Add(hello(1))
	f.Fuzz(func(t *testing.T, p []byte) {
		before := bytes.Clone(p)
		ParseVerify(p)
		IsServerHello(p)
		h, ok := ParseHello(p)
		if !bytes.Equal(p, before) {
			t.Fatal("the datagram was changed")
		}
		if !ok {
			return
		}
		inIt := bytes.Contains(p, h.Random) && bytes.Contains(p, h.SessionID) && bytes.Contains(p, h.Cookie)
		if len(h.Random) != 32 || len(h.SessionID) > 32 || !inIt || Classify(p) != DTLS {
			t.Fatalf("%+v of %x", h, p)
		}
	})
}
