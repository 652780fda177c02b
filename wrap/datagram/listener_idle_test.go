package datagram

import (
	"crypto/tls"
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/wrap"
)

// TestIdlePeers has thousands of peers that say nothing: what each costs, in all, and that none has a goroutine.
func TestIdlePeers(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has memory of its own")
	}
	const most = 6 << 10
	few, many := 300, 2000
	if soak() {
		few, many = max(int(2000*soakShare()), few), max(int(10_000*soakShare()), many)
	}
	t.Run("with a pre-shared key", func(t *testing.T) {
		client, server := configs(t, "length:16be")
		client.Stack, client.TLS = pskStack(dtls.Options{SendCID: true}), nil
		server.Stack, server.TLS = pskStack(dtls.Options{}), nil
		idlePeers(t, client, server, many, most)
	})
	t.Run("with a certificate of the server", func(t *testing.T) {
		client, server := configs(t, "", func(o *dtls.Options) { o.SendCID = true })
		idlePeers(t, client, server, few, most)
	})
	t.Run("with certificates of both", func(t *testing.T) {
		client, server := configs(t, "", func(o *dtls.Options) { o.SendCID = true })
		shared, err := sharedCredential()
		if err != nil {
			t.Fatal(err)
		}
		client.TLS.Certificates = []tls.Certificate{shared.client}
		server.TLS.ClientAuth, server.TLS.ClientCAs = tls.RequireAndVerifyClientCert, shared.ca.Pool()
		idlePeers(t, client, server, few, most)
	})
}

// idlePeers connects clients that say nothing more, and looks at what their ends cost.
func idlePeers(t *testing.T, client, server *Config, count, most int) {
	server.Handler, server.IdleTimeout = echo, time.Hour
	l := listen(t, server, ListenOptions{Shards: 2})
	connectAndForget(t, l, client, 100) // what is made once
	before := settled()
	start := time.Now()
	connectAndForget(t, l, client, count)
	took := time.Since(start)
	eventually(t, "all handshakes are over", func() bool {
		s := l.Stats()
		return s.Peers == count+100 && s.Admission.HalfOpen == 0 && runtime.NumGoroutine() <= before.goroutines
	})
	after := settled()
	each := int(after.memory-before.memory) / count
	t.Logf("%d peers in %v: %d bytes for each, %d goroutines", count, took, each, after.goroutines)
	if each > most {
		t.Errorf("%d bytes for each, want %d at most", each, most)
	}
	mustEcho(t, dial(t, l, client), "and it still works")
	runtime.KeepAlive(l)
}

var errVanished = errors.New("the client has vanished")

// vanished counts clients that have been forgotten: each has an address of its own, since ports are given again.
var vanished atomic.Int32

func clientFrom(l *Listener, cfg *Config, i int32) (*Conn, error) {
	from := &net.UDPAddr{IP: net.IPv4(127, 1, byte(i>>8), byte(i))}
	sock, err := net.DialUDP("udp4", from, l.Addr().(*net.UDPAddr))
	if err != nil {
		return nil, err
	}
	c, err := Client(wrap.Datagram(sock, nil, 0), cfg)
	if err != nil {
		return nil, err
	}
	return c, c.Handshake()
}

// connectAndForget connects clients that then vanish without a word.
func connectAndForget(t *testing.T, l *Listener, client *Config, count int) {
	t.Helper()
	var next, failed atomic.Int32
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for i := vanished.Add(1); next.Add(1) <= int32(count) && failed.Load() == 0; i = vanished.Add(1) {
				c, err := clientFrom(l, client, i)
				if err != nil {
					failed.Add(1)
					t.Error(err)
					return
				}
				c.eng.Abort(errVanished)
				c.Close()
			}
		})
	}
	workers.Wait()
}
