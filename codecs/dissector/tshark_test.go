package dissector_test

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/encase-tls/encase/codecs"
	_ "github.com/encase-tls/encase/codecs/all"
	"github.com/encase-tls/encase/codecs/desc"
	"github.com/encase-tls/encase/codecs/described"
	"github.com/encase-tls/encase/codecs/dissector"
	"github.com/encase-tls/encase/codecs/tsharktest"
	"github.com/encase-tls/encase/frame"
)

// A rig has tshark look at the captures of several codecs at once, each on a port and with a dissector of its own:
// tshark takes longer to start than to read.
type rig struct {
	tsharktest.Capture
	parts []part
}

// A part is the capture of one codec.
type part struct {
	spec, name string // the name in filters is "encase." and name
	from, to   int    // packets
	rows       [][]string
}

// add adds what capture returns for a port.
func (r *rig) add(t *testing.T, spec string, capture func(port uint16) tsharktest.Capture) {
	t.Helper()
	p := part{spec: spec, name: fmt.Sprintf("test%d", len(r.parts)), from: len(r.Packets)}
	port := uint16(20000 + len(r.parts))
	text, err := dissector.Lua(spec, dissector.Options{Name: p.name, TCP: port, UDP: port})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "test.lua")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	r.Options = append(r.Options, "-X", "lua_script:"+file)
	c := capture(port)
	r.LinkType, r.Packets = c.LinkType, append(r.Packets, c.Packets...)
	p.to = len(r.Packets)
	r.parts = append(r.parts, p)
}

// run returns the parts with the rows of their packets. fields are those of a part.
func (r *rig) run(t *testing.T, fields func(p part) []string) []part {
	t.Helper()
	r.Options = append(r.Options, "-E", "aggregator=;")
	index := map[string]int{}
	var all []string
	for _, p := range r.parts {
		for _, f := range fields(p) {
			if _, known := index[f]; !known {
				index[f] = len(all)
				all = append(all, f)
			}
		}
	}
	rows := r.Fields(t, all...)
	for i := range r.parts {
		p := &r.parts[i]
		for _, row := range rows[p.from:p.to] {
			var own []string
			for _, f := range fields(*p) {
				own = append(own, row[index[f]])
			}
			p.rows = append(p.rows, own)
		}
	}
	return r.parts
}

func machine(t testing.TB, spec string, role frame.Role) frame.Machine {
	t.Helper()
	mk, err := codecs.Parse(spec)
	if err != nil {
		t.Fatal(err)
	}
	m, err := mk(role)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func send(t testing.TB, m frame.Machine, payload []byte) (frames [][]byte) {
	t.Helper()
	l := m.Limits()
	for p := range slices.Chunk(payload, min(l.Max, 1<<14)) {
		ev, err := m.Send(nil, frame.NewBuf(l.Head, p, l.Tail), true)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range ev {
			frames = append(frames, bytes.Clone(e.Buf.Bytes()))
		}
	}
	return frames
}

// agreeing are what the two decoders have to agree on: each sample of package desc, and built-in codecs.
func agreeing(t *testing.T) (specs []string) {
	files, err := filepath.Glob("../desc/testdata/*.frame")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	values := map[string]string{"vendor": ",session=0xcafef00d", "channeldata": ",channel=0x4001", "vxlan": ",vni=42"}
	for _, f := range files {
		specs = append(specs, "desc:"+f+values[strings.TrimSuffix(filepath.Base(f), ".frame")])
	}
	return append(specs, "length:32le,incl", "length:16be,prefix=12~01,suffix=~00~00,incl", "shim:geneve,vni=7",
		"desc:A 8 = 1;a 8 any 2;wide 64 client = 0xfedcba9876543210 server any 1;b 40 le = 0x102030405;n 56 le len payload; "+
			"c 33 = 0x1ffffffff;d 7 random;payload max 300;x 16 crc16-kermit;pad to 8 checked;y 8 xor8 over payload;"+
			"z 16 crc16-arc over A to pad; w 16 crc16-xmodem; v 32 crc32")
}

// samples returns frames of a codec, and such frames bent.
func samples(t *testing.T, spec string) (frames [][]byte) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, role := range []frame.Role{frame.Client, frame.Server} {
		m := machine(t, spec, role)
		for _, n := range []int{0, 1, 2, 3, 5, 100, 255} {
			payload := make([]byte, n)
			for i := range payload {
				payload[i] = byte(rng.Uint32())
			}
			l := m.Limits()
			ev, err := m.Send(nil, frame.NewBuf(l.Head, payload, l.Tail), true)
			if err != nil {
				t.Fatal(err)
			}
			whole := bytes.Clone(ev[0].Buf.Bytes())
			frames = append(frames, whole, append(bytes.Clone(whole), 0), whole[:rng.IntN(len(whole))])
			for range 6 {
				bent := bytes.Clone(whole)
				bent[rng.IntN(min(len(bent), 40))] ^= 1 << rng.IntN(8)
				frames = append(frames, bent)
			}
		}
	}
	return slices.DeleteFunc(frames, func(f []byte) bool { return len(f) == 0 })
}

// Wireshark and Explain find the same values in the same fields, and refuse the same for the same reasons.
func TestDecodersAgree(t *testing.T) {
	var r rig
	var frames [][]byte
	descriptions := map[string]*desc.Description{}
	for _, spec := range agreeing(t) {
		d, err := described.Of(spec)
		if err != nil {
			t.Fatal(err)
		}
		descriptions[spec] = d.Description
		r.add(t, spec, func(port uint16) tsharktest.Capture {
			some := samples(t, spec)
			frames = append(frames, some...)
			return tsharktest.UDP(port, some...)
		})
	}
	for _, p := range r.run(t, func(p part) []string { return columns(p.name, descriptions[p.spec]) }) {
		d := descriptions[p.spec]
		names := columns(p.name, d)
		for i, row := range p.rows {
			for k, want := range expected(d, frames[p.from+i]) {
				if got := normal(row[k]); got != want {
					t.Errorf("%s: %.80x: %s: Wireshark says %q, Explain %q", p.spec, frames[p.from+i], names[k], got, want)
				}
			}
		}
	}
}

// columns returns the filters of a description's fields, and that of the mistakes.
func columns(proto string, d *desc.Description) (names []string) {
	taken := map[string]bool{}
	for _, f := range d.Fields() {
		name := strings.ToLower(f.Name)
		if taken[name] {
			name += "_2"
		}
		taken[name] = true
		if f.Meaning.Kind == desc.Data || f.Meaning.Kind == desc.Fill {
			name += ".length"
		}
		names = append(names, "encase."+proto+"."+name)
	}
	return append(names, "encase."+proto+".frame.wrong")
}

// expected returns what has to be in the columns.
func expected(d *desc.Description, p []byte) (values []string) {
	var wrong []string
	for _, v := range d.Explain(p) {
		said := ""
		if v.At >= 0 {
			said = strconv.FormatUint(v.Value, 10)
		}
		if v.Wrong != "" {
			wrong = append(wrong, v.Name+": "+v.Wrong)
		}
		values = append(values, said)
	}
	return append(values, strings.Join(wrong, ";"))
}

// normal returns a number in decimal, and anything else as it is.
func normal(s string) string {
	if v, err := strconv.ParseUint(s, 0, 64); err == nil {
		return strconv.FormatUint(v, 10)
	}
	return s
}

// streams are codecs with a dissector, over TCP.
var streams = []string{
	"length:16be", "length:8", "length:varint", "length:varint,prefix=aa~bb,suffix=cc", "channeldata:tcp",
	"tpkt:connected,size=128", "slip", "slip:noflush", "cobs", "cobs:crc=16", "cobs:crc=32", "hdlc",
	"hdlc:fcs=32,accm=ffffffff,header=none", "websocket",
	"desc:magic 16 = 0xd71e; kind 8 client = 1 server = 2; length 16 le len frame; payload; check 32 crc32c",
}

// TLS is found in frames over TCP, whole records in the right order, however frames and segments cut them.
func TestTLS(t *testing.T) {
	plain := tsharktest.Handshake(t, tls.VersionTLS12)
	var r rig
	for _, spec := range streams {
		for _, size := range []int{1 << 20, 50} {
			r.add(t, spec, func(port uint16) tsharktest.Capture {
				return tsharktest.Conversation(port, cut(framed(t, spec, plain), size)...)
			})
		}
	}
	for _, p := range r.run(t, func(p part) []string {
		return []string{"tls.handshake.type", "tls.handshake.extensions_server_name", "tls.record.content_type",
			"encase." + p.name + ".frame.wrong", "tcp.analysis.flags"}
	}) {
		// The encrypted Finished messages have no type that can be seen.
		want := []string{"1 2 11 12 14 16", "demo.example", "22 22 22 22 22 22 20 22 20 22 23 23", "", ""}
		if got := column(p.rows); !slices.Equal(got, want) {
			t.Errorf("%s, %d packets: %q, want %q", p.spec, p.to-p.from, got, want)
		}
	}
}

// framed puts messages into frames.
func framed(t testing.TB, spec string, messages []tsharktest.Message) (all []tsharktest.Message) {
	machines := [2]frame.Machine{machine(t, spec, frame.Client), machine(t, spec, frame.Server)}
	for _, m := range messages {
		for _, f := range send(t, machines[m.From], m.Data) {
			all = append(all, tsharktest.Message{From: m.From, Data: f})
		}
	}
	return all
}

func cut(messages []tsharktest.Message, n int) (all []tsharktest.Message) {
	for _, m := range messages {
		for p := range slices.Chunk(m.Data, n) {
			all = append(all, tsharktest.Message{From: m.From, Data: p})
		}
	}
	return all
}

// column joins the values of each column.
func column(rows [][]string) []string {
	all := make([][]string, len(rows[0]))
	for _, row := range rows {
		for i, v := range row {
			if v != "" {
				all[i] = append(all[i], strings.ReplaceAll(v, ";", " "))
			}
		}
	}
	var joined []string
	for _, c := range all {
		joined = append(joined, strings.Join(c, " "))
	}
	return joined
}

// DTLS is found in frames over UDP.
func TestDTLS(t *testing.T) {
	datagrams := datagrams(t, "../inspect/testdata/dtls_openssl.pcap")
	var r rig
	for _, spec := range []string{
		"channeldata:udp", "shim:vxlan,vni=42", "shim:gue", "length:16be", "desc:magic 16 = 0xd71e; payload; check 32 crc32c",
	} {
		r.add(t, spec, func(port uint16) tsharktest.Capture {
			var frames [][]byte
			m := machine(t, spec, frame.Client)
			for _, p := range datagrams {
				frames = append(frames, send(t, m, p)...)
			}
			return tsharktest.UDP(port, frames...)
		})
	}
	for _, p := range r.run(t, func(p part) []string {
		return []string{"dtls.handshake.type", "encase." + p.name + ".frame.wrong"}
	}) {
		got := column(p.rows)
		if !strings.HasPrefix(got[0], "1 3 1 2 11 12 13 14 11 16 15 ") || got[1] != "" {
			t.Errorf("%s: %q", p.spec, got)
		}
	}
}

func datagrams(t *testing.T, file string) (all [][]byte) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for {
		p, _, err := r.ReadPacketData()
		if err != nil {
			return all
		}
		if u, ok := gopacket.NewPacket(p, r.LinkType(), gopacket.Default).TransportLayer().(*layers.UDP); ok {
			all = append(all, u.Payload)
		}
	}
}

// What the protocol has beside its frames goes to those dissectors of Wireshark that know it.
func TestBeside(t *testing.T) {
	hello := tsharktest.Handshake(t, tls.VersionTLS13)[:1]
	binding := append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 12)...)
	connect := []byte{3, 0, 0, 11, 6, 0xe0, 0, 0, 0, 1, 0}
	upgrade := []byte("GET /tunnel HTTP/1.1\r\nHost: x\r\n\r\n")
	cases := []struct {
		spec   string
		first  []byte
		expect string
	}{
		{"channeldata:tcp", binding, "0x0001"},
		{"tpkt:connected", connect, "0x0e"},
		{"websocket", upgrade, "GET /tunnel HTTP/1.1"},
	}
	var r rig
	for _, c := range cases {
		r.add(t, c.spec, func(port uint16) tsharktest.Capture {
			first := tsharktest.Message{From: frame.Client, Data: c.first}
			return tsharktest.Conversation(port, slices.Insert(framed(t, c.spec, hello), 0, first)...)
		})
	}
	for i, p := range r.run(t, func(p part) []string {
		return []string{"stun.type", "cotp.type", "encase.test2.upgrade", "tls.handshake.type",
			"encase." + p.name + ".frame.wrong"}
	}) {
		want := make([]string, 5)
		want[i], want[3] = cases[i].expect, "1"
		if got := column(p.rows); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", p.spec, got, want)
		}
	}
}

// Bytes that are escaped, masked or cut into blocks come out as they were, and so does what a line has put in.
func TestEscapes(t *testing.T) {
	body := append(bytes.Repeat([]byte{0x55}, 600), 0xc0, 0xdb, 0x7e, 0x7d, 0, 0, 0x11, 0x13, 0xff)
	body = append(body, bytes.Repeat([]byte{0xaa}, 254)...)
	record := append([]byte{23, 3, 3, byte(len(body) >> 8), byte(len(body))}, body...)
	specs := []string{"cobs", "cobs:crc=32", "slip", "hdlc", "hdlc:accm=000a0000,fcs=32", "websocket"}
	var r rig
	for _, spec := range specs {
		r.add(t, spec, func(port uint16) tsharktest.Capture {
			message := tsharktest.Message{From: frame.Client, Data: send(t, machine(t, spec, frame.Client), record)[0]}
			if strings.Contains(spec, "accm") {
				message.Data = slices.Insert(message.Data, 100, 0x11, 0x13) // XON and XOFF, from a modem
			}
			return tsharktest.Conversation(port, message)
		})
	}
	for _, p := range r.run(t, func(p part) []string { return []string{"tls.app_data", "encase." + p.name + ".frame.wrong"} }) {
		if got := column(p.rows); got[0] != hex.EncodeToString(body) || got[1] != "" {
			t.Errorf("%s: %.100s, %s", p.spec, got[0], got[1])
		}
	}
}

// A frame that a reader refuses is marked, with the reason.
func TestWrong(t *testing.T) {
	cases := []struct{ spec, hex, want string }{
		{"length:varint,prefix=aa", "ab0161", "a constant byte of the header is wrong"},
		{"length:varint", "810061", "the varint is longer than it needs to be, or does not end"},
		{"cobs:crc=16", "0568656c6c00", "fcs: must be "},
		{"cobs", "09616200", "the last block is cut short"},
		{"slip", "c061db62c0", "an escape means nothing"},
		{"hdlc", "7eff0361626364657e", "fcs: must be "},
		{"websocket", "f20161", "rsv: must be 0"},
	}
	var r rig
	for _, c := range cases {
		p, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		r.add(t, c.spec, func(port uint16) tsharktest.Capture {
			return tsharktest.Conversation(port, tsharktest.Message{From: frame.Server, Data: p})
		})
	}
	for i, p := range r.run(t, func(p part) []string { return []string{"encase." + p.name + ".frame.wrong"} }) {
		if got := column(p.rows)[0]; !strings.HasPrefix(got, cases[i].want) {
			t.Errorf("%s: %s: %q, want %q", p.spec, cases[i].hex, got, cases[i].want)
		}
	}
}
