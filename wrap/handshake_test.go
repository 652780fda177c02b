package wrap_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// TestSlowPeer sends a byte a second, so that no deadline on a single read would ever pass.
func TestSlowPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, server := wrapConfigs(t, "length:16be")
		a, b := net.Pipe()
		s := wrap.Server(wrap.Stream(b), server)
		var drips sync.WaitGroup
		defer drips.Wait()
		defer s.Close()
		drips.Go(func() {
			hello := append([]byte{1, 5, 22, 3, 1, 1, 0}, make([]byte, 300)...)
			for i := range hello {
				time.Sleep(time.Second)
				if _, err := a.Write(hello[i : i+1]); err != nil {
					return
				}
			}
		})
		start := time.Now()
		wantErr(t, "Handshake", s.Handshake(), os.ErrDeadlineExceeded)
		if took := time.Since(start); took != wrap.DefaultHandshakeTimeout {
			t.Errorf("that took %v", took)
		}
		if _, err := a.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the carrier is not closed: %v", err)
		}
	})
}

// TestDeafPeer takes what a client says and answers nothing, or does not even take it.
func TestDeafPeer(t *testing.T) {
	for name, listen := range map[string]bool{"silent": true, "blocked": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, _ := wrapConfigs(t, "")
				client.HandshakeTimeout = time.Second
				a, b := net.Pipe()
				if listen {
					go io.Copy(io.Discard, b)
				}
				c := wrap.Client(wrap.Stream(a), client)
				wantErr(t, "Handshake", c.Handshake(), os.ErrDeadlineExceeded)
				c.Close()
				b.Close()
			})
		})
	}
}

func TestHandshakeContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := wrapConfigs(t, "")
		a, b := net.Pipe()
		go io.Copy(io.Discard, b)
		c := wrap.Client(wrap.Stream(a), client)
		why := errors.New("the user has left")
		ctx, cancel := context.WithCancelCause(context.Background())
		time.AfterFunc(time.Second, func() { cancel(why) })
		wantErr(t, "HandshakeContext", c.HandshakeContext(ctx), why)
		_, err := c.Read(make([]byte, 1))
		wantErr(t, "Read", err, why)
		c.Close()
		b.Close()
	})
}

// TestGarbage sends what is neither a frame nor TLS. The error comes at once and names the peer.
func TestGarbage(t *testing.T) {
	for _, test := range []struct {
		name, codec, bytes string
		want               error
	}{
		{"http to raw", "", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", nil},
		{"an endless record", "", "\x16\x03\x01\xff\xff\x01", nil},
		{"http to a length", "length:32be", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", frame.ErrMalformed},
		{"a wrong prefix", "length:16be,prefix=d7", "\xd8\x00\x00", frame.ErrMalformed},
		{"a long varint", "length:varint", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", frame.ErrMalformed},
		{"a long announcement", "length:32be", "\x7f\xff\xff\xff", frame.ErrMalformed},
		{"no TLS in a frame", "length:16be", "\x00\x05hello", nil},
		{"no upgrade", "websocket", "SSH-2.0-OpenSSH_9.2\r\n\r\n", frame.ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, server := wrapConfigs(t, test.codec)
			a, b := tcpPair(t)
			defer b.Close()
			s := wrap.Server(wrap.Stream(a), server)
			defer s.Close()
			io.WriteString(b, test.bytes)
			start := time.Now()
			err := s.Handshake()
			var header tls.RecordHeaderError
			switch {
			case test.want != nil:
				wantErr(t, "Handshake", err, test.want)
			case !errors.As(err, &header) && !errors.As(err, new(*bio.AlertError)):
				t.Errorf("Handshake: %v", err)
			}
			if took := time.Since(start); took > wrap.DefaultHandshakeTimeout/2 {
				t.Errorf("that took %v", took)
			}
			if test.want != nil && test.codec != "websocket" && s.Stats().Malformed != 1 {
				t.Errorf("Stats: %+v", s.Stats())
			}
		})
	}
}

// TestFrameThatNeverEnds sends a frame whose end never comes: what is taken from the carrier, and kept, is bounded by
// MaxFrame.
func TestFrameThatNeverEnds(t *testing.T) {
	_, server := wrapConfigs(t, "")
	server.Codec = frame.Symmetric(func() frame.Codec { return endlessCodec{} })
	server.MaxFrame = 5000
	a, b := net.Pipe()
	s := wrap.Server(wrap.Stream(b), server)
	go func() { s.Handshake(); s.Close() }()
	taken := 0
	for {
		n, err := a.Write(make([]byte, 100))
		if taken += n; err != nil {
			break
		}
	}
	if taken < 5000 || taken > 3*5000 {
		t.Errorf("%d bytes were taken", taken)
	}
	wantErr(t, "Handshake", s.Handshake(), frame.ErrMalformed)
}

// endlessCodec never finds the end of a frame.
type endlessCodec struct{ datagramCodec }

func (endlessCodec) FrameLen([]byte) (int, error) { return 0, nil }

// TestRefusals lets one end refuse the other: the error on each side says whose doing it was.
func TestRefusals(t *testing.T) {
	stranger, err := ephemeral.New("nobody's CA")
	if err != nil {
		t.Fatal(err)
	}
	strange, err := stranger.Issue("client.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name     string
		edit     func(client, server *tls.Config)
		byClient bool // the client refuses the server, else the other way round
		wrapped  any
	}{
		{"unknown authority", func(c, _ *tls.Config) {
			c.RootCAs = stranger.Pool()
		}, true, new(*tls.CertificateVerificationError)},
		{"wrong name", func(c, _ *tls.Config) { c.ServerName = "other.test" }, true, new(x509.HostnameError)},
		{"no client certificate", func(_, s *tls.Config) { s.ClientAuth = tls.RequireAndVerifyClientCert }, false, nil},
		{"strange client certificate", func(c, s *tls.Config) {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &strange, nil }
			s.ClientAuth, s.ClientCAs = tls.RequireAndVerifyClientCert, c.RootCAs
		}, false, new(*tls.CertificateVerificationError)},
		{"no common protocol", func(c, s *tls.Config) {
			c.NextProtos, s.NextProtos = []string{"a"}, []string{"b"}
		}, false, nil},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			for _, codec := range []string{"", "length:16be"} {
				t.Run(test.name+"/"+tls.VersionName(version)+"/codec="+codec, func(t *testing.T) {
					client, server := wrapConfigs(t, codec)
					client.TLS.MaxVersion = version
					test.edit(client.TLS, server.TLS)
					a, b := tcpPair(t)
					c, s := connect(t, a, b, client, server)
					cerr, serr := shakeResults(c, s)
					wantAlert(t, "client", cerr, test.byClient)
					wantAlert(t, "server", serr, !test.byClient)
					refuser := serr
					if test.byClient {
						refuser = cerr
					}
					if test.wrapped != nil && !errors.As(refuser, test.wrapped) {
						t.Errorf("%v, want one that wraps %T", refuser, test.wrapped)
					}
				})
			}
		}
	}
}

// TestBadConfigs uses configurations that cannot work: the first call says so, and none panics or hangs.
func TestBadConfigs(t *testing.T) {
	good, _ := configs(t)
	tiny := func(frame.Role) (frame.Machine, error) {
		return frame.Pair(tinyCodec{}, tinyCodec{}), nil
	}
	for name, cfg := range map[string]*wrap.Config{
		"nil":            nil,
		"no TLS":         {},
		"no name":        {TLS: &tls.Config{}},
		"no versions":    {TLS: &tls.Config{ServerName: "x", MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS12}},
		"unknown stack":  {TLS: good, Stack: "nonesuch"},
		"broken codec":   {TLS: good, Codec: func(frame.Role) (frame.Machine, error) { return nil, errors.New("broken") }},
		"no room":        {TLS: good, Codec: tiny},
		"not for stream": {TLS: good, Codec: frame.Symmetric(func() frame.Codec { return datagramCodec{} })},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := net.Pipe()
			go io.Copy(io.Discard, b)
			c := wrap.Client(wrap.Stream(a), cfg)
			if err := c.Flush(); err != nil {
				t.Errorf("Flush: %v", err)
			}
			err := c.Handshake()
			if err == nil || strings.Contains(err.Error(), "timeout") {
				t.Errorf("Handshake: %v", err)
			}
			if _, werr := c.Write([]byte("x")); werr == nil || !errors.Is(werr, err) {
				t.Errorf("Write: %v, Handshake was %v", werr, err)
			}
			if cs := c.ConnectionState(); cs.HandshakeComplete {
				t.Error("ConnectionState says that the handshake is complete")
			}
			if err := c.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			b.Close()
		})
	}
	s := wrap.Server(wrap.Stream(wrap.Join(io.NopCloser(strings.NewReader("")), nil)), &wrap.Config{TLS: &tls.Config{}})
	if err := s.Handshake(); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a server without a certificate: %v", err)
	}
}

// tinyCodec has no room for TLS.
type tinyCodec struct{ datagramCodec }

func (tinyCodec) Limits() frame.Limits         { return frame.Limits{Max: 15} }
func (tinyCodec) FrameLen([]byte) (int, error) { return 1, nil }

// datagramCodec cannot tell its frames apart in a stream.
type datagramCodec struct{}

func (datagramCodec) Limits() frame.Limits    { return frame.Limits{Max: 1000} }
func (datagramCodec) Encode(*frame.Buf) error { return nil }
func (datagramCodec) Decode(*frame.Buf) error { return nil }
