package tun

import (
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/encase-tls/encase/tun/device"
	"github.com/encase-tls/encase/tun/link"
	"github.com/encase-tls/encase/tun/packet"
	"github.com/encase-tls/encase/tun/tuntest"
	"github.com/encase-tls/encase/tun/wire"
)

// A lab is a server without TLS and without a network: its device is a socket, at whose other end all that it writes is
// looked at.
type lab struct {
	s       *Server
	far     *device.Device
	mu      sync.Mutex
	allowed []netip.Addr
	seen    uint64
	wrong   string
}

func newLab(t testing.TB, allowed ...netip.Addr) *lab {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	devices := make([]*device.Device, 2)
	for i, fd := range fds {
		for _, option := range []int{unix.SO_SNDBUF, unix.SO_RCVBUF} {
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, 1<<20)
		}
		all := device.Offloads{TCP: true, ECN: true, UDP: true}
		if devices[i], err = device.FromFile(os.NewFile(uintptr(fd), "lab"), "lab", all); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { devices[i].Close() })
	}
	l := &lab{far: devices[1], allowed: allowed}
	l.s, err = newServer(ServerConfig{
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.66.0.1/24"), netip.MustParsePrefix("fd66::1/64")},
		Pools:     []netip.Prefix{netip.MustParsePrefix("10.66.0.0/24"), netip.MustParsePrefix("fd66::/64")},
		Log:       slog.New(slog.DiscardHandler), ClientToClient: Direct,
	})
	if err != nil {
		t.Fatal(err)
	}
	l.s.use(&opened{device: devices[0], writers: link.NewWriters(devices[0])})
	go l.watch()
	return l
}

// watch looks at what the server writes to its device.
func (l *lab) watch() {
	buf := make([]byte, device.Headroom+device.Room)
	for {
		p, err := l.far.Queues()[0].Read(buf, device.Headroom)
		if err != nil {
			return
		}
		l.mu.Lock()
		if from := packet.Source(p.Data); !slices.Contains(l.allowed, from) {
			l.wrong = fmt.Sprintf("a packet from %v: % x", from, p.Data[:min(len(p.Data), 60)])
		}
		l.seen++
		l.mu.Unlock()
	}
}

// settle waits until all that was written has been looked at.
func (l *lab) settle(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(tuntest.Patience); ; time.Sleep(100 * time.Microsecond) {
		l.mu.Lock()
		seen, wrong := l.seen+l.far.Stats().ReadErrors, l.wrong
		l.mu.Unlock()
		switch {
		case wrong != "":
			t.Fatal(wrong)
		case seen >= l.s.dev.device.Stats().Written:
			if n := l.far.Stats().ReadErrors; n > 0 {
				t.Fatalf("%d packets with a header that makes no sense", n)
			}
			return
		case time.Now().After(end):
			t.Fatalf("%d packets of %d have arrived", seen, l.s.dev.device.Stats().Written)
		}
	}
}

// stream plays the bytes of a client to the server, from the first one of the connection on.
func (l *lab) stream(t *testing.T, data []byte) {
	near, far := net.Pipe()
	go func() {
		near.Write(data)
		near.Close()
	}()
	go io.Copy(io.Discard, near)
	if err := l.s.admit(far, Identity{Name: "fuzz"}, "", time.Now().Add(tuntest.Patience)); err != nil {
		far.Close()
	}
	l.s.running.Wait()
}

// datagrams plays messages of a client, each behind its length in two bytes, over a connection that is open.
func (l *lab) datagrams(t *testing.T, data []byte) {
	client, err := l.s.newClient(Identity{Name: "fuzz"}, wire.Hello{Version: wire.Version, Features: []string{
		wire.FeatureTCP, wire.FeaturePartial, wire.FeatureUpdate}})
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	defer near.Close()
	c := client.newConnection(far, "")
	c.carrier = Datagrams
	c.link = link.NewDatagrams(script{data}, c.queue, client.writer, client.far, c.linkConfig())
	l.s.serve(client, c)
}

// A script is a link.MessageConn whose peer has said all that it will say.
type script struct{ data []byte }

func (s script) Serve(handle func([][]byte) error) error {
	for len(s.data) >= 2 {
		n := min(int(binary.BigEndian.Uint16(s.data)), len(s.data)-2, link.LongestMessage)
		m := slices.Clone(s.data[2 : 2+n])
		if s.data = s.data[2+n:]; n == 0 {
			continue
		}
		if err := handle([][]byte{m}); err != nil {
			return err
		}
	}
	return io.EOF
}

func (s script) WriteBatch(messages [][]byte) (int, error) { return len(messages), nil }
func (s script) Ready() bool                               { return true }
func (s script) MTU() int                                  { return 1400 }
func (s script) Probe([]byte) error                        { return nil }

// Whatever an authenticated client sends, over a stream or in datagrams, before it has a session or with one: the
// server ends it or goes on, in time; no packet reaches the device that is not from the client's own addresses, and none whose
// header makes no sense; and nothing of the client is left behind.
func FuzzServerConnection(f *testing.F) {
	var own = [4]byte{10, 66, 0, 2}
	hello := wire.AppendControl(nil, wire.TypeHello, []byte(`{"version":1,"features":["tcp","update"]}`))
	framed := func(g packet.GSO, p []byte) []byte {
		h := make([]byte, wire.HeaderLen)
		wire.PutPacket(h, len(p), g)
		return append(h, p...)
	}
	add := func(parts ...[]byte) { f.Add(false, slices.Concat(parts...)) }
	add(hello, framed(packet.GSO{}, echoRequest(own, [4]byte{10, 66, 0, 1}, 30)))
	add(hello, framed(packet.GSO{}, echoRequest([4]byte{10, 66, 0, 3}, own, 30)))
	add(hello, framed(packet.GSO{Kind: packet.TCP4, Partial: true, Size: 100}, echoRequest(own, own, 3000)))
	add(hello, wire.AppendControl(nil, wire.TypePing, wire.AppendPing(nil, wire.Ping{ID: 1})),
		wire.AppendControl(nil, wire.TypeConfigured, wire.AppendConfigured(nil, 1)), hello)
	add(wire.AppendControl(nil, wire.TypeAttach, []byte(`{"version":1,"token":"x"}`)))
	add(hello, wire.AppendControl(nil, wire.TypeBye, []byte{1}))
	message := func(m []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...) }
	f.Add(true, slices.Concat(message(echoRequest(own, [4]byte{10, 66, 0, 1}, 9)),
		message([]byte{byte(wire.TypeHello), '{'}),
		message(wire.AppendDatagram(nil, wire.TypePart, []byte{0, 1, 0, 1, 0x45})),
		message(wire.AppendDatagram(nil, wire.TypeProbe, make([]byte, 30)))))
	l := newLab(f, netip.AddrFrom4(own), netip.MustParseAddr("fd66::2"))
	f.Fuzz(func(t *testing.T, datagrams bool, data []byte) {
		if datagrams {
			l.datagrams(t, data)
		} else {
			l.stream(t, data)
		}
		l.settle(t)
		for _, c := range l.s.clients() {
			l.s.remove(c)
		}
		l.s.mu.Lock()
		l.s.table.mu.RLock()
		n := len(l.s.byToken) + len(l.s.table.hosts)
		l.s.table.mu.RUnlock()
		l.s.mu.Unlock()
		if n != 0 || l.s.settings.budget.Used() != 0 {
			t.Fatalf("%d things are left behind, %d bytes wait", n, l.s.settings.budget.Used())
		}
	})
}
