package tds_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/encase-tls/encase/codecs/tds"
	"github.com/encase-tls/encase/frame"
)

// A script is a Peeker that reads what it was given, a byte at a time, and keeps what is written.
type script struct {
	*frame.Reader
	wrote bytes.Buffer
}

func (s *script) Write(p []byte) (int, error) { return s.wrote.Write(p) }

// exchange runs the Preamble of a machine on bytes from its peer. It returns what the machine wrote, and what it left.
func exchange(t *testing.T, m frame.Machine, role frame.Role, peer []byte) (wrote, rest []byte, err error) {
	t.Helper()
	s := &script{Reader: frame.NewReader(iotest.OneByteReader(bytes.NewReader(peer)), nil, 0)}
	err = m.(frame.Preamble).Exchange(context.Background(), s, role)
	rest, readErr := io.ReadAll(s.Reader)
	if readErr != nil {
		t.Fatal(readErr)
	}
	return s.wrote.Bytes(), rest, err
}

// says returns a PRELOGIN packet.
func says(t *testing.T, typ byte, pre tds.Prelogin) []byte {
	t.Helper()
	p, err := pre.Append([]byte{typ, 1, 0, 0, 0, 0, 1, 0})
	if err != nil {
		t.Fatal(err)
	}
	p[2], p[3] = byte(len(p)>>8), byte(len(p))
	return p
}

// What each end offers and answers, and what is agreed. A refused client is answered before.
func TestEncryption(t *testing.T) {
	const none = tds.Encryption(0xee)
	for _, c := range []struct {
		role      frame.Role
		arg       string
		peer, own tds.Encryption
		loginOnly bool
		why       string
	}{
		{frame.Client, "", tds.On, tds.On, false, ""},
		{frame.Client, "", tds.Required, tds.On, false, ""},
		{frame.Client, "", tds.Off, tds.On, false, "nothing but the login"},
		{frame.Client, "", tds.NotSupported, tds.On, false, "ENCRYPT_NOT_SUP"},
		{frame.Client, "", 4, tds.On, false, "another encryption"},
		{frame.Client, "login-only", tds.On, tds.Off, false, ""},
		{frame.Client, "login-only", tds.Required, tds.Off, false, ""},
		{frame.Client, "login-only", tds.Off, tds.Off, true, ""},
		{frame.Client, "login-only", tds.NotSupported, tds.Off, false, "ENCRYPT_NOT_SUP"},

		{frame.Server, "", tds.On, tds.On, false, ""},
		{frame.Server, "", tds.Required, tds.On, false, ""},
		{frame.Server, "", tds.Off, tds.Required, false, ""},
		{frame.Server, "", tds.On | 0x80, tds.On, false, ""}, // with a client certificate
		{frame.Server, "", tds.Off | 0x80, tds.Required, false, ""},
		{frame.Server, "", tds.NotSupported, tds.Required, false, "ENCRYPT_NOT_SUP"},
		{frame.Server, "", 4, none, false, "another encryption"},
		{frame.Server, "login-only", tds.On, tds.On, false, ""},
		{frame.Server, "login-only", tds.Required, tds.On, false, ""},
		{frame.Server, "login-only", tds.Off, tds.Off, true, ""},
		{frame.Server, "login-only", tds.NotSupported, tds.Required, false, "ENCRYPT_NOT_SUP"},
	} {
		m := newMachine(t, c.arg, c.role)
		types := map[frame.Role]byte{frame.Client: 0x12, frame.Server: 0x04}
		peer := says(t, types[c.role.Peer()], tds.Prelogin{Encryption: c.peer})
		wrote, rest, err := exchange(t, m, c.role, append(peer, 0x16))
		if !refusedFor(err, c.why) {
			t.Errorf("%v %q, peer says %v: %v, want an error with %q", c.role, c.arg, c.peer, err, c.why)
		}
		if errors.Is(err, tds.ErrNoEncryption) != (c.peer == tds.NotSupported) {
			t.Errorf("%v %q, peer says %v: the error is %v", c.role, c.arg, c.peer, err)
		}
		if own := encryptionIn(t, wrote, types[c.role]); own != c.own || string(rest) != "\x16" {
			t.Errorf("%v %q, peer says %v: says %v, leaves %x; want %v", c.role, c.arg, c.peer, own, rest, c.own)
		}
		a, ok := tds.Agreed(m)
		said := !ok || a.Received.Encryption == c.peer && a.Sent.Encryption == c.own
		if ok != (err == nil) || a.LoginOnly != c.loginOnly || !said {
			t.Errorf("%v %q, peer says %v: agreed on %+v, %t", c.role, c.arg, c.peer, a, ok)
		}
	}
}

// refusedFor reports whether err is the peer's fault and says why, or nil if why is empty.
func refusedFor(err error, why string) bool {
	if why == "" {
		return err == nil
	}
	return errors.Is(err, frame.ErrMalformed) && strings.Contains(err.Error(), why)
}

// encryptionIn returns what a packet says of encryption.
func encryptionIn(t *testing.T, packet []byte, typ byte) tds.Encryption {
	t.Helper()
	if len(packet) == 0 {
		return 0xee
	}
	pre, err := tds.ParsePrelogin(packet[8:])
	if err != nil || packet[0] != typ || packet[1] != 1 || int(packet[2])<<8|int(packet[3]) != len(packet) {
		t.Errorf("%x: %v", packet, err)
	}
	return pre.Encryption
}

// What a server answers to the other options.
func TestServerAnswers(t *testing.T) {
	nonce, trace := bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{8}, 36)
	for _, c := range []struct {
		name         string
		own          tds.Prelogin
		client, want tds.Prelogin
		why          string
	}{
		{name: "MARS if both can", own: tds.Prelogin{MARS: true}, client: tds.Prelogin{MARS: true},
			want: tds.Prelogin{MARS: true}},
		{name: "MARS of the server alone", own: tds.Prelogin{MARS: true}},
		{name: "MARS of the client alone", client: tds.Prelogin{MARS: true}},
		{name: "FedAuth to who knows it", own: tds.Prelogin{FedAuth: []byte{1}}, client: tds.Prelogin{FedAuth: []byte{1}},
			want: tds.Prelogin{FedAuth: []byte{1}}},
		{name: "FedAuth to others", own: tds.Prelogin{FedAuth: []byte{1}}},
		{name: "what is for logs", client: tds.Prelogin{TraceID: trace, Nonce: nonce, ThreadID: []byte{1, 2, 3, 4}}},
		{name: "any instance", client: tds.Prelogin{Instance: "X"}},
		{name: "its instance", own: tds.Prelogin{Instance: "Sales"}, client: tds.Prelogin{Instance: "SALES"}},
		{name: "no instance", own: tds.Prelogin{Instance: "Sales"}},
		{name: "another", own: tds.Prelogin{Instance: "Sales"}, client: tds.Prelogin{Instance: "X"},
			want: tds.Prelogin{Instance: tds.OtherInstance}, why: "not the instance"},
	} {
		mk, err := tds.New(tds.Options{Prelogin: c.own})
		if err != nil {
			t.Fatal(err)
		}
		m, _ := mk(frame.Server)
		c.client.Encryption, c.want.Encryption, c.want.Version = tds.On, tds.On, tds.DefaultVersion
		wrote, _, err := exchange(t, m, frame.Server, says(t, 0x12, c.client))
		if !refusedFor(err, c.why) {
			t.Errorf("%s: %v", c.name, err)
		}
		if want := says(t, 0x04, c.want); !bytes.Equal(wrote, want) {
			t.Errorf("%s: it answers %x, want %x", c.name, wrote, want)
		}
		got, ok := tds.Agreed(m)
		same := bytes.Equal(got.Received.Nonce, c.client.Nonce) && got.Received.Instance == c.client.Instance
		if ok && !same {
			t.Errorf("%s: it has understood %+v", c.name, got.Received)
		}
	}
}

// What a client makes of a server that is another instance.
func TestOtherInstance(t *testing.T) {
	m := newMachine(t, "instance=Sales", frame.Client)
	_, _, err := exchange(t, m, frame.Client, says(t, 0x04, tds.Prelogin{Encryption: tds.On, Instance: tds.OtherInstance}))
	if !errors.Is(err, frame.ErrMalformed) || !strings.Contains(err.Error(), `not the instance "Sales"`) {
		t.Error(err)
	}
}

// What is no PRELOGIN message: the error tells what it may be, from the first byte if that suffices.
func TestExchangeRefuses(t *testing.T) {
	for _, c := range []struct {
		role      frame.Role
		peer, why string
	}{
		{frame.Server, "16", "TDS 8.0"},
		{frame.Server, "02", "older than TDS 7.1"},
		{frame.Server, "10", "older than TDS 7.1"},
		{frame.Server, "47", "does not speak TDS"}, // GET
		{frame.Server, "04", "does not speak TDS"},
		{frame.Client, "12", "does not speak TDS"},
		{frame.Client, "16", "TDS 8.0"},
		{frame.Server, "12 01 0007 0000 00 00", "less than the header"},
		{frame.Server, "12 01 1001 0000 00 00", "more than 4088"},
		{frame.Server, "12 00 1000 0000 00 00" + strings.Repeat("00", 4088) + "12 01 0009 0000 00 00", "more than 4088"},
		{frame.Server, "12 00 0008 0000 00 00", "without data"},
		{frame.Server, "12 01 0008 0000 00 00", "VERSION"},
		{frame.Client, "04 01 000c 0000 00 00 aa 0100 00", "VERSION"},
		{frame.Server, "12 01 0013 0000 00 00 00 0006 0006 ff 1000000000", "outside"},
	} {
		_, _, err := exchange(t, newMachine(t, "", c.role), c.role, unhex(t, c.peer))
		if !refusedFor(err, c.why) {
			t.Errorf("%v, %.40s: %v, want an error with %q", c.role, c.peer, err, c.why)
		}
	}
	_, _, err := exchange(t, newMachine(t, "", frame.Server), frame.Server, unhex(t, "12 01 0014 0000 00 00 00"))
	if !errors.Is(err, io.EOF) || errors.Is(err, frame.ErrMalformed) {
		t.Errorf("a message that ends too soon: %v", err)
	}
}

// A message in several packets, an empty last one among them.
func TestPreloginInPackets(t *testing.T) {
	want := says(t, 0x12, tds.Prelogin{Encryption: tds.On, Instance: "Sales"})[8:]
	var peer []byte
	for _, b := range want {
		peer = append(peer, 0x12, 0, 0, 9, 0, 0, 0, 0, b)
	}
	m := newMachine(t, "", frame.Server)
	_, rest, err := exchange(t, m, frame.Server, append(peer, 0x12, 1, 0, 8, 0, 0, 0, 0, 0x12))
	if a, _ := tds.Agreed(m); err != nil || a.Received.Instance != "Sales" || len(rest) != 1 {
		t.Errorf("%+v, %v, %d bytes are left", a.Received, err, len(rest))
	}
}

func TestAgreedOfOthers(t *testing.T) {
	raw, _ := frame.Raw(frame.Client)
	exchanged, early := newMachine(t, "exchanged", frame.Client), newMachine(t, "", frame.Client)
	for _, m := range []frame.Machine{nil, raw, exchanged, early} {
		if _, ok := tds.Agreed(m); ok {
			t.Errorf("%T has agreed on something", m)
		}
	}
}
