package wrap_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/wrap"
)

// TestConnOfNet runs the conformance suite of net.Conn, no subtest left out, with every codec over every kind of
// stream. A plain tls.Conn does not pass it: a Write that its deadline ends corrupts the connection.
func TestConnOfNet(t *testing.T) {
	var all sync.WaitGroup
	turns := make(chan struct{}, 6) // they mostly wait; but a minute is all that each part of TestConn has
	for version, specs := range map[uint16][]string{
		tls.VersionTLS12: {"raw", "length:16be", "tds:freetds"}, // framing does not depend on the version
		tls.VersionTLS13: everyCodec(),
	} {
		for _, codec := range specs {
			for _, tr := range transports {
				name := fmt.Sprintf("%s/%s/%s", tls.VersionName(version), codec, tr.name)
				all.Go(func() {
					turns <- struct{}{}
					defer func() { <-turns }()
					t.Run(name, func(t *testing.T) { conformance(t, version, codec, tr) })
				})
			}
		}
	}
	all.Wait()
}

// everyCodec returns the example of every codec that is registered, and the length prefix in forms that differ in kind.
func everyCodec() []string {
	specs := []string{"length:8", "length:32le,incl", "length:24be,prefix=00,suffix=~00", "length:varint"}
	for _, info := range codecs.List() {
		spec := info.Example
		if info.Name == "isotp" {
			spec = "isotp:fd,timeout=60s" // its own is a second, in which a busy machine does not always get far
		}
		if info.Carriers&codecs.Stream != 0 {
			specs = append(specs, spec)
		}
	}
	return specs
}

func conformance(t *testing.T, version uint16, codec string, tr transport) {
	client, server := wrapConfigs(t, codec)
	client.TLS.MaxVersion = version
	client.Linger, server.Linger = 0, 0 // the default: a Close that loses data fails the test
	if m, err := client.Codec(frame.Client); err == nil {
		if _, waits := m.(frame.Backlogger); waits { // for its peer, and a busy machine may take longer for that
			client.Linger, server.Linger = 30*time.Second, 30*time.Second
		}
	}
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		a, b := tr.pair(t)
		c, s := wrap.Client(wrap.Stream(a), client), wrap.Server(wrap.Stream(b), server)
		stop = func() {
			a.Close() // so that nobody lingers
			b.Close()
			closeBoth(c, s)
		}
		return c, s, stop, nil
	})
}
