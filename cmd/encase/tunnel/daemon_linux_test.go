package tunnel

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/encase-tls/encase/cmd/encase/control"
	"github.com/encase-tls/encase/cmd/encase/pki"
	"github.com/encase-tls/encase/tun/tuntest"
)

// A place is two namespaces with a wire between them, and an authority.
type place struct {
	t              *testing.T
	dir            string
	server, client *tuntest.Namespace
	program        string // this one
}

func newPlace(t *testing.T) *place {
	t.Helper()
	tuntest.Need(t, "ping")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, dir: t.TempDir(), server: tuntest.New(t), client: tuntest.New(t), program: self}
	tuntest.Connect(p.server, p.client, "up0", "10.1.0.1/24", "up1", "10.1.0.2/24")
	p.server.IP("addr", "add", "10.2.0.1/32", "dev", "lo") // somebody in the world
	own := "/etc/netns/" + p.client.Name                   // mounted over /etc in that namespace
	if err := os.MkdirAll(own, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(own) })
	writeFile(t, own+"/resolv.conf", before)
	p.pki("init")
	p.pki("issue", "--server", "vpn.test")
	p.pki("issue", "--client", "alice.test")
	return p
}

const before = "nameserver 192.0.2.1\n"

func (p *place) resolvConf() string {
	data, err := os.ReadFile("/etc/netns/" + p.client.Name + "/resolv.conf")
	if err != nil {
		p.t.Fatal(err)
	}
	return string(data)
}

func (p *place) pki(args ...string) {
	p.t.Helper()
	c := pki.Command()
	c.SetArgs(append([]string{"--dir", p.dir + "/pki"}, args...))
	c.SetOut(new(bytes.Buffer))
	if err := c.Execute(); err != nil {
		p.t.Fatal(err)
	}
}

// A process is a daemon of its own.
type process struct {
	p      *place
	name   string
	ns     *tuntest.Namespace
	file   string
	socket string
	cmd    *exec.Cmd
	ended  chan struct{}

	mu  sync.Mutex
	log bytes.Buffer
}

func (d *process) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.Write(b)
}

func (d *process) text() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

// daemon writes a configuration; identity and control socket are added to it.
func (p *place) daemon(ns *tuntest.Namespace, name, config string) *process {
	p.t.Helper()
	d := &process{p: p, name: name, ns: ns, file: filepath.Join(p.dir, name+".toml"),
		socket: filepath.Join(p.dir, name+".sock")}
	d.configure(config)
	p.t.Cleanup(func() {
		d.end(syscall.SIGKILL)
		if p.t.Failed() {
			p.t.Logf("%s:\n%s", name, d.text())
		}
	})
	return d
}

func (d *process) configure(config string) {
	pki := d.p.dir + "/pki/"
	crl := ""
	if strings.HasPrefix(d.name, "vpn") {
		crl = fmt.Sprintf("crl = %q\n", pki+"ca.crl")
	}
	writeFile(d.p.t, d.file, fmt.Sprintf("config_version = 1\n%s\n[identity]\ncert = %q\nkey = %q\nca = "+
		"%q\n%s[observability]\n"+
		"log_level = \"debug\"\ncontrol_socket = "+
		"%q\n", config, pki+d.name+".crt", pki+d.name+".key", pki+"ca.crt", crl, d.socket))
}

// start starts the daemon, with sockets as systemd gives them. It runs in the namespace, and what it keeps lies in a
// folder of its own.
func (d *process) start(sockets ...*os.File) {
	d.p.t.Helper()
	// The shell becomes ip, and ip the daemon: all three are the process that the sockets are for.
	d.cmd = exec.Command("sh", "-c", `LISTEN_PID=$$ exec ip netns exec "$0" "$@"`, d.ns.Name, d.p.program, "-c", d.file)
	d.cmd.ExtraFiles = sockets
	d.cmd.Env = append(os.Environ(), asCommand+"=1", "STATE_DIRECTORY="+filepath.Join(d.p.dir, d.name+".state"),
		fmt.Sprintf("LISTEN_FDS=%d", len(sockets)), "LISTEN_FDNAMES=udp:web")
	d.cmd.Stderr = d
	if err := d.cmd.Start(); err != nil {
		d.p.t.Fatal(err)
	}
	ended := make(chan struct{})
	d.ended = ended
	go func(c *exec.Cmd) { c.Wait(); close(ended) }(d.cmd)
}

// end sends a signal and waits for the end: ip has become the daemon.
func (d *process) end(sig syscall.Signal) {
	if d.cmd == nil {
		return
	}
	d.cmd.Process.Signal(sig)
	select {
	case <-d.ended:
	case <-time.After(tuntest.Patience):
		d.cmd.Process.Kill()
		d.p.t.Errorf("%s does not end after %v", d.name, sig)
	}
	d.cmd = nil
}

// says waits for something in the log.
func (d *process) says(text string) {
	d.p.t.Helper()
	d.p.until(tuntest.Patience, d.name+" says "+text, func() bool { return strings.Contains(d.text(), text) })
}

func (p *place) until(most time.Duration, what string, ok func() bool) {
	p.t.Helper()
	for end := time.Now().Add(most); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("not after %v: %s", most, what)
		}
	}
}

// reaches waits until the client has an answer from an address.
func (p *place) reaches(address string, most time.Duration) {
	p.t.Helper()
	p.until(most, address+" answers", func() bool {
		return p.client.Command("ping", "-q", "-c", "1", "-W", "1", address).Run() == nil
	})
}

func (d *process) ask(q control.Request) (control.Answer, error) {
	ctx, cancel := context.WithTimeout(d.p.t.Context(), tuntest.Patience)
	defer cancel()
	return control.Ask(ctx, d.socket, q)
}

const (
	vpnConfig = `
[interface]
addresses = ["10.66.0.1/24", "fd66::1/64"]
[[listen]]
address = "10.1.0.1:4443"
[[listen]]
carrier = "tcp"
address = "10.1.0.1:4443"
codec = "length:16be"
[server.push]
dns = ["10.66.0.53"]
domains = ["corp.test"]
`
	udpOnly = `
[[peer]]
name = "hq"
server_name = "vpn.test"
[[peer.endpoint]]
address = "10.1.0.1:4443"
`
	aliceConfig = udpOnly + `
[[peer.endpoint]]
carrier = "tcp"
address = "10.1.0.1:4443"
codec = "length:16be"
`
)

// Two daemons hold a tunnel as their files say; the client's name servers are set, and put back at the end.
func TestDaemon(t *testing.T) {
	p := newPlace(t)
	vpn, alice := p.daemon(p.server, "vpn.test", vpnConfig), p.daemon(p.client, "alice.test", aliceConfig)
	vpn.start()
	alice.start()
	p.reaches("10.66.0.1", tuntest.Patience)
	if got := p.resolvConf(); !strings.Contains(got, "nameserver 10.66.0.53\nsearch corp.test") {
		t.Errorf("name servers of the client: %s", got)
	}
	a, err := vpn.ask(control.Request{Do: control.Status})
	if err != nil || len(a.Status.Sessions) != 1 || a.Status.Sessions[0].Peer != "alice.test" ||
		a.Status.Config != vpn.file {
		t.Fatalf("%+v, %v", a, err)
	}
	if a, err = alice.ask(control.Request{Do: control.Status}); err != nil || a.Status.Sessions[0].Peer != "hq" ||
		a.Status.DNS != "file" {
		t.Errorf("%+v, %v", a.Status, err)
	}
	if a, err = vpn.ask(control.Request{Do: control.Leases}); err != nil || len(a.Leases) != 1 || !a.Leases[0].Connected {
		t.Errorf("%+v, %v", a.Leases, err)
	}
	if a, err = alice.ask(control.Request{Do: control.Ping}); err != nil || len(a.Pongs) == 0 || a.Pongs[0].RTT <= 0 {
		t.Errorf("%+v, %v", a.Pongs, err)
	}
	if _, err = alice.ask(control.Request{Do: control.Kick, Who: "x"}); err == nil ||
		!strings.Contains(err.Error(), "is a client") {
		t.Errorf("a client that is to kick says %v", err)
	}
	if info, err := os.Stat(vpn.socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the control socket: %v, %v", info.Mode(), err)
	}
	if a, err = alice.ask(control.Request{Do: control.Down}); err != nil || a.Text == "" {
		t.Errorf("%+v, %v", a, err)
	}
	<-alice.ended
	ended := alice.cmd.ProcessState
	process := vpn.cmd
	vpn.end(syscall.SIGTERM)
	if ended.ExitCode() != 0 || process.ProcessState.ExitCode() != 0 {
		t.Errorf("taken down with %v, by a signal with %v", ended, process.ProcessState)
	}
	if got := p.resolvConf(); got != before {
		t.Errorf("name servers afterwards: %s", got)
	}
	if _, err := os.Stat(vpn.socket); !os.IsNotExist(err) {
		t.Errorf("the control socket is still there: %v", err)
	}
}

// Operators count, send away and keep out.
func TestOperate(t *testing.T) {
	p := newPlace(t)
	vpn, alice := p.daemon(p.server, "vpn.test", vpnConfig), p.daemon(p.client, "alice.test", aliceConfig)
	text, err := os.ReadFile(vpn.file)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, vpn.file, string(text)+"metrics = \"10.1.0.1:9586\"\nper_peer_metrics = true\n")
	vpn.start()
	alice.start()
	p.reaches("10.66.0.1", tuntest.Patience)
	for _, want := range []string{"encase_sessions 1\n", `encase_peer_rtt_seconds{peer="alice.test"}`,
		`encase_device_packets_total{direction="received"}`, "encase_crl_expires_timestamp_seconds"} {
		p.until(tuntest.Patience, want+" in the metrics", func() bool {
			return strings.Contains(p.page("10.1.0.1:9586", "/metrics"), want)
		})
	}
	if _, err := vpn.ask(control.Request{Do: control.Kick, Who: "alice.test", Text: "have a break"}); err != nil {
		t.Error(err)
	}
	alice.says("have a break")
	p.reaches("10.66.0.1", tuntest.Patience)
	if a, err := vpn.ask(control.Request{Do: control.Ban, Who: "10.1.0.0/24"}); err != nil ||
		!strings.HasSuffix(a.Text, "1 sessions ended") {
		t.Errorf("%+v, %v", a, err)
	}
	if p.client.Command("ping", "-q", "-c", "1", "-W", "1", "10.66.0.1").Run() == nil {
		t.Error("who is banned goes on")
	}
	if a, err := vpn.ask(control.Request{Do: control.Bans}); err != nil || len(a.Bans) != 1 {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := vpn.ask(control.Request{Do: control.Unban, Who: "10.1.0.0/24"}); err != nil {
		t.Error(err)
	}
	alice.end(syscall.SIGTERM)
	alice.start()
	p.reaches("10.66.0.1", tuntest.Patience)
}

// page gets a page by HTTP, in the namespace of the server.
func (p *place) page(address, path string) (page string) {
	p.t.Helper()
	p.server.Do(func() error {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(tuntest.Patience))
		fmt.Fprintf(c, "GET %s HTTP/1.0\r\n\r\n", path)
		data, err := io.ReadAll(c)
		page = string(data)
		return err
	})
	return page
}

// Either end may be killed: the tunnel is back within three seconds of its new start, which is asserted where nothing else
// goes on, and the name servers of a killed client are put back.
func TestKilled(t *testing.T) {
	soon := tuntest.Patience
	if os.Getenv("ENCASE_SOAK") != "" {
		soon = 3 * time.Second
	}
	for name, config := range map[string]string{"both carriers": aliceConfig, "datagrams alone": udpOnly} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			vpn, alice := p.daemon(p.server, "vpn.test", vpnConfig), p.daemon(p.client, "alice.test", config)
			vpn.start()
			alice.start()
			p.reaches("10.66.0.1", tuntest.Patience)
			vpn.end(syscall.SIGKILL)
			vpn.start()
			p.reaches("10.66.0.1", soon)
			alice.end(syscall.SIGKILL)
			p.until(tuntest.Patience, "name servers are put back", func() bool { return p.resolvConf() == before })
			alice.start()
			p.reaches("10.66.0.1", soon)
			p.until(tuntest.Patience, "name servers are set", func() bool { return p.resolvConf() != before })
			alice.end(syscall.SIGTERM)
			if got := p.resolvConf(); got != before {
				t.Errorf("name servers afterwards: %s", got)
			}
		})
	}
}

// A daemon that became another user has the rights that it needs, and no others.
func TestUser(t *testing.T) {
	p := newPlace(t)
	const nobody = 65534
	for path := p.dir; path != os.TempDir(); path = filepath.Dir(path) {
		os.Chmod(path, 0o755)
	}
	program, err := os.ReadFile(p.program) // which lies where nobody may look
	if err != nil {
		t.Fatal(err)
	}
	p.program = filepath.Join(p.dir, "encase")
	if err := os.WriteFile(p.program, program, 0o755); err != nil {
		t.Fatal(err)
	}
	config := strings.Replace(vpnConfig, "[interface]", "[interface]\nuser = \"nobody\"", 1)
	vpn := p.daemon(p.server, "vpn.test", config)
	up := filepath.Join(p.dir, "up")
	alice := p.daemon(p.client, "alice.test", fmt.Sprintf("[interface]\nuser = \"nobody\"\n"+
		"post_up = [\"/bin/sh\", \"-c\", \"id -u >%s\"]\n", up)+aliceConfig)
	filepath.WalkDir(p.dir, func(path string, _ os.DirEntry, _ error) error { return os.Chown(path, nobody, nobody) })
	vpn.start()
	alice.start()
	p.reaches("10.66.0.1", tuntest.Patience)
	for _, d := range []*process{vpn, alice} {
		a, err := d.ask(control.Request{Do: control.Status})
		if err != nil {
			t.Fatal(err)
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.Status.PID))
		for _, want := range []string{"Uid:\t65534\t65534\t65534\t65534", "Groups:\t \n", "CapEff:\t0000000000001000",
			"CapPrm:\t0000000000001000", "CapBnd:\t0000000000001400", "NoNewPrivs:\t1", "Seccomp:\t2"} {
			if !strings.Contains(string(status), want) {
				t.Errorf("%s: %q is not in\n%s, %v", d.name, want, status, err)
			}
		}
	}
	// What needs more rights is done by whoever started it.
	if got, err := os.ReadFile(up); string(got) != "0\n" {
		t.Errorf("the program of the configuration ran as %q, %v", got, err)
	}
	if got := p.resolvConf(); got == before {
		t.Error("name servers are not set")
	}
	alice.end(syscall.SIGTERM)
	if got := p.resolvConf(); got != before {
		t.Errorf("name servers afterwards: %s", got)
	}
}

// systemd hears when the daemon is ready, reloads, lives and stops.
func TestNotify(t *testing.T) {
	p := newPlace(t)
	socket := filepath.Join(p.dir, "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "300000")
	hears := func(want string) {
		t.Helper()
		l.SetReadDeadline(time.Now().Add(tuntest.Patience))
		buf := make([]byte, 200)
		for {
			n, err := l.Read(buf)
			if err != nil {
				t.Fatalf("%s is not heard: %v", want, err)
			}
			if strings.HasPrefix(string(buf[:n]), want) {
				return
			}
		}
	}
	vpn := p.daemon(p.server, "vpn.test", vpnConfig)
	vpn.start()
	hears("READY=1")
	hears("WATCHDOG=1")
	vpn.cmd.Process.Signal(syscall.SIGHUP)
	hears("RELOADING=1\nMONOTONIC_USEC=")
	hears("READY=1")
	vpn.cmd.Process.Signal(syscall.SIGTERM)
	hears("STOPPING=1")
	<-vpn.ended
}

// A new list of revoked certificates sends clients away; a reload says what needs a restart; with a mistake it changes nothing.
func TestReload(t *testing.T) {
	p := newPlace(t)
	vpn, alice := p.daemon(p.server, "vpn.test", vpnConfig), p.daemon(p.client, "alice.test", aliceConfig)
	vpn.start()
	alice.start()
	p.reaches("10.66.0.1", tuntest.Patience)
	vpn.configure(vpnConfig + "[server]\nrekye = 3\n")
	if _, err := vpn.ask(control.Request{Do: control.Reload}); err == nil ||
		!strings.Contains(err.Error(), `did you mean "rekey"?`) {
		t.Errorf("a reload with a mistake says %v", err)
	}
	vpn.configure(strings.Replace(vpnConfig, "[server.push]",
		"[server]\nrekey = \"2h\"\n[server.push]\nroutes = [\"10.9.0.0/16\"]", 1))
	a, err := vpn.ask(control.Request{Do: control.Reload})
	if err != nil || a.Text != "changed: server.push.routes\nnot changed before a restart: server.rekey" {
		t.Errorf("a reload says %q, %v", a.Text, err)
	}
	if s, err := vpn.ask(control.Request{Do: control.Status}); err != nil || len(s.Status.Pending) != 1 ||
		len(s.Status.Sessions) != 1 {
		t.Errorf("%+v, %v", s.Status, err)
	}
	p.pki("revoke", "alice.test") // nobody tells the daemon: it looks
	alice.says("has been revoked")
	vpn.says("clients sent away")
	if s, err := vpn.ask(control.Request{Do: control.Status}); err != nil || len(s.Status.Sessions) != 0 {
		t.Errorf("%+v, %v", s.Status, err)
	}
	alice.end(syscall.SIGTERM)
	alice.start()
	vpn.says("client not admitted")
}

// While the tunnel is away nothing leaves by another way, also when the client was killed; until somebody says so.
func TestKillSwitch(t *testing.T) {
	p := newPlace(t)
	p.client.IP("route", "add", "default", "via", "10.1.0.1")
	vpn := p.daemon(p.server, "vpn.test", strings.Replace(vpnConfig, "[server.push]",
		"[server.push]\nroutes = [\"0.0.0.0/0\"]", 1))
	alice := p.daemon(p.client, "alice.test", "[interface]\nkill_switch = true\ndns = \"off\"\n"+aliceConfig)
	const world = "10.2.0.1"
	p.reaches(world, tuntest.Patience) // there is another way
	vpn.start()
	alice.start()
	alice.says("msg=connected")
	p.reaches(world, tuntest.Patience)
	if got := p.client.IP("route", "get", world); !strings.Contains(got, "encase0") {
		t.Errorf("the world is reached by %s", got)
	}
	leaks := func() bool { return p.client.Command("ping", "-q", "-c", "1", "-W", "1", world).Run() == nil }
	vpn.end(syscall.SIGKILL)
	if leaks() {
		t.Error("without the server packets take another way")
	}
	alice.end(syscall.SIGKILL)
	if leaks() {
		t.Error("without the client packets take another way")
	}
	alice.start()
	p.until(tuntest.Patience, "the client is there", func() bool {
		_,
			err := alice.ask(control.Request{Do: control.Status})
		return err == nil
	})
	if leaks() {
		t.Error("before the first connection packets take another way")
	}
	alice.end(syscall.SIGKILL)
	if err := p.client.Try(func() error { return CleanUp("encase0") }); err != nil {
		t.Fatal(err)
	}
	if !leaks() {
		t.Error("the kill switch cannot be turned off")
	}
}
