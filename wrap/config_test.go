package wrap_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

func TestConnectionState(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client, server := wrapConfigs(t, "length:16be")
		client.TLS.MaxVersion = version
		client.TLS.NextProtos, server.TLS.NextProtos = []string{"x/1", "y/2"}, []string{"y/2"}
		a, b := net.Pipe()
		c, s := connect(t, a, b, client, server)
		if before := c.ConnectionState(); before.HandshakeComplete || before.Version != 0 {
			t.Errorf("before the handshake: %+v", before)
		}
		shake(t, c, s)
		var keys [2][]byte
		for i, conn := range []*wrap.Conn{c, s} {
			cs := conn.ConnectionState()
			if !cs.HandshakeComplete || cs.Version != version {
				t.Errorf("end %d: %+v", i, cs)
			}
			if cs.NegotiatedProtocol != "y/2" || cs.ServerName != "server.test" {
				t.Errorf("end %d: protocol %q, name %q", i, cs.NegotiatedProtocol, cs.ServerName)
			}
			var err error
			if keys[i], err = cs.ExportKeyingMaterial("EXPERIMENTAL test", nil, 32); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(keys[0], keys[1]) {
			t.Error("the ends export different keys")
		}
		if leaf := c.ConnectionState().PeerCertificates[0]; !leaf.Equal(testCredentials(t).server.Leaf) {
			t.Errorf("the client sees the certificate of %v", leaf.Subject)
		}
	}
}

// TestChoose lets a server take its time to choose a certificate by the name that the client asks for.
func TestChoose(t *testing.T) {
	other, err := testCredentials(t).ca.Issue("other.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, codec := range []string{"", "length:16be,max=50"} { // a ClientHello in one piece, and in many
		client, server := wrapConfigs(t, codec)
		var asked string
		server.Choose = func(_ context.Context, hello *tls.ClientHelloInfo) (*tls.Config, error) {
			asked = hello.ServerName
			time.Sleep(20 * time.Millisecond)
			return &tls.Config{Certificates: []tls.Certificate{other}}, nil
		}
		client.TLS.ServerName = "other.test"
		a, b := net.Pipe()
		c, s := connect(t, a, b, client, server)
		shake(t, c, s)
		exchange(t, c, s)
		if asked != "other.test" {
			t.Errorf("Choose was asked for %q", asked)
		}
	}
}

// TestChooseRefuses refuses a client, with an error, with nothing, and by taking too long.
func TestChooseRefuses(t *testing.T) {
	unknown := errors.New("no such tenant")
	for name, choose := range map[string]func(context.Context) (*tls.Config, error){
		"error":   func(context.Context) (*tls.Config, error) { return nil, unknown },
		"nothing": func(context.Context) (*tls.Config, error) { return nil, nil },
		"slow":    func(ctx context.Context) (*tls.Config, error) { <-ctx.Done(); return nil, context.Cause(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			client, server := wrapConfigs(t, "length:16be")
			if name == "slow" {
				server.HandshakeTimeout = time.Second
			}
			server.Choose = func(ctx context.Context, _ *tls.ClientHelloInfo) (*tls.Config, error) { return choose(ctx) }
			a, b := tcpPair(t)
			c, s := connect(t, b, a, client, server)
			cerr, serr := shakeResults(c, s)
			switch name {
			case "slow":
				wantErr(t, "client", cerr, bio.ErrTruncated)
			case "error":
				wantErr(t, "server", serr, unknown)
				fallthrough
			default:
				wantAlert(t, "client", cerr, false)
				wantAlert(t, "server", serr, true)
			}
		})
	}
}

// TestChooseHoldsBack gives a server more behind the ClientHello, in the same frame, while it chooses.
func TestChooseHoldsBack(t *testing.T) {
	client, server := wrapConfigs(t, "length:16be")
	inner := server.Codec
	server.Codec = func(role frame.Role) (frame.Machine, error) {
		m, err := inner(role)
		return &halves{Machine: m, Delimiter: m.(frame.Delimiter)}, err
	}
	server.Choose = func(context.Context, *tls.ClientHelloInfo) (*tls.Config, error) {
		time.Sleep(20 * time.Millisecond)
		return server.TLS, nil
	}
	a, b := bio.Pair(0)
	s := wrap.Server(wrap.Stream(b), server)
	defer s.Close()
	peer := newHandPeer(t, a, client.TLS)
	hello, _ := peer.eng.Flush(nil, 0)
	peer.send(append(hello, bytes.Repeat([]byte{23, 3, 3, 0, 0}, len(hello)/5+1)...)) // empty records of data, too early
	start := time.Now()
	if err := s.Handshake(); err == nil || time.Since(start) > 5*time.Second {
		t.Errorf("Handshake: %v after %v", err, time.Since(start))
	}
}

// halves is a Machine that hands on the payload of each frame in two parts.
type halves struct {
	frame.Machine
	frame.Delimiter
}

func (h *halves) Recv(ev []frame.Event, b *frame.Buf) ([]frame.Event, error) {
	ev, err := h.Machine.Recv(ev, b)
	if err != nil || len(ev) == 0 {
		return ev, err
	}
	whole := ev[0].Buf.Bytes()
	half := len(whole) / 2
	return append(ev[:0], frame.Event{Kind: frame.In, Buf: frame.NewBuf(0, whole[:half], 0)},
		frame.Event{Kind: frame.In, Buf: frame.NewBuf(0, whole[half:], 0)}), nil
}

// TestResumption connects twice through a Dialer: the second time the session of the first goes on.
func TestResumption(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client, server := wrapConfigs(t, "length:16be")
		client.TLS.MaxVersion = version
		client.TLS.ServerName = "" // the Dialer's part
		client.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(10)
		l, err := wrap.Listen("tcp", "127.0.0.1:0", server)
		if err != nil {
			t.Fatal(err)
		}
		var served sync.WaitGroup
		served.Go(func() { serveEcho(l) })
		for i := range 2 {
			dialer := wrap.Dialer{Config: client}
			conn, err := dialer.DialContext(context.Background(), "tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(conn, "hello")
			expect(t, conn, "hello") // and with it the ticket
			if resumed := conn.(*wrap.Conn).ConnectionState().DidResume; resumed != (i > 0) {
				t.Errorf("%s, connection %d: DidResume is %v", tls.VersionName(version), i, resumed)
			}
			conn.Close()
		}
		l.Close()
		served.Wait()
	}
}

func serveEcho(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		io.Copy(conn, struct{ io.Reader }{conn})
		conn.Close()
	}
}

// TestDialerErrors says what is wrong before a connection is made, and closes it when the handshake fails.
func TestDialerErrors(t *testing.T) {
	client, _ := wrapConfigs(t, "")
	for _, d := range []wrap.Dialer{{}, {Config: &wrap.Config{}}} {
		if _, err := d.DialContext(context.Background(), "tcp", "127.0.0.1:1"); err == nil {
			t.Error("a Dialer without a configuration has dialed")
		}
	}
	client.TLS.ServerName = ""
	if _, err := (&wrap.Dialer{Config: client}).DialContext(context.Background(), "unix", "/nowhere"); err == nil {
		t.Error("a Dialer without a server name has dialed")
	}
	a, b := net.Pipe()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	d := wrap.Dialer{Config: client, Dial: func(context.Context, string, string) (net.Conn, error) { return a, nil }}
	go io.Copy(io.Discard, b)
	_, err := d.DialContext(ctx, "tcp", "server.test:1")
	wantErr(t, "DialContext", err, context.DeadlineExceeded)
	if _, err := a.Write([]byte("x")); err != io.ErrClosedPipe {
		t.Errorf("the connection is not closed: %v", err)
	}
}

// TestTLSLimiter has a codec that does not bear all of TLS; a Config serves both roles.
func TestTLSLimiter(t *testing.T) {
	client, server := wrapConfigs(t, "length:16be")
	inner := server.Codec
	both := client.Clone()
	both.TLS.Certificates = server.TLS.Certificates
	both.Codec = func(role frame.Role) (frame.Machine, error) {
		m, err := inner(role)
		return &limiting{m, m.(frame.Delimiter)}, err
	}
	a, b := net.Pipe()
	c, s := connect(t, a, b, both, both)
	shake(t, c, s)
	cs := c.ConnectionState()
	if cs.Version != tls.VersionTLS12 || cs.NegotiatedProtocol != "for-server" {
		t.Errorf("%s, protocol %q", tls.VersionName(cs.Version), cs.NegotiatedProtocol)
	}
	if both.TLS.MaxVersion != 0 {
		t.Error("LimitTLS has changed the user's configuration")
	}
}

// TestTLSLimiterAndChoice limits what a server chooses for a client, in each of the two ways.
func TestTLSLimiterAndChoice(t *testing.T) {
	for _, late := range []bool{false, true} {
		client, server := wrapConfigs(t, "length:16be")
		inner := server.Codec
		server.Codec = func(role frame.Role) (frame.Machine, error) {
			m, err := inner(role)
			return &limiting{m, m.(frame.Delimiter)}, err
		}
		chosen := server.TLS
		if late {
			server.Choose = func(context.Context, *tls.ClientHelloInfo) (*tls.Config, error) { return chosen, nil }
		} else {
			server.TLS = &tls.Config{
				GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return chosen, nil },
			}
		}
		a, b := net.Pipe()
		c, s := connect(t, a, b, client, server)
		shake(t, c, s)
		if v := c.ConnectionState().Version; v != tls.VersionTLS12 || chosen.MaxVersion != 0 {
			t.Errorf("late: %t: %s, and in the configuration %s", late, tls.VersionName(v), tls.VersionName(chosen.MaxVersion))
		}
	}
}

type limiting struct {
	frame.Machine
	frame.Delimiter
}

func (*limiting) LimitTLS(cfg *tls.Config, role frame.Role) {
	cfg.MaxVersion = tls.VersionTLS12
	cfg.NextProtos = []string{"for-server"}
	if role == frame.Client {
		cfg.NextProtos = []string{"for-client", "for-server"}
	}
}

// TestRecordsFitFrames looks at each frame: none is longer than the codec allows, and each of application data holds
// one record, exactly.
func TestRecordsFitFrames(t *testing.T) {
	for _, test := range []struct {
		codec            string
		header, max      int // of the codec
		maxRecord, plain int // Config.MaxRecord, and what follows for the data in a record
	}{
		{"length:16be", 2, 65535, 0, bio.MaxPlaintext},
		{"length:16be", 2, 65535, 1000, 1000},
		{"length:16be,max=100", 2, 100, 0, 100 - 22},
		{"length:8", 1, 255, 0, 255 - 22},
		{"length:16be,max=16", 2, 16, 0, 1}, // less than the overhead: records are cut
	} {
		t.Run(fmt.Sprintf("%s/%d", test.codec, test.maxRecord), func(t *testing.T) {
			client, server := wrapConfigs(t, test.codec)
			client.MaxRecord = test.maxRecord
			var mu sync.Mutex
			var records [][]byte
			open := false
			client.Trace = func(tr wrap.Trace) {
				mu.Lock()
				defer mu.Unlock()
				if len(tr.Frame) > test.header+test.max || len(tr.Frame) != test.header+len(tr.TLS) {
					t.Errorf("a frame of %d bytes holds %d of TLS", len(tr.Frame), len(tr.TLS))
				}
				if tr.Sent && open {
					records = append(records, bytes.Clone(tr.TLS))
				}
			}
			a, b := net.Pipe()
			c, s := connect(t, a, b, client, server)
			shake(t, c, s)
			mu.Lock()
			open = true
			mu.Unlock()
			data := noise(3*test.plain, 7)
			go c.Write(data)
			got := make([]byte, len(data))
			if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, data) {
				t.Fatalf("ReadFull: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if test.max < 23 {
				return // a record does not fit at all
			}
			if len(records) != 3 {
				t.Errorf("%d records, want 3", len(records))
			}
			for _, r := range records {
				if want := 5 + int(r[3])<<8 + int(r[4]); r[0] != 23 || len(r) != want {
					t.Errorf("a frame of %d bytes of TLS, the record in it has %d", len(r), want)
				}
			}
		})
	}
}

// TestMaxFrame sets a limit below the default: longer frames are refused, and TLS without framing has its own limit.
func TestMaxFrame(t *testing.T) {
	for codec, refused := range map[string]bool{"length:16be": true, "": false} {
		client, server := wrapConfigs(t, codec)
		server.MaxFrame = 4000
		a, b := tcpPair(t)
		c, s := connect(t, b, a, client, server)
		shake(t, c, s)
		if _, err := c.Write(make([]byte, 10000)); err != nil {
			t.Fatal(err)
		}
		_, err := s.Read(make([]byte, 10000))
		if refused != errors.Is(err, frame.ErrMalformed) || refused != (s.Stats().Malformed == 1) {
			t.Errorf("codec %q: %v, %+v", codec, err, s.Stats())
		}
	}
}

// TestStats counts what an exchange has cost, on both sides.
func TestStats(t *testing.T) {
	client, server := wrapConfigs(t, "length:16be")
	a, b := net.Pipe()
	c, s := connect(t, a, b, client, server)
	shake(t, c, s)
	send(t, c, s, "four")
	before := c.Stats()
	send(t, s, c, "ack")
	send(t, c, s, "1234567890")
	cs, ss := c.Stats(), s.Stats()
	if wire, frames := cs.WireOut-before.WireOut, cs.FramesOut-before.FramesOut; wire != 2+10+22 || frames != 1 {
		t.Errorf("10 bytes of data cost %d in %d frames", wire, frames)
	}
	if cs.PlainOut != 14 || cs.PlainIn != 3 {
		t.Errorf("client: %+v", cs)
	}
	if ss.FramesIn != cs.FramesOut || ss.WireIn != cs.WireOut || ss.PlainIn != cs.PlainOut || ss.PlainOut != cs.PlainIn {
		t.Errorf("the ends disagree: %+v, %+v", cs, ss)
	}
	if cs.FramesIn != ss.FramesOut || cs.WireIn != ss.WireOut || cs.Malformed+ss.Malformed != 0 {
		t.Errorf("the ends disagree: %+v, %+v", cs, ss)
	}
}
