package openvpn_test

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/encase-tls/encase/codecs/openvpn"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap/needtest"
)

// When OpenVPN made testdata/tls-crypt-v2-client.key. What it was given for tls-crypt-v2-named.key is "serial 4711".
var clientKeyMade = time.Unix(1795234134, 0)

// joinV2 returns a network with a client that has a key in testdata, and a server with options besides its own.
func joinV2(t *testing.T, clientKey string, o openvpn.Options) *network {
	t.Helper()
	_, server := keysV2(t)
	var err error
	if o.ServerKey, err = openvpn.ParseServerKey([]byte(server)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("testdata", clientKey))
	if err != nil {
		t.Fatal(err)
	}
	client, err := openvpn.ParseClientKey([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	ends := [2]openvpn.Options{frame.Client: {ClientKey: client}, frame.Server: o}
	var makers [2]frame.Maker
	for role := range ends {
		if makers[role], err = openvpn.New(ends[role]); err != nil {
			t.Fatal(err)
		}
	}
	return newNetwork(t, byRole(makers[frame.Client], makers[frame.Server]))
}

// A key is taken until it is too old. One that is gets no answer at all, nor does one that does not tell its age.
func TestMaxAge(t *testing.T) {
	const limit = 30 * 24 * time.Hour
	for _, c := range []struct {
		key    string
		age    time.Duration
		limit  time.Duration
		refuse bool
	}{
		{"client", 0, limit, false},
		{"client", limit, limit, false},
		{"client", limit + time.Second, limit, true},
		{"client", 100 * limit, 0, false},
		{"client", -time.Hour, limit, false}, // made by a clock that goes ahead
		{"named", 0, limit, true},
		{"named", 0, 0, false},
	} {
		var counters openvpn.Counters
		n := joinV2(t, "tls-crypt-v2-"+c.key+".key", openvpn.Options{MaxAge: c.limit, Counters: &counters})
		n.now = clientKeyMade.Add(c.age)
		n.start(t)
		if err := n.deliver(); err != nil {
			t.Fatal(err)
		}
		if answered := len(n.underway) > 0; answered == c.refuse || (counters.TooOld.Load() == 1) != c.refuse {
			t.Errorf("key %s, %v old of %v: answered %t, %d are too old", c.key, c.age, c.limit, answered,
				counters.TooOld.Load())
		}
		if n.refused != int(counters.TooOld.Load()) {
			t.Errorf("%d packets are refused, %d are too old", n.refused, counters.TooOld.Load())
		}
	}
}

// A server that nobody has told the time takes no key for young.
func TestMaxAgeWithoutTime(t *testing.T) {
	n := joinV2(t, "tls-crypt-v2-client.key", openvpn.Options{MaxAge: time.Hour})
	client, server := n.ends[frame.Client], n.ends[frame.Server]
	if err := n.do(client, client.Start); err != nil {
		t.Fatal(err)
	}
	_, err := server.Recv(nil, frame.NewBuf(0, n.underway[0].p, 0))
	if !errors.Is(err, frame.ErrMalformed) {
		t.Errorf("the error is %v", err)
	}
}

// Verify is asked once, about what OpenVPN has put beside the key, when the client has proved where it is, and before
// anything reaches TLS. Who is refused hears nothing any more.
func TestVerify(t *testing.T) {
	unwelcome := errors.New("left the company")
	for _, refusal := range []error{nil, unwelcome} {
		var counters openvpn.Counters
		var asked []openvpn.Metadata
		n := joinV2(t, "tls-crypt-v2-named.key", openvpn.Options{Counters: &counters,
			Verify: func(m openvpn.Metadata) error {
				asked = append(asked, openvpn.Metadata{Type: m.Type, Data: []byte(string(m.Data))})
				return refusal
			}})
		client, server := n.ends[frame.Client], n.ends[frame.Server]
		n.start(t)
		for range 3 { // the reset, and the same again, as anybody could send it who has seen it
			n.carry(server, n.underway[0].p)
			if err := n.deliver(); err != nil || len(asked) > 0 {
				t.Fatalf("asked %d times about a client that has proved nothing (%v)", len(asked), err)
			}
		}
		n.settle(t)
		if err := n.send(client, []byte("hello"), true); err != nil {
			t.Fatal(err)
		}
		n.settle(t)
		if len(asked) != 1 || asked[0].Type != openvpn.User || string(asked[0].Data) != "serial 4711" {
			t.Errorf("asked about %q", asked)
		}
		if refusal == nil {
			if string(server.got) != "hello" || counters.Refused.Load() != 0 {
				t.Errorf("a client that is welcome: %q arrives", server.got)
			}
			continue
		}
		if !errors.Is(server.done, openvpn.ErrKeyRefused) || !errors.Is(server.done, unwelcome) {
			t.Errorf("the server ends with %v", server.done)
		}
		if len(server.got) > 0 || counters.Refused.Load() != 1 {
			t.Errorf("%q reaches TLS, %d clients are refused", server.got, counters.Refused.Load())
		}
		if _, ok := server.Machine.(frame.Timed).Deadline(); ok {
			t.Error("the server has more to say")
		}
	}
}

// A key without metadata, or with a timestamp that is none, has no time at which it was made.
func TestCreated(t *testing.T) {
	stamp := func(seconds uint64) []byte { return binary.BigEndian.AppendUint64(nil, seconds) }
	for _, c := range []struct {
		m  openvpn.Metadata
		at int64 // 0: not known
	}{
		{openvpn.Metadata{Type: openvpn.Timestamp, Data: stamp(1e9)}, 1e9},
		{openvpn.Metadata{Type: openvpn.Timestamp, Data: append(stamp(1e9), "more"...)}, 1e9},
		{openvpn.Metadata{Type: openvpn.Timestamp, Data: stamp(1e9)[:7]}, 0},
		{openvpn.Metadata{Type: openvpn.Timestamp, Data: stamp(1 << 63)}, 0},
		{openvpn.Metadata{Type: openvpn.Timestamp}, 0},
		{openvpn.Metadata{Type: openvpn.User, Data: stamp(1e9)}, 0},
		{openvpn.Metadata{Type: 2, Data: stamp(1e9)}, 0},
		{openvpn.Metadata{}, 0},
	} {
		if at, ok := c.m.Created(); ok != (c.at != 0) || ok && at.Unix() != c.at {
			t.Errorf("%+v: %v, %t", c.m, at, ok)
		}
	}
}

// Keys that OpenVPN makes now say so, and pass a server that wants them young.
func TestMaxAgeOfNewKey(t *testing.T) {
	program := needtest.Program(t, "openvpn", "openvpn")
	_, serverText := keysV2(t)
	serverFile := writeFile(t, "server.key", serverText)
	clientFile := filepath.Join(filepath.Dir(serverFile), "client.key")
	out, err := exec.Command(program, "--tls-crypt-v2", serverFile, "--genkey", "tls-crypt-v2-client", clientFile).
		CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	mk := byRole(parse(t, "tls-crypt-v2="+clientFile), parse(t, "max-age=1,tls-crypt-v2="+serverFile))
	for days, refused := range []int{0, 1} {
		n := newNetwork(t, mk)
		n.now = time.Now().Add(time.Duration(days)*24*time.Hour + time.Minute)
		n.start(t)
		if err := n.deliver(); err != nil || n.refused != refused {
			t.Errorf("after %d days: %d packets are refused (%v), want %d", days, n.refused, err, refused)
		}
	}
}
