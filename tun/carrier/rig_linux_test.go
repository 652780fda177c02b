package carrier

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	_ "github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/tun/tuntest"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/datagram"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	os.Exit(m.Run())
}

// A rig is two hosts and a router between them, which has nothing of ours on it. Frames go from the addresses of one
// host to those of the other:
//
//	198.18.1.2, .3 ─ carrier0 ─ a ─ 10.1.0.2 ─── 10.1.0.1 ─ router ─ 10.2.0.1 ─── 10.2.0.2 ─ b ─ carrier0 ─ 198.18.2.2
//	fd18:1::2                       fd01::2      fd01::1             fd02::1      fd02::2                   fd18:2::2
type rig struct {
	t            testing.TB
	a, b, router *tuntest.Namespace
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, a: tuntest.New(t), b: tuntest.New(t), router: tuntest.New(t)}
	for _, ns := range []*tuntest.Namespace{r.a, r.b, r.router} {
		ns.Run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
			"net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.accept_dad=0")
	}
	for i, ns := range []*tuntest.Namespace{r.a, r.b} {
		n := i + 1
		inside := fmt.Sprintf("in%d", n)
		tuntest.Connect(r.router, ns, inside, fmt.Sprintf("10.%d.0.1/24", n), "eth0", fmt.Sprintf("10.%d.0.2/24", n))
		r.router.IP("addr", "add", fmt.Sprintf("fd0%d::1/64", n), "dev", inside, "nodad")
		ns.IP("addr", "add", fmt.Sprintf("fd0%d::2/64", n), "dev", "eth0", "nodad")
		ns.IP("route", "add", "default", "via", fmt.Sprintf("10.%d.0.1", n))
		ns.IP("route", "add", "default", "via", fmt.Sprintf("fd0%d::1", n))
		r.router.IP("route", "add", fmt.Sprintf("198.18.%d.0/24", n), "via", fmt.Sprintf("10.%d.0.2", n))
		r.router.IP("route", "add", fmt.Sprintf("fd18:%d::/64", n), "via", fmt.Sprintf("fd0%d::2", n))
	}
	return r
}

// open makes a device in one of the hosts.
func (r *rig) open(ns *tuntest.Namespace, cfg Config) *Device {
	r.t.Helper()
	var d *Device
	ns.Do(func() (err error) { d, err = Open(cfg); return err })
	r.t.Cleanup(func() { d.Close() })
	return d
}

// both makes a device in each host.
func (r *rig) both() (a, b *Device) {
	r.t.Helper()
	return r.open(r.a, Config{Name: "carrier0", Addresses: []netip.Addr{a4, a4too, a6}}),
		r.open(r.b, Config{Name: "carrier0", Addresses: []netip.Addr{b4, b6}})
}

func (r *rig) dial(d *Device, peer netip.Addr) *Conn {
	r.t.Helper()
	return r.conn(d.Dial(peer))
}

func (r *rig) listen(d *Device, local netip.Addr) *Conn {
	r.t.Helper()
	return r.conn(d.Listen(local))
}

func (r *rig) conn(c *Conn, err error) *Conn {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(tuntest.Patience))
	r.t.Cleanup(func() { c.Close() })
	return c
}

// until waits for something.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	tuntest.Eventually(r.t, what, ok)
}

// count counts packets of a protocol that a router forwards.
func (r *rig) count(ns *tuntest.Namespace, what string) func() int {
	r.t.Helper()
	tuntest.Need(r.t, "nft")
	ns.Run("nft", "add table inet count; add chain inet count c { type filter hook forward priority 0; };"+
		"add rule inet count c "+what+" counter")
	return func() (n int) {
		_, text, _ := strings.Cut(ns.Run("nft", "list", "table", "inet", "count"), "counter packets ")
		fmt.Sscan(text, &n)
		return n
	}
}

// A session is a client and a server of DTLS in frames.
type session struct{ client, server net.Conn }

// configs returns a pair of configurations.
func (r *rig) configs() (client, server *datagram.Config) {
	r.t.Helper()
	ca, err := ephemeral.New("test CA")
	if err != nil {
		r.t.Fatal(err)
	}
	cert, err := ca.Issue("server.test")
	if err != nil {
		r.t.Fatal(err)
	}
	return &datagram.Config{TLS: &tls.Config{RootCAs: ca.Pool(), ServerName: "server.test"}, MTU: 1400},
		&datagram.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, MTU: 1400}
}

// session connects a to b, whose address decides on the version of IP.
func (r *rig) session(a, b *Device, address netip.Addr) session {
	r.t.Helper()
	clientCfg, serverCfg := r.configs()
	pc, err := b.Listen(address)
	if err != nil {
		r.t.Fatal(err)
	}
	l, err := datagram.NewListener(pc, serverCfg, datagram.ListenOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { l.Close() })
	conn := r.dial(a, address)
	conn.SetReadDeadline(time.Time{})
	client, err := datagram.Client(wrap.Datagram(conn, nil, conn.MTU()), clientCfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { client.Close() })
	ctx, cancel := context.WithTimeout(r.t.Context(), tuntest.Patience)
	defer cancel()
	if err := client.HandshakeContext(ctx); err != nil {
		r.t.Fatalf("%v; %+v, %+v", err, a.Stats(), b.Stats())
	}
	server, err := l.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, c := range []net.Conn{client, server} {
		c.SetDeadline(time.Now().Add(tuntest.Patience))
	}
	return session{client, server}
}

// say sends a message and waits for it.
func (s session) say(t testing.TB, from, to net.Conn, message string) {
	t.Helper()
	if _, err := io.WriteString(from, message); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1500)
	if n, err := to.Read(buf); err != nil || string(buf[:n]) != message {
		t.Fatalf("%d bytes of %d, %v", n, len(message), err)
	}
}
