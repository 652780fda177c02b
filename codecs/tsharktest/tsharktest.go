// Package tsharktest has tshark, Wireshark's command, take the frames of codecs apart: an implementation of many
// protocols by other people. It is for tests.
//
//	got := tsharktest.UDP(5246, frames...).Fields(t, "capwap.preamble.type", "dtls.record.content_type")
//
// Where tshark is not installed, a test skips, and says so; where the environment variable CI is set, it fails.
package tsharktest

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/encase-tls/encase/wrap/needtest"
)

// Link types of captures.
//
// https://www.tcpdump.org/linktypes.html
const (
	Raw       = 101 // IP
	User0     = 147 // whatever Options say
	SocketCAN = 227
)

// A Capture is packets for tshark.
type Capture struct {
	LinkType uint32
	Packets  [][]byte
	Options  []string // of tshark
}

// UDP returns a Capture of datagrams with these payloads, to a port.
func UDP(port uint16, payloads ...[]byte) Capture {
	c := Capture{LinkType: Raw}
	for _, p := range payloads {
		header := binary.BigEndian.AppendUint16(nil, clientPort)
		header = binary.BigEndian.AppendUint16(header, port)
		header = binary.BigEndian.AppendUint16(header, uint16(udpLen+len(p)))
		header = append(header, 0, 0) // no checksum
		c.Packets = append(c.Packets, ip(protocolUDP, header, p))
	}
	return c
}

// TCP returns a Capture of segments with these payloads, to a port, one behind the other.
func TCP(port uint16, payloads ...[]byte) Capture {
	c := Capture{LinkType: Raw}
	sequence := uint32(1)
	for _, p := range payloads {
		header := binary.BigEndian.AppendUint16(nil, clientPort)
		header = binary.BigEndian.AppendUint16(header, port)
		header = binary.BigEndian.AppendUint32(header, sequence)
		header = append(header, 0, 0, 0, 1) // acknowledged
		header = append(header, tcpLen/4<<4, pushAck, 0x40, 0, 0, 0, 0, 0)
		c.Packets = append(c.Packets, ip(protocolTCP, header, p))
		sequence += uint32(len(p))
	}
	return c
}

const (
	ipLen, udpLen, tcpLen    = 20, 8, 20
	protocolTCP, protocolUDP = 6, 17
	pushAck                  = 0x18
	clientPort               = 40000
	maxPacket                = 1 << 18
)

// ip returns a packet from 192.0.2.1 to 192.0.2.2. tshark does not look at its checksum.
func ip(protocol byte, header, payload []byte) []byte {
	p := []byte{0x45, 0}
	p = binary.BigEndian.AppendUint16(p, uint16(ipLen+len(header)+len(payload)))
	p = append(p, 0, 0, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2)
	return append(append(p, header...), payload...)
}

// Fields returns the values that tshark finds of these fields, a row for each packet, in the order given. A field that
// a packet does not have is empty; one that it has several times has commas between its values.
func (c Capture) Fields(t testing.TB, fields ...string) [][]string {
	t.Helper()
	tshark := needtest.Program(t, "tshark", "tshark")
	dir := t.TempDir()
	file := filepath.Join(dir, "frames.pcap")
	if err := os.WriteFile(file, c.pcap(), 0o644); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-n", "-r", file, "-T", "fields", "-E", "separator=/t", "-E", "aggregator=,"}, c.Options...)
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	cmd := exec.Command(tshark, args...)
	cmd.Env = append(os.Environ(), "WIRESHARK_CONFIG_DIR="+dir) // nobody's settings
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, &stderr)
	}
	var rows [][]string
	for line := range strings.Lines(string(out)) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	if len(rows) != len(c.Packets) {
		t.Fatalf("tshark tells of %d packets, there are %d:\n%s", len(rows), len(c.Packets), out)
	}
	return rows
}

// pcap returns the capture as a file.
//
// https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html
func (c Capture) pcap() []byte {
	le := binary.LittleEndian
	f := le.AppendUint32(nil, 0xa1b2c3d4)
	f = le.AppendUint16(f, 2)
	f = le.AppendUint16(f, 4)
	f = append(f, make([]byte, 8)...)
	f = le.AppendUint32(f, maxPacket)
	f = le.AppendUint32(f, c.LinkType)
	for i, p := range c.Packets {
		f = le.AppendUint32(f, uint32(i)) // seconds
		f = le.AppendUint32(f, 0)
		f = le.AppendUint32(f, uint32(len(p)))
		f = le.AppendUint32(f, uint32(len(p)))
		f = append(f, p...)
	}
	return f
}
