package wrap_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// The other end of these tests is OpenSSL. Without framing it speaks to a Conn itself; with framing a relay stands
// between them, which takes TLS out of frames and puts it into frames and knows nothing of TLS.

var opensslVersions = []struct {
	flag    string
	version uint16
}{{"-tls1_2", tls.VersionTLS12}, {"-tls1_3", tls.VersionTLS13}}

// TestOpenSSLClient serves s_client, which has a certificate, and lets it change keys and say goodbye.
func TestOpenSSLClient(t *testing.T) {
	dir := opensslFiles(t)
	for _, v := range opensslVersions {
		for _, codec := range []string{"", "length:16be"} {
			t.Run(tls.VersionName(v.version)+"/codec="+codec, func(t *testing.T) {
				conns, address := listenTo(t, codec)
				client := start(t, "openssl", "s_client", "-connect", address, v.flag, "-servername", "server.test",
					"-CAfile", dir+"/ca.crt", "-cert", dir+"/client.crt", "-key", dir+"/client.key", "-verify_return_error")
				s := <-conns
				converseWith(t, s, client)
				if v.version == tls.VersionTLS13 {
					updateKeys(t, s, client, "KEYUPDATE")
				}
				if leaf := s.ConnectionState().PeerCertificates[0]; leaf.Subject.CommonName != "client.test" {
					t.Errorf("the client has shown the certificate of %v", leaf.Subject)
				}
				client.say("Q")
				if err := readErr(t, s); err != io.EOF {
					t.Errorf("Read, when the peer has said goodbye: %v", err)
				}
			})
		}
	}
}

// TestOpenSSLClientDies kills s_client: that is no goodbye.
func TestOpenSSLClientDies(t *testing.T) {
	dir := opensslFiles(t)
	conns, address := listenTo(t, "")
	client := start(t, "openssl", "s_client", "-connect", address, "-CAfile", dir+"/ca.crt",
		"-cert", dir+"/client.crt", "-key", dir+"/client.key")
	s := <-conns
	converseWith(t, s, client)
	client.kill()
	wantErr(t, "Read", readErr(t, s), bio.ErrTruncated)
}

// TestOpenSSLResumes gives s_client a session, with which it comes back.
func TestOpenSSLResumes(t *testing.T) {
	dir := opensslFiles(t)
	for _, v := range opensslVersions {
		session := filepath.Join(dir, v.flag)
		conns, address := listenTo(t, "length:16be")
		for _, file := range []string{"-sess_out", "-sess_in"} {
			client := start(t, "openssl", "s_client", "-connect", address, v.flag, "-servername", "server.test",
				"-CAfile", dir+"/ca.crt", "-cert", dir+"/client.crt", "-key", dir+"/client.key", file, session)
			s := <-conns
			converseWith(t, s, client)
			if resumed := s.ConnectionState().DidResume; resumed != (file == "-sess_in") {
				t.Errorf("%s: with %s DidResume is %v", tls.VersionName(v.version), file, resumed)
			}
			client.say("Q")
			if err := readErr(t, s); err != io.EOF {
				t.Errorf("Read: %v", err)
			}
			s.Close()
			client.wait()
		}
	}
}

// TestOpenSSLServer is a client of s_server, which wants a certificate, changes keys, and is told goodbye. The second
// connection goes on with the session of the first.
func TestOpenSSLServer(t *testing.T) {
	dir := opensslFiles(t)
	for _, v := range opensslVersions {
		for _, codec := range []string{"", "length:16be"} {
			t.Run(tls.VersionName(v.version)+"/codec="+codec, func(t *testing.T) {
				server := start(t, "openssl", "s_server", "-accept", "127.0.0.1:0", v.flag, "-cert", dir+"/server.crt",
					"-key", dir+"/server.key", "-CAfile", dir+"/ca.crt", "-Verify", "1", "-verify_return_error")
				address := server.after("ACCEPT ")
				client := clientOf(t, codec)
				for i := range 2 {
					c := dial(t, client, address)
					converseWith(t, c, server)
					if v.version == tls.VersionTLS13 {
						updateKeys(t, c, server, "")
					}
					if resumed := c.ConnectionState().DidResume; resumed != (i > 0) {
						t.Errorf("connection %d: DidResume is %v", i, resumed)
					}
					if err := c.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
					server.await("DONE\n") // and not ERROR
				}
			})
		}
	}
}

// TestOpenSSLServerDies kills s_server.
func TestOpenSSLServerDies(t *testing.T) {
	dir := opensslFiles(t)
	server := start(t, "openssl", "s_server", "-accept", "127.0.0.1:0",
		"-cert", dir+"/server.crt", "-key", dir+"/server.key")
	c := dial(t, clientOf(t, ""), server.after("ACCEPT "))
	converseWith(t, c, server)
	server.kill()
	wantErr(t, "Read", readErr(t, c), bio.ErrTruncated)
}

// TestOpenSSLRefuses shows s_server a certificate that it does not trust, or none.
func TestOpenSSLRefuses(t *testing.T) {
	dir := opensslFiles(t)
	for _, v := range opensslVersions {
		server := start(t, "openssl", "s_server", "-accept", "127.0.0.1:0", v.flag, "-cert", dir+"/server.crt",
			"-key", dir+"/server.key", "-CAfile", dir+"/ca.crt", "-Verify", "1", "-verify_return_error")
		client := clientOf(t, "")
		client.TLS.Certificates = nil
		conn, err := net.Dial("tcp", server.after("ACCEPT "))
		if err != nil {
			t.Fatal(err)
		}
		c := wrap.Client(wrap.Stream(conn), client)
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
		wantAlert(t, tls.VersionName(v.version), err, false)
		if errors.Is(err, io.EOF) {
			t.Error("that passes for an end in good order")
		}
	}
}

// converseWith sends a line each way. What s_client and s_server read they print, what they are told they send.
func converseWith(t *testing.T, c net.Conn, p *program) {
	t.Helper()
	p.lines++
	line := fmt.Sprintf("line %d from encase", p.lines)
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		t.Fatal(err)
	}
	p.await(line)
	line = fmt.Sprintf("line %d from openssl", p.lines)
	p.say(line)
	expect(t, c, line+"\n")
}

// updateKeys lets the program change its keys, and then demand that of this end, too: that costs one answer. What comes
// behind a command at once is taken for part of it. s_client confirms commands; s_server looks for one before it takes
// what comes from the peer, so that a line from there shows that the command is done.
func updateKeys(t *testing.T, c *wrap.Conn, p *program, confirmation string) {
	t.Helper()
	for answers, command := range []string{"k", "K"} {
		before := c.Stats().FramesOut
		p.say(command)
		p.await(confirmation)
		converseWith(t, c, p)
		if n := c.Stats().FramesOut - before; n != uint64(1+answers) {
			t.Errorf("%s and a line cost %d frames", command, n)
		}
	}
}

// opensslFiles returns a folder with keys and certificates.
func opensslFiles(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	c := testCredentials(t)
	if err := c.ca.WriteFiles(dir, map[string]tls.Certificate{"server": c.server, "client": c.client}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// clientOf returns the configuration of a client that has a certificate and keeps sessions.
func clientOf(t *testing.T, codec string) *wrap.Config {
	client, _ := wrapConfigs(t, codec)
	client.Linger = 5 * time.Second
	client.TLS.Certificates = []tls.Certificate{testCredentials(t).client}
	client.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	return client
}

// dial connects to a server that speaks plain TLS, through a relay if a codec is wanted.
func dial(t *testing.T, client *wrap.Config, address string) *wrap.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if client.Codec != nil {
		near, far := tcpPair(t)
		go reframe(t, client.Codec, near, conn)
		conn = far
	}
	c := wrap.Client(wrap.Stream(conn), client)
	t.Cleanup(func() { c.Close() })
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	return c
}

// listenTo serves clients that speak plain TLS, through a relay if a codec is wanted. They must have a certificate.
func listenTo(t *testing.T, codec string) (conns <-chan *wrap.Conn, address string) {
	t.Helper()
	_, server := wrapConfigs(t, codec)
	server.TLS.ClientAuth, server.TLS.ClientCAs = tls.RequireAndVerifyClientCert, testCredentials(t).ca.Pool()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	accepted := make(chan *wrap.Conn)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if codec != "" {
				near, far := tcpPair(t)
				go reframe(t, server.Codec, near, conn)
				conn = far
			}
			s := wrap.Server(wrap.Stream(conn), server)
			t.Cleanup(func() { s.Close() })
			accepted <- s
		}
	}()
	return accepted, l.Addr().String()
}

// reframe is a relay: what comes in frames goes on without them, and what comes without them goes on in frames.
func reframe(t *testing.T, maker frame.Maker, framed, plain net.Conn) {
	m, err := maker(frame.Client)
	if err != nil {
		t.Error(err)
		return
	}
	send, recv, ok := frame.CodecsOf(m)
	if !ok {
		t.Error("reframe needs a pair of codecs")
		return
	}
	go func() {
		defer framed.(*net.TCPConn).CloseWrite()
		p := make([]byte, 5000)
		for {
			n, err := plain.Read(p)
			if err != nil {
				return
			}
			b := frame.NewBuf(send.Limits().Head, p[:n], send.Limits().Tail)
			if err := send.Encode(b); err != nil {
				t.Error(err)
			}
			if _, err := framed.Write(b.Bytes()); err != nil {
				return
			}
		}
	}()
	defer plain.(*net.TCPConn).CloseWrite()
	for r := frame.NewReader(framed, m.(frame.Delimiter), 0); ; {
		b, err := r.Next()
		if err != nil {
			return
		}
		if err := recv.Decode(b); err != nil {
			t.Error(err)
			return
		}
		if _, err := plain.Write(b.Bytes()); err != nil {
			return
		}
	}
}
