package tunnel

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/encase-tls/encase/cmd/encase/control"
	"github.com/encase-tls/encase/tun/tuntest"
)

// A routed place has a router between server and client, with nothing of encase on it, and the world behind the server.
func newRoutedPlace(t *testing.T) (p *place, router *tuntest.Namespace) {
	t.Helper()
	tuntest.Need(t, "nft")
	p, router = newPlace(t), tuntest.New(t)
	p.server.IP("link", "del", "up0")
	tuntest.Connect(router, p.server, "in1", "10.1.0.254/24", "eth0", "10.1.0.1/24")
	tuntest.Connect(router, p.client, "in2", "10.3.0.254/24", "eth0", "10.3.0.2/24")
	router.IP("route", "add", "198.18.0.1", "via", "10.1.0.1")
	router.IP("route", "add", "198.18.1.0/24", "via", "10.3.0.2")
	router.IP("route", "add", "10.2.0.0/16", "via", "10.1.0.1")
	p.server.IP("route", "add", "default", "via", "10.1.0.254")
	p.client.IP("route", "add", "default", "via", "10.3.0.254")
	for _, ns := range []*tuntest.Namespace{p.server, p.client, router} {
		ns.Run("sysctl", "-qw", "net.ipv4.ip_forward=1")
	}
	router.Run("nft", "add table ip count; add chain ip count c { type filter hook forward priority 0; };"+
		"add rule ip count c ip protocol 253 counter; add rule ip count c ip protocol != 253 counter")
	return p, router
}

// passed returns how many packets the router has forwarded that were frames, and that were something else.
func passed(router *tuntest.Namespace) (frames, others int) {
	text := router.Run("nft", "list", "table", "ip", "count")
	for i, to := range []*int{&frames, &others} {
		fmt.Sscan(strings.Split(text, "counter packets ")[i+1], to)
	}
	return frames, others
}

const (
	framesServer = `
[interface]
addresses = ["10.66.0.1/24"]
[carrier]
addresses = ["198.18.0.1"]
[[listen]]
carrier = "tun253"
address = "198.18.0.1"
codec = "length:16be"
[server.push]
routes = ["0.0.0.0/0", "198.18.0.0/15"]
`
	framesClient = `
[interface]
kill_switch = true
dns = "off"
[carrier]
addresses = ["198.18.1.2", "198.18.1.3"]
[[peer]]
server_name = "vpn.test"
[[peer.endpoint]]
carrier = "tun253"
address = "198.18.0.1"
codec = "length:16be"
`
)

// Two daemons hold a tunnel in IP packets of protocol 253, which a router forwards. It has all traffic of the client,
// the network of the carrier included, but for its own frames; what strangers send does not disturb it; and it is back
// when either end was killed.
func TestFrames(t *testing.T) {
	p, router := newRoutedPlace(t)
	vpn, alice := p.daemon(p.server, "vpn.test", framesServer), p.daemon(p.client, "alice.test", framesClient)
	vpn.start()
	alice.start()
	p.reaches("10.66.0.1", tuntest.Patience)
	p.reaches("10.2.0.1", tuntest.Patience)
	a, err := alice.ask(control.Request{Do: control.Status})
	if err != nil || len(a.Status.Sessions) != 1 ||
		a.Status.Sessions[0].Connections[0].Remote != "tun253://198.18.0.1" {
		t.Fatalf("%+v, %v", a.Status, err)
	}
	frames, others := passed(router)
	throwFrames(t, router, "198.18.0.1", 200)
	p.transfer(p.client, p.server, "10.2.0.1", 4<<20)
	p.transfer(p.server, p.client, "10.66.0.2", 4<<20)
	if f, o := passed(router); f < frames+1000 || o != others {
		t.Errorf("the router has forwarded %d frames and %d other packets", f-frames, o-others)
	}
	router.Run("nft", "add rule ip count c ip protocol 253 numgen random mod 10 == 0 drop")
	p.transfer(p.client, p.server, "10.66.0.1", 256<<10)
	router.Run("nft", "flush chain ip count c")
	for _, d := range []*process{vpn, alice} {
		d.end(syscall.SIGKILL)
		d.start()
		p.reaches("10.2.0.1", tuntest.Patience)
	}
	for _, d := range []*process{alice, vpn} {
		d.end(syscall.SIGTERM)
		if out := d.ns.IP("rule") + d.ns.IP("route", "show", "table", "all"); strings.Contains(out, "carrier0") {
			t.Errorf("%s has left behind:\n%s", d.name, out)
		}
	}
}

// throwFrames sends garbage in frames from an address that is nobody's.
func throwFrames(t *testing.T, from *tuntest.Namespace, to string, n int) {
	t.Helper()
	from.Do(func() error {
		c, err := net.Dial("ip4:253", to)
		if err != nil {
			return err
		}
		defer c.Close()
		for i := range n {
			if _, err := c.Write(bytes.Repeat([]byte{byte(i)}, i)); err != nil {
				return err
			}
		}
		return nil
	})
}

// transfer sends n bytes from one namespace to an address in another, and compares them.
func (p *place) transfer(from, to *tuntest.Namespace, address string, n int) {
	p.t.Helper()
	var l net.Listener
	to.Do(func() (err error) { l, err = net.Listen("tcp", net.JoinHostPort(address, "0")); return err })
	defer l.Close()
	var c net.Conn
	from.Do(func() (err error) { c, err = net.DialTimeout("tcp", l.Addr().String(), tuntest.Patience); return err })
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		p.t.Fatal(err)
	}
	defer s.Close()
	end := time.Now().Add(3 * tuntest.Patience)
	c.SetDeadline(end)
	s.SetDeadline(end)
	data := bytes.Repeat([]byte("not all of it is the same: "), n/27)
	go func() {
		c.Write(data)
		c.(*net.TCPConn).CloseWrite()
	}()
	sum := sha256.New()
	if got, err := io.Copy(sum, s); err != nil || !bytes.Equal(sum.Sum(nil), hash(data)) {
		p.t.Errorf("%d bytes of %d arrive, %v", got, len(data), err)
	}
}

func hash(p []byte) []byte { sum := sha256.Sum256(p); return sum[:] }
