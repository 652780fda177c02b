package inspect_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/encase-tls/encase/codecs"
	_ "github.com/encase-tls/encase/codecs/all"
	"github.com/encase-tls/encase/codecs/inspect"
	"github.com/encase-tls/encase/codecs/tsharktest"
	"github.com/encase-tls/encase/frame"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	os.Exit(m.Run())
}

// A result is what an inspection has told.
type result struct {
	events []inspect.Event
	sum    inspect.Summary
}

func options(t testing.TB, spec string) inspect.Options {
	t.Helper()
	mk, err := codecs.Parse(spec)
	if err != nil {
		t.Fatal(err)
	}
	d, err := inspect.Describe(spec)
	if err != nil {
		t.Fatal(err)
	}
	return inspect.Options{Spec: spec, Maker: mk, Carriers: codecs.Stream | codecs.Datagram, Description: d}
}

func run(t testing.TB, o inspect.Options, capture []byte) (r result) {
	t.Helper()
	var err error
	r.sum, err = inspect.Inspect(bytes.NewReader(capture), o, func(e inspect.Event) error {
		r.events = append(r.events, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// kinds returns the events without connections, one word each, those that repeat once.
func (r result) kinds() string {
	var kinds []string
	for _, e := range r.events {
		if e.Kind != inspect.Connection {
			kinds = append(kinds, e.From[:1]+":"+string(e.Kind))
		}
	}
	return strings.Join(slices.Compact(kinds), " ")
}

// handshake returns the messages in the clear, with what they tell.
func (r result) handshake() string {
	var all []string
	for _, e := range r.events {
		for _, rec := range e.Records {
			for _, m := range rec.Messages {
				all = append(all, strings.TrimSpace(m.Type+" "+m.ServerName+m.Version))
			}
		}
	}
	return strings.Join(all, ", ")
}

// payload returns how many bytes of TLS each end has sent.
func (r result) payload() (n [2]int) {
	for _, e := range r.events {
		if e.From == "server" {
			n[frame.Server] += e.Payload
		} else {
			n[frame.Client] += e.Payload
		}
	}
	return n
}

// frames puts messages into frames of a codec.
func frames(t testing.TB, spec string, messages []tsharktest.Message) []tsharktest.Message {
	t.Helper()
	var framed []tsharktest.Message
	var machines [2]frame.Machine
	for role := range machines {
		m, err := options(t, spec).Maker(frame.Role(role))
		if err != nil {
			t.Fatal(err)
		}
		machines[role] = m
	}
	for _, msg := range messages {
		m := machines[msg.From]
		l := m.Limits()
		for p := range slices.Chunk(msg.Data, min(l.Max, 1<<14)) {
			ev, err := m.Send(nil, frame.NewBuf(l.Head, p, l.Tail), true)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range ev {
				framed = append(framed, tsharktest.Message{From: msg.From, Data: bytes.Clone(e.Buf.Bytes())})
			}
		}
	}
	return framed
}

// cut cuts what each end says into segments of n bytes.
func cut(messages []tsharktest.Message, n int) (all []tsharktest.Message) {
	for _, m := range messages {
		for p := range slices.Chunk(m.Data, n) {
			all = append(all, tsharktest.Message{From: m.From, Data: p})
		}
	}
	return all
}

const (
	hello13 = "ClientHello demo.example, ServerHello TLS 1.3"
	hello12 = "ClientHello demo.example, ServerHello TLS 1.2, Certificate, ServerKeyExchange, ServerHelloDone, " +
		"ClientKeyExchange"
	vendor = "desc:magic 16 = 0xd71e; kind 8 client = 1 server = 2; seq 8 count; length 16 le len frame; payload; " +
		"check 32 crc32c"
)

// Whatever the codec and the segments, all of TLS is found, and nothing is wrong.
func TestHandshakeInFrames(t *testing.T) {
	for version, want := range map[uint16]string{tls.VersionTLS13: hello13, tls.VersionTLS12: hello12} {
		plain := tsharktest.Handshake(t, version)
		for _, spec := range []string{
			"length:16be", "length:8", "length:varint", vendor, "cobs:crc=16", "slip", "hdlc", "tpkt:connected,size=128",
		} {
			framed := frames(t, spec, plain)
			for _, size := range []int{1 << 20, 100, 1} {
				r := run(t, options(t, spec), tsharktest.Conversation(4433, cut(framed, size)...).File())
				if r.handshake() != want || r.sum.Errors != 0 || r.sum.Frames != len(framed) || r.sum.Connections != 1 {
					t.Errorf("%s in segments of %d: %q, %+v", spec, size, r.handshake(), r.sum)
				}
				var sent [2]int
				for _, m := range plain {
					sent[m.From] += len(m.Data)
				}
				if r.payload() != sent {
					t.Errorf("%s in segments of %d: %v bytes of TLS, want %v", spec, size, r.payload(), sent)
				}
			}
		}
	}
}

func TestFields(t *testing.T) {
	r := run(t, options(t, vendor), tsharktest.Conversation(4433, frames(t, vendor, tsharktest.Handshake(t,
		tls.VersionTLS13))...).File())
	e := r.events[1]
	var got []string
	for _, f := range e.Fields {
		got = append(got, fmt.Sprintf("%s@%d=%#x%s", f.Name, f.At, f.Value, f.Wrong))
	}
	n := e.Payload
	want := fmt.Sprintf("magic@0=0xd71e kind@16=0x1 seq@24=0x0 length@32=%#x payload@48=%#x check@%d=%#x", n+10, n, 48+8*n,
		binary.BigEndian.Uint32(e.Bytes[6+n:]))
	if s := strings.Join(got, " "); s != want || e.Length != n+10 || e.Frame != 1 || e.From != "client" {
		t.Errorf("%s, want %s; %+v", s, want, e)
	}
}

// Captures of other programs.
func TestRealCaptures(t *testing.T) {
	for _, c := range []struct {
		file, spec string
		port       uint16
		want       string
	}{
		{"websocket", "websocket", 0, "ClientHello, ServerHello TLS 1.3"},
		{"postgres", "raw", 15432, strings.Repeat("ClientHello localhost, ServerHello TLS 1.3, ", 2)},
		{"dtls_openssl", "raw", 0, "ClientHello, HelloVerifyRequest, ClientHello, ServerHello DTLS 1.2, Certificate, "},
		{"turn_dtls-tcp", "channeldata:tcp", 13478, "ClientHello, HelloVerifyRequest, ClientHello, ServerHello DTLS 1.2, "},
		{"tds_tsql-big", "tds", 0, "ClientHello, ServerHello TLS 1.2, Certificate, ServerKeyExchange, "},
		{"openvpn-udp-none", "openvpn", 0, "ClientHello, ServerHello TLS 1.3"},
		{"openvpn-tcp-none", "openvpn:tcp", 0, "ClientHello, ServerHello TLS 1.3"},
		{"eap_radius-tls-1.2-frag400", radius(t), 0, "ClientHello, ServerHello TLS 1.2, Certificate, ServerKeyExchange, "},
	} {
		p, err := os.ReadFile("testdata/" + c.file + ".pcap")
		if err != nil {
			t.Fatal(err)
		}
		o := options(t, c.spec)
		o.Port = c.port
		r := run(t, o, p)
		if !strings.HasPrefix(r.handshake(), c.want) || r.sum.Errors != 0 {
			t.Errorf("%s: %s, %+v", c.file, r.handshake(), r.sum)
		}
	}
}

// radius returns a spec of RADIUS: the codec wants a secret, although an inspection does without.
func radius(t *testing.T) string {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("testing123\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return "radius:secret-file=" + file
}

// payloads returns those of the datagrams in a capture that come from the client, which sends the first.
func payloads(t *testing.T, file string) (all [][]byte) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var client layers.UDPPort
	for {
		p, _, err := r.ReadPacketData()
		if err != nil {
			return all
		}
		u := gopacket.NewPacket(p, r.LinkType(), gopacket.Default).TransportLayer().(*layers.UDP)
		if client == 0 {
			client = u.SrcPort
		}
		if u.SrcPort == client {
			all = append(all, bytes.Clone(u.Payload))
		}
	}
}

// Protocols with sessions of their own are read in order, and what comes again is told.
func TestObservers(t *testing.T) {
	vpn := payloads(t, "testdata/openvpn-udp-none.pcap") // reset, ClientHello, ack, two with a flight, ..
	eap := payloads(t, "testdata/eap_radius-tls-1.2-frag400.pcap")
	for _, c := range []struct {
		name, spec string
		datagrams  [][]byte
		again      int
		records    int
	}{
		{"in order", "openvpn", vpn[:5], 0, 6},
		{"exchanged", "openvpn", [][]byte{vpn[0], vpn[1], vpn[4], vpn[3]}, 0, 6},
		{"again", "openvpn", [][]byte{vpn[0], vpn[0], vpn[1], vpn[1]}, 2, 1},
		{"cut", "openvpn", [][]byte{vpn[0][:9], vpn[1][:12]}, 0, 0},
		{"again in RADIUS", radius(t), [][]byte{eap[0], eap[1], eap[1]}, 1, 1},
		{"cut in RADIUS", radius(t), [][]byte{eap[1][:100], {1, 2, 0, 19}, nil}, 0, 0},
	} {
		r := run(t, options(t, c.spec), tsharktest.UDP(1194, c.datagrams...).File())
		wrong := 0
		if c.records == 0 {
			wrong = len(c.datagrams)
		}
		if r.sum.Retransmissions != c.again || r.sum.Records != c.records || r.sum.Errors != wrong {
			t.Errorf("%s: %+v", c.name, r.sum)
		}
	}
}

// What the network does to packets is told apart from what the ends do.
func TestTrouble(t *testing.T) {
	framed := frames(t, "length:16be", tsharktest.Handshake(t, tls.VersionTLS13))
	o := options(t, "length:16be")
	capture := func(change func(packets [][]byte) [][]byte) []byte {
		c := tsharktest.Conversation(4433, cut(framed, 64)...)
		c.Packets = change(c.Packets)
		return c.File()
	}
	t.Run("duplicate", func(t *testing.T) {
		r := run(t, o, capture(func(p [][]byte) [][]byte { return slices.Insert(p, 6, p[4], p[5]) }))
		if r.handshake() != hello13 || r.sum.Retransmissions != 2 || r.sum.Errors != 0 {
			t.Errorf("%s, %+v", r.handshake(), r.sum)
		}
	})
	t.Run("out of order", func(t *testing.T) {
		r := run(t, o, capture(func(p [][]byte) [][]byte { p[4], p[5] = p[5], p[4]; return p }))
		if r.handshake() != hello13 || r.sum.Retransmissions != 0 || r.sum.Errors != 0 || r.sum.LostBytes != 0 {
			t.Errorf("%s, %+v", r.handshake(), r.sum)
		}
	})
	t.Run("lost", func(t *testing.T) {
		r := run(t, o, capture(func(p [][]byte) [][]byte { return slices.Delete(p, 4, 5) }))
		if r.sum.LostBytes != 64 || r.sum.Errors != 0 || !strings.Contains(r.kinds(), "c:lost c:skipped c:frame") {
			t.Errorf("%s, %+v", r.kinds(), r.sum)
		}
	})
	t.Run("no start", func(t *testing.T) {
		o := o
		o.Port = 4433
		r := run(t, o, capture(func(p [][]byte) [][]byte { return p[3:] }))
		if r.handshake() != hello13 || r.sum.Errors != 0 || r.events[0].Target != "192.0.2.2:4433" {
			t.Errorf("%s, %+v, %+v", r.handshake(), r.sum, r.events[0])
		}
	})
}

// Bytes that are no frame are reported, and the next frame with TLS is found.
func TestMalformed(t *testing.T) {
	framed := frames(t, vendor, tsharktest.Handshake(t, tls.VersionTLS13))
	bent := bytes.Clone(framed[0].Data)
	bent[len(bent)-1]++ // the checksum
	noise := tsharktest.Message{From: frame.Client, Data: []byte(strings.Repeat("noise ", 20))}
	for _, c := range []struct {
		name string
		msgs []tsharktest.Message
		want string
		errs int
	}{
		{"bent", append([]tsharktest.Message{{From: frame.Client, Data: bent}}, framed...), "c:malformed c:frame", 1},
		{"noise", append([]tsharktest.Message{noise}, framed...), "c:malformed c:skipped c:frame", 1},
		{"cut", []tsharktest.Message{{From: frame.Client, Data: bent[:20]}}, "c:malformed", 1},
		{"noise between, and pieces", append(append(framed[:1:1], noise), cut(framed, 50)...),
			"c:frame c:malformed c:skipped c:frame s:frame", 1},
		{"only noise", []tsharktest.Message{noise}, "c:malformed c:skipped", 1},
	} {
		r := run(t, options(t, vendor), tsharktest.Conversation(4433, c.msgs...).File())
		if !strings.HasPrefix(r.kinds(), c.want) || r.sum.Errors != c.errs {
			t.Errorf("%s: %s, %+v", c.name, r.kinds(), r.sum)
		}
		if strings.HasSuffix(c.want, "frame") && !strings.HasSuffix(r.handshake(), hello13) {
			t.Errorf("%s: %s", c.name, r.handshake())
		}
	}
}

// A frame that is announced and does not come takes no memory, and noise without end is given up.
func TestBounds(t *testing.T) {
	huge := tsharktest.Message{From: frame.Client, Data: []byte{0x7f, 0xff, 0, 0, 22, 3, 1}}
	r := run(t, options(t, "length:32be"), tsharktest.Conversation(4433, huge).File())
	if r.kinds() != "c:malformed c:skipped" {
		t.Errorf("announced: %s", r.kinds())
	}
	noise := tsharktest.Message{From: frame.Client, Data: bytes.Repeat([]byte{0xff}, 1100<<10)}
	copy(noise.Data[100:], bytes.Repeat([]byte{0x0f}, 1100<<10)) // what announces frames that are not too long
	r = run(t, options(t, "length:24be"), tsharktest.Conversation(4433, cut([]tsharktest.Message{noise}, 60000)...).File())
	if last := r.events[len(r.events)-1]; !strings.Contains(last.Message, "megabyte") || len(r.events) > 5 {
		t.Errorf("noise: %s, %s", r.kinds(), last.Message)
	}
}

// Handshake messages of DTLS that come again are told, and so is a datagram that is no frame.
func TestDatagrams(t *testing.T) {
	hello := append([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12 + 5}, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 5)
	hello = append(hello, 0xfe, 0xfd, 1, 2, 3) // no complete ClientHello, but a message
	hello[13] = 12                             // ServerKeyExchange: it is not read
	framed := append([]byte{0x40, 0, 0, byte(len(hello))}, hello...)
	r := run(t, options(t, "channeldata:udp"), tsharktest.UDP(3478, framed, framed, []byte{0x40, 0, 1, 0}).File())
	if r.kinds() != "c:frame c:malformed" || r.sum.Retransmissions != 1 || r.sum.Errors != 1 {
		t.Errorf("%s, %+v", r.kinds(), r.sum)
	}
}

// A port and a kind of carrier choose what is looked at.
func TestChoice(t *testing.T) {
	capture := tsharktest.UDP(3478, []byte{22, 0xfe, 0xfd}).File()
	for _, c := range []struct {
		port     uint16
		carriers codecs.Carriers
		want     int
	}{{0, codecs.Datagram, 0}, {3478, codecs.Datagram, 0}, {3479, codecs.Datagram, 1}, {3478, codecs.Stream, 1}} {
		o := options(t, "raw")
		o.Port, o.Carriers = c.port, c.carriers
		if r := run(t, o, capture); r.sum.Ignored != c.want || r.sum.Packets != 1 {
			t.Errorf("port %d, %v: %+v", c.port, c.carriers, r.sum)
		}
	}
}

func TestFormats(t *testing.T) {
	capture := tsharktest.Conversation(4433, frames(t, "length:16be", tsharktest.Handshake(t, tls.VersionTLS13))...)
	var ng bytes.Buffer
	w, err := pcapgo.NewNgWriter(&ng, layers.LinkTypeRaw)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range capture.Packets {
		if err := w.WritePacket(gopacket.CaptureInfo{CaptureLength: len(p), Length: len(p)}, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if r := run(t, options(t, "length:16be"), ng.Bytes()); r.handshake() != hello13 {
		t.Errorf("pcapng: %s", r.handshake())
	}
	file := capture.File()
	if r := run(t, options(t, "length:16be"), file[:len(file)-3]); !r.sum.Truncated || r.handshake() != hello13 {
		t.Errorf("cut short: %+v", r.sum)
	}
	for _, bad := range []string{"", "no capture at all, this", "\x0a\x0d\x0d\x0a"} {
		_, err := inspect.Inspect(strings.NewReader(bad), options(t, "raw"), nil)
		if err == nil || !strings.Contains(err.Error(), "no capture") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// The error of report ends an inspection at once.
func TestReportFails(t *testing.T) {
	stop := fmt.Errorf("enough")
	calls := 0
	_, err := inspect.Inspect(bytes.NewReader(tsharktest.UDP(1, []byte{1}, []byte{2}).File()), options(t, "raw"),
		func(inspect.Event) error { calls++; return stop })
	if err != stop || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

// Nothing in a capture makes an inspection panic or go on for ever.
func FuzzInspect(f *testing.F) {
	specs := []string{"length:16be", "websocket", "cobs", "channeldata:tcp", "raw", vendor, "openvpn", "eap"}
	hello := tsharktest.Handshake(f, tls.VersionTLS13)[:1] // short, for the fuzzer works on all of it
	for i, spec := range specs {
		if spec == "openvpn" || spec == "eap" {
			control, request := append([]byte{0x20}, make([]byte, 14)...), []byte{1, 1, 0, 7, 13, 0, 22}
			f.Add(byte(i), tsharktest.UDP(1194, control, request).File())
			continue
		}
		f.Add(byte(i), tsharktest.Conversation(4433, frames(f, spec, hello)...).File())
	}
	var all []inspect.Options
	for _, spec := range specs {
		all = append(all, options(f, spec))
	}
	f.Fuzz(func(t *testing.T, which byte, capture []byte) {
		inspect.Inspect(bytes.NewReader(capture), all[int(which)%len(all)], func(inspect.Event) error { return nil })
	})
}
