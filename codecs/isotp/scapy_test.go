package isotp_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/needtest"
)

// scapyServer is a TLS server over the ISO-TP of scapy, whose CAN frames lie in UDP datagrams. It sends back what
// comes. Its arguments: certificate, key, block size, STmin. It says on which port it listens.
const scapyServer = `
import logging, socket, ssl, sys
logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.config import conf
conf.contribs['CAN'] = {'swap-bytes': False, 'remove-padding': True}
from scapy.layers.can import CAN
from scapy.supersocket import SuperSocket
from scapy.contrib.isotp import ISOTPSoftSocket, ISOTP

class Bus(SuperSocket):
    def __init__(self):
        self.ins = self.outs = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.ins.bind(('127.0.0.1', 0))
        self.peer = None
    def recv(self, x=None, **kw):
        data, self.peer = self.ins.recvfrom(100)
        return CAN(data)
    def send(self, p):
        return self.outs.sendto(bytes(p).ljust(16, b'\0'), self.peer)

bus = Bus()
print(bus.ins.getsockname()[1], flush=True)
link = ISOTPSoftSocket(bus, tx_id=0x7e8, rx_id=0x7e0, bs=int(sys.argv[3]), stmin=int(sys.argv[4]), padding=True)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = context.wrap_bio(incoming, outgoing, server_side=True)

def flush():
    data = outgoing.read()
    while data:
        link.send(ISOTP(data[:4000]))
        data = data[4000:]

def step(f):
    while True:
        try:
            result = f()
            flush()
            return result
        except ssl.SSLWantReadError:
            flush()
            incoming.write(link.recv().data)

step(tls.do_handshake)
while True:
    try:
        data = step(lambda: tls.read(65536))
    except ssl.SSLZeroReturnError:
        break
    if not data:
        break
    step(lambda: tls.write(data))
`

// TLS works with an ISO-TP by other people, both ways, with and without blocks and separation.
func TestTLSWithScapy(t *testing.T) {
	python := pythonWithScapy(t)
	ca, err := ephemeral.New("test CA")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("server.test")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := ca.WriteFiles(dir, map[string]tls.Certificate{"server": cert}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ bs, stmin, ours string }{
		{"20", "0", "be,timeout=60s,bs=20"},
		{"8", "1", "be,timeout=60s,bs=4,pad=00"},
		{"3", "0", "be,timeout=60s,bs=0,stmin=1ms"},
	} {
		t.Run(fmt.Sprintf("bs=%s,stmin=%s,%s", c.bs, c.stmin, c.ours), func(t *testing.T) {
			cmd := exec.Command(python, "-c", scapyServer, filepath.Join(dir, "server.crt"),
				filepath.Join(dir, "server.key"), c.bs, c.stmin)
			port := startPython(t, cmd)
			udp, err := net.Dial("udp", "127.0.0.1:"+port)
			if err != nil {
				t.Fatal(err)
			}
			client := wrap.Client(wrap.Stream(udp), &wrap.Config{
				TLS: &tls.Config{RootCAs: ca.Pool(), ServerName: "server.test"}, Codec: parse(t, c.ours)})
			defer client.Close()
			client.SetDeadline(time.Now().Add(60 * time.Second))
			echo(t, client)
		})
	}
}

// echo sends more than a message and wants it back.
func echo(t *testing.T, c net.Conn) {
	t.Helper()
	sent := make([]byte, 4500)
	rand.NewChaCha8([32]byte{}).Read(sent)
	if _, err := c.Write(sent); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(sent))
	if n, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%d bytes come back of %d, or others: %v", n, len(sent), err)
	}
}

func pythonWithScapy(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(name, "-c", "import scapy").Run() == nil {
			return name
		}
	}
	needtest.Skip(t, "scapy is not installed: apt-get install python3-scapy")
	return ""
}

// startPython returns the first line that the program prints.
func startPython(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("scapy: %s", &stderr)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}
