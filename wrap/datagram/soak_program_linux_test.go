package datagram

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/wrap/datagram/lossy"
	"github.com/encase-tls/encase/wrap/needtest"
)

// These tests need the programs openssl, gnutls-cli and gnutls-serv. Without them they are skipped, except where the
// environment variable CI says that everything must be there.

// A stranger is a program at the other end that no one here wrote.
type stranger struct {
	name   string
	client bool // it is one
	echo   bool // it says back what it hears, and cannot be told to say anything else
	size   int  // of messages, in bytes: with what DTLS adds they fit the MTU
	start  func(auth, address, port string) []string
}

var strangers = []stranger{
	{"openssl s_client", true, false, 512, func(auth, address, _ string) []string {
		args := []string{"openssl", "s_client", "-quiet", "-nbio", "-dtls1_2", "-connect", address, "-mtu", "600"}
		return append(args, map[string][]string{"certificates": methods[0].client, "psk": methods[2].client}[auth]...)
	}},
	{"openssl s_server", false, false, 512, func(auth, address, _ string) []string {
		args := []string{"openssl", "s_server", "-quiet", "-nbio", "-dtls1_2", "-accept", address, "-mtu", "600"}
		return append(args, map[string][]string{"certificates": methods[0].server, "psk": methods[2].server}[auth]...)
	}},
	{"gnutls-cli", true, false, 512, func(auth, _, port string) []string {
		args := []string{"gnutls-cli", "--udp", "--mtu=600", "--logfile=log", "--port=" + port}
		return append(append(args, map[string][]string{
			"certificates": {"--x509cafile=ca.crt", "--verify-hostname=server.test"},
			"psk":          {gnutlsPSK, "--pskusername=client", "--pskkey=" + hex.EncodeToString(soakKey)},
		}[auth]...), "127.0.0.1")
	}},
	// It echoes no more than 255 bytes at once.
	{"gnutls-serv", false, true, 250, func(auth, _, port string) []string {
		args := []string{"gnutls-serv", "--udp", "--echo", "--mtu=600", "--port=" + port}
		return append(args, map[string][]string{
			"certificates": {"--x509certfile=server.crt", "--x509keyfile=server.key", "--disable-client-cert"},
			"psk":          {gnutlsPSK, "--pskpasswd=psk.txt"},
		}[auth]...)
	}},
}

const gnutlsPSK = "--priority=NONE:+VERS-DTLS1.2:+COMP-NULL:+GROUP-ALL:+SIGN-ALL:+MAC-ALL:+PSK:+AES-128-GCM"

var soakKey = []byte("sixteen bytes...")

// TestSoakPrograms moves 10 MB each way between a Conn and programs that no one here wrote, in both roles, through a
// relay that loses, repeats and reorders up to half of the datagrams each way and has an MTU of 600 bytes.
func TestSoakPrograms(t *testing.T) {
	total, _ := soaked(t, 10<<20, 0)
	for _, who := range strangers {
		for _, auth := range []string{"certificates", "psk"} {
			for _, loss := range soakLoss {
				t.Run(fmt.Sprintf("%s/%s/%.0f%%", who.name, auth, 100*loss), func(t *testing.T) {
					writeFiles(t)
					psk := "client:" + hex.EncodeToString(soakKey) + "\n"
					if err := os.WriteFile("psk.txt", []byte(psk), 0o600); err != nil {
						t.Fatal(err)
					}
					newMeeting(t, who, auth, loss).run(total / who.size)
				})
			}
		}
	}
}

// A meeting is a connection with a program.
type meeting struct {
	t    *testing.T
	who  stranger
	auth string
	loss float64

	relay *lossy.Relay
	conn  *Conn
	cmd   *exec.Cmd
	stdin *os.File // each Write is one read of the program, and so one message
	out   io.Reader
	shook time.Duration
	tries int
	ends  []func()
}

// newMeeting brings both together. With half of all datagrams lost either may lose patience: then they try again.
func newMeeting(t *testing.T, who stranger, auth string, loss float64) *meeting {
	t.Helper()
	m := &meeting{t: t, who: who, auth: auth, loss: loss}
	t.Cleanup(m.end)
	for m.tries = 1; ; m.tries++ {
		start := time.Now()
		err := m.meet()
		m.shook = time.Since(start)
		if err == nil {
			return m
		}
		m.end()
		if loss < 0.3 || m.tries == 20 {
			t.Fatalf("no handshake after %d tries: %v", m.tries, err)
		}
	}
}

func (m *meeting) end() {
	for len(m.ends) > 0 {
		last := len(m.ends) - 1
		m.ends[last]()
		m.ends = m.ends[:last]
	}
}

const soakPatience = 40 * time.Second // of one try

func (m *meeting) meet() (err error) {
	client, server := configs(m.t, "")
	o := dtls.Options{FlightInterval: 250 * time.Millisecond, ReplayWindow: 1024}
	client.Stack, server.Stack = dtls.Stack(o), dtls.Stack(o)
	if m.auth == "psk" {
		client.Stack, server.Stack = pskStack(o), pskStack(o)
		client.TLS, server.TLS = nil, nil
	}
	for _, c := range []*Config{client, server} {
		c.MTU, c.Queue, c.Socket.ReadBuffer, c.HandshakeTimeout = soakMTU, 32<<20, 8<<20, soakPatience
	}
	if m.who.client {
		return m.meetClient(server)
	}
	return m.meetServer(client)
}

// meetClient lets the program connect to a Listener.
func (m *meeting) meetClient(cfg *Config) error {
	l, err := Listen("udp4", "127.0.0.1:0", cfg, ListenOptions{Limits: anybody})
	if err != nil {
		return err
	}
	m.ends = append(m.ends, func() { l.Close() })
	through, err := m.through(netip.MustParseAddrPort(l.Addr().String()))
	if err == nil {
		err = m.launch(through)
	}
	if err != nil {
		return err
	}
	late := time.AfterFunc(soakPatience, func() { l.Close() })
	c, err := l.Accept()
	if !late.Stop() && err == nil {
		err = os.ErrDeadlineExceeded
	}
	if err == nil {
		m.conn = c.(*Conn)
		err = m.awaitProbe()
	}
	return err
}

// awaitProbe waits until a client says something: ours is the last flight of the handshake, and it may have to ask for
// it several times, with more patience each time, while what else it hears gets lost.
func (m *meeting) awaitProbe() error {
	defer m.conn.SetReadDeadline(time.Time{})
	buf := make([]byte, soakMTU)
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
		if _, err := m.stdin.WriteString(soakProbe); err != nil {
			return err
		}
		m.conn.SetReadDeadline(time.Now().Add(time.Second))
		n, err := m.conn.Read(buf)
		switch {
		case err == nil && string(buf[:n]) != soakProbe:
			return fmt.Errorf("it says %q", buf[:n])
		case err == nil || !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		}
	}
	return os.ErrDeadlineExceeded
}

// soakProbe is said until it is heard once.
const soakProbe = "are you there?\n"

// meetServer connects to the program.
func (m *meeting) meetServer(cfg *Config) error {
	free, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := netip.MustParseAddrPort(free.LocalAddr().String())
	free.Close()
	if err := m.launch(address); err != nil {
		return err
	}
	time.Sleep(300 * time.Millisecond) // until it listens: gnutls-serv goes on with nothing that ICMP has ended
	through, err := m.through(address)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), soakPatience)
	defer cancel()
	m.conn, err = Dial(ctx, "udp4", through.String(), cfg)
	if err == nil {
		m.ends = append(m.ends, func() { m.conn.Close() })
	}
	return err
}

// through returns where a relay to an address listens.
func (m *meeting) through(to netip.AddrPort) (netip.AddrPort, error) {
	relay, err := lossy.New(to, soakConditions(m.loss), uint64(m.tries))
	if err != nil {
		return netip.AddrPort{}, err
	}
	m.relay = relay
	m.ends = append(m.ends, func() { relay.Close() })
	return relay.Addr(), nil
}

// launch starts the program.
func (m *meeting) launch(at netip.AddrPort) error {
	args := m.who.start(m.auth, at.String(), strconv.Itoa(int(at.Port())))
	if _, err := exec.LookPath(args[0]); err != nil {
		needtest.Skip(m.t, "%v", err)
	}
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	theirs := os.NewFile(uintptr(ends[0]), "stdin")
	defer theirs.Close()
	m.stdin = os.NewFile(uintptr(ends[1]), "the other end of stdin")
	m.cmd = exec.Command(args[0], args[1:]...)
	m.cmd.Stdin = theirs
	out, err := m.cmd.StdoutPipe()
	if err == nil {
		err = m.cmd.Start()
	}
	if err != nil {
		return errors.Join(err, m.stdin.Close())
	}
	m.out = out
	cmd, stdin := m.cmd, m.stdin
	m.ends = append(m.ends, func() {
		cmd.Process.Kill()
		stdin.Close()
		io.Copy(io.Discard, out)
		cmd.Wait()
	})
	return nil
}

// soakMessage returns message i: a line of text, as the programs like it.
func soakMessage(i, size int) []byte {
	p := fmt.Appendf(make([]byte, 0, size), "%08d ", i)
	rng := rand.New(rand.NewPCG(uint64(i), 1))
	for len(p) < size-1 {
		p = append(p, 'a'+byte(rng.Uint32()%26))
	}
	return append(p, '\n')
}

// A tally is what has arrived at one end.
type tally struct {
	on *exchange

	mu   sync.Mutex
	seen []bool
	err  error
}

func newTally(on *exchange, count int) *tally { return &tally{on: on, seen: make([]bool, count)} }

func (y *tally) take(p []byte) {
	if string(p) == soakProbe {
		return
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	i, err := strconv.Atoi(string(p[:min(8, len(p))]))
	if err != nil || i >= len(y.seen) || y.seen[i] || !bytes.Equal(p, soakMessage(i, len(p))) {
		y.err = fmt.Errorf("%.20q of %d bytes arrives twice, or changed", p, len(p))
		return
	}
	y.seen[i] = true
	y.on.arrived.Add(1)
}

func (y *tally) failure() error {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.err
}

// run moves messages both ways at once.
func (m *meeting) run(count int) {
	start, lost := time.Now(), func() uint64 { return m.relay.Stats().Lost }
	on := &exchange{total: 2 * int64(count), lost: lost, before: lost()}
	byProgram, byUs := newTally(on, count), newTally(on, count)
	var reading, writing sync.WaitGroup
	reading.Go(func() { m.hear(byUs) })
	if m.who.echo {
		on.total = int64(count) // each of which goes both ways
		reading.Go(func() { io.Copy(io.Discard, m.out) })
	} else {
		reading.Go(func() { m.listen(byProgram) })
		writing.Go(func() { m.say(m.stdin, count, on) })
	}
	writing.Go(func() { m.say(m.conn, count, on) })
	writing.Wait()
	on.settle(0)
	took := time.Since(start)
	e := m.conn.Engine().(*dtls.Engine).Stats()
	m.conn.Close()
	m.end()
	reading.Wait()

	m.t.Logf("handshake %v in try %d, then %d messages in %v: %d arrive, %d vanish; %+v", m.shook.Round(time.Millisecond),
		m.tries, on.total, took.Round(time.Millisecond), on.arrived.Load(), on.vanished.Load(), m.relay.Stats())
	if err := errors.Join(byUs.failure(), byProgram.failure()); err != nil {
		m.t.Error(err)
	}
	if n := on.vanished.Load(); float64(n) > soakTolerance*float64(on.total) {
		m.t.Errorf("%d of %d messages have vanished, besides those that the relay has lost", n, on.total)
	}
	if e.Forged+e.Malformed+e.WrongEpoch > 0 || m.loss > 0 && e.Replayed == 0 || m.loss == 0 && e.Replayed > 0 {
		m.t.Errorf("the engine counts %+v", e)
	}
}

// settle waits until at most so many messages are on the way. Those of which nothing is heard for long have vanished.
func (e *exchange) settle(most int64) {
	const long = 3 * time.Second
	for arrived, since := e.arrived.Load(), time.Now(); e.underway() > most; time.Sleep(200 * time.Microsecond) {
		if now := e.arrived.Load(); now != arrived {
			arrived, since = now, time.Now()
		}
		if time.Since(since) > long {
			e.giveUp()
		}
	}
}

// giveUp takes what is on the way for vanished.
func (e *exchange) giveUp() {
	before := e.vanished.Load()
	if rest := e.underway(); rest > 0 {
		e.vanished.CompareAndSwap(before, before+rest) // or somebody else has, at the same time
	}
}

// say sends messages, as many at a time as programs with small sockets can hear.
func (m *meeting) say(w io.Writer, count int, on *exchange) {
	for i := range count {
		on.settle(atOnce - 1)
		if _, err := w.Write(soakMessage(i, m.who.size)); err != nil {
			m.t.Errorf("message %d: %v", i, err)
			return
		}
		on.sent.Add(1)
	}
}

// hear takes in what comes to us.
func (m *meeting) hear(y *tally) {
	buf := make([]byte, soakMTU)
	for {
		n, err := m.conn.Read(buf)
		if err != nil {
			return
		}
		y.take(buf[:n])
	}
}

// listen takes in what the program writes to its standard output.
func (m *meeting) listen(y *tally) {
	buf := make([]byte, m.who.size)
	for {
		if _, err := io.ReadFull(m.out, buf); err != nil {
			return
		}
		y.take(buf)
	}
}
