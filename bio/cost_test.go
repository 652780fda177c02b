package bio_test

import (
	"crypto/tls"
	"errors"
	"io"
	"testing"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/enginetest"
	"github.com/encase-tls/encase/frame"
)

// TestAllocs: a record costs no allocation to seal and one, inside crypto/tls, to open.
func TestAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools at random")
	}
	eachVersion(t, func(t *testing.T, version uint16) {
		for _, size := range []int{1, 1400, bio.MaxPlaintext} {
			c, s := newPair(t, clientConfig(version), serverConfig(version))
			shake(t, c, s)
			p := make([]byte, size)
			wire := make([]byte, 0, size+c.Overhead())
			plain := make([]byte, 0, size+1)
			both := testing.AllocsPerRun(200, func() {
				wire, _, _ = c.Seal(wire[:0], p)
				plain, _, _ = s.Open(plain[:0], wire)
			})
			if both > 1 || len(plain) != size {
				t.Errorf("%d bytes: Seal and Open allocate %v times, want at most 1", size, both)
			}
			if n := testing.AllocsPerRun(200, func() { wire, _, _ = c.Seal(wire[:0], p) }); n > 0 {
				t.Errorf("%d bytes: Seal allocates %v times, want 0", size, n)
			}
		}
	})
}

// TestIdleMemory compares what an idle server connection holds with crypto/tls and the goroutine that waits for data,
// which is what it takes there. Besides that goroutine's stack it is memory of crypto/tls that counts: it keeps as much
// as the longest record needed that it has seen, which may have been the ClientHello.
func TestIdleMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector uses memory of its own")
	}
	const n = 500
	for _, tt := range []struct {
		group tls.CurveID
		size  int // of the record before the connection falls idle
		most  int // per cent
	}{
		{tls.X25519, 100, 40},
		{tls.X25519MLKEM768, 100, 50},
		{tls.X25519MLKEM768, bio.MaxPlaintext, 100},
	} {
		idle := newIdler(t, tt.group, tt.size)
		ours := idle.measure(t, n, idle.engine)
		theirs := idle.measure(t, n, idle.conn)
		t.Logf("idle after %v and a record of %d bytes: %d bytes, crypto/tls %d: %d %%",
			tt.group, tt.size, ours, theirs, ours*100/theirs)
		if ours*100 > theirs*tt.most {
			t.Errorf("idle after %v and a record of %d bytes: %d bytes, want at most %d %% of %d",
				tt.group, tt.size, ours, tt.most, theirs)
		}
	}
}

// An idler makes idle connections of a server, with a shared configuration.
type idler struct {
	clientTLS, serverTLS *tls.Config
	client, server       bio.Maker
	size                 int
	conns                []io.Closer
}

func newIdler(t testing.TB, group tls.CurveID, size int) *idler {
	i := &idler{
		clientTLS: clientConfig(tls.VersionTLS13), serverTLS: serverConfig(tls.VersionTLS13),
		size: size, conns: make([]io.Closer, 0, 1<<14),
	}
	i.clientTLS.CurvePreferences = []tls.CurveID{group}
	i.clientTLS.DynamicRecordSizingDisabled = true // one record, as with an engine
	var errs [2]error
	i.client, errs[0] = bio.TLS(&bio.Config{TLS: i.clientTLS})
	i.server, errs[1] = bio.TLS(&bio.Config{TLS: i.serverTLS})
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	return i
}

func (i *idler) measure(t testing.TB, n int, open func() (any, error)) int {
	t.Helper()
	size, err := enginetest.IdleBytes(n, open)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range i.conns {
		c.Close()
	}
	i.conns = i.conns[:0]
	return size
}

// engine returns a server's engine after the handshake and a record.
func (i *idler) engine() (any, error) {
	c, err := i.client(frame.Client)
	if err != nil {
		return nil, err
	}
	s, err := i.server(frame.Server)
	if err != nil {
		return nil, err
	}
	a, b := &peer{Engine: c}, &peer{Engine: s}
	pump(a, b)
	wire, _, err := c.Seal(nil, make([]byte, i.size))
	if b.give(wire); err == nil {
		err = b.err
	}
	return s, err
}

// conn is the same with crypto/tls alone: a goroutine waits in Read, with a small buffer and over a small connection.
func (i *idler) conn() (any, error) {
	a, b := bio.Pair(0)
	i.conns = append(i.conns, b)
	client, server := tls.Client(a, i.clientTLS), tls.Server(b, i.serverTLS)
	got := make(chan error)
	go func() {
		p := make([]byte, 512)
		for n := 0; n < i.size; {
			m, err := server.Read(p)
			if n += m; err != nil {
				got <- err
				return
			}
		}
		got <- nil
		server.Read(p)
	}()
	if _, err := client.Write(make([]byte, i.size)); err != nil {
		return b, err
	}
	return b, <-got
}
