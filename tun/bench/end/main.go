// Command end is one end of a tunnel with nothing around it, for measurements: see run.sh beside it.
//
//	end ca DIR                                          make ca.crt, server.crt and .key, client.crt and .key
//	end server DIR stream|datagrams HOST:PORT CODEC     serve, as 10.9.0.1
//	end client DIR stream|datagrams HOST:PORT CODEC     connect, as 10.9.0.2
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"

	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/bio/ephemeral"
	"github.com/encase-tls/encase/codecs"
	_ "github.com/encase-tls/encase/codecs/all"
	"github.com/encase-tls/encase/frame"
	"github.com/encase-tls/encase/tun"
	"github.com/encase-tls/encase/tun/device"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/datagram"
	"github.com/encase-tls/encase/wrap/udp"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "end:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 2 && args[0] == "ca" {
		return makeCA(args[1])
	}
	if len(args) != 5 {
		return fmt.Errorf("want: end ca DIR, or: end server|client DIR stream|datagrams HOST:PORT CODEC")
	}
	e, err := newEnd(args[1], args[2], args[3], args[4])
	if err != nil {
		return err
	}
	if file := os.Getenv("CPUPROFILE"); file != "" {
		f, err := os.Create(file + "." + args[0])
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if args[0] == "server" {
		return e.serve(ctx)
	}
	return e.connect(ctx)
}

func makeCA(dir string) error {
	ca, err := ephemeral.New("bench CA")
	if err != nil {
		return err
	}
	certs := map[string]tls.Certificate{}
	for _, name := range []string{"server", "client"} {
		if certs[name], err = ca.Issue(name + ".test"); err != nil {
			return err
		}
	}
	return ca.WriteFiles(dir, certs)
}

// An end is what both have in common.
type end struct {
	dir      string
	datagram bool
	address  string
	spec     string
	codec    frame.Maker
	pool     *x509.CertPool
	device   tun.Interface
}

const (
	udpMTU = 1472 // of Ethernet, without the headers of IP and UDP
	queue  = 4 << 20
)

func newEnd(dir, carrier, address, spec string) (*end, error) {
	e := &end{dir: dir, datagram: carrier == "datagrams", address: address, spec: spec, pool: x509.NewCertPool()}
	pem, err := os.ReadFile(dir + "/ca.crt")
	if err != nil {
		return nil, err
	}
	e.pool.AppendCertsFromPEM(pem)
	e.device = tun.Interface{Config: device.Config{Name: "encase0"}, MTU: 1400}
	e.codec, err = codecs.Parse(spec)
	return e, err
}

func (e *end) certificate(name string) (tls.Certificate, error) {
	return tls.LoadX509KeyPair(e.dir+"/"+name+".crt", e.dir+"/"+name+".key")
}

func (e *end) stack() datagram.Config {
	return datagram.Config{Codec: e.codec, MTU: udpMTU, Queue: queue, Socket: udp.Options{ReadBuffer: 4 << 20, WriteBuffer: 4 << 20}, Stack: dtls.Stack(dtls.Options{SendCID: true,
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, ReplayWindow: 1024})}
}

func (e *end) serve(ctx context.Context) error {
	cert, err := e.certificate("server")
	if err != nil {
		return err
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: e.pool}
	entrance := tun.Entrance{Codec: e.spec}
	if e.datagram {
		d := e.stack()
		d.TLS = cfg
		if entrance.Datagrams, err = datagram.Listen("udp", e.address, &d, datagram.ListenOptions{NoConnectionIDs: true}); err != nil {
			return err
		}
	} else {
		entrance.TLS = &wrap.Config{TLS: cfg, Codec: e.codec, WriteBuffer: 128 << 10}
		if entrance.Stream, err = net.Listen("tcp", e.address); err != nil {
			return err
		}
	}
	s, err := tun.NewServer(tun.ServerConfig{
		Interface: e.device, Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.1/24")},
		Pools:     []netip.Prefix{netip.MustParsePrefix("10.9.0.0/24")},
		Entrances: []tun.Entrance{entrance},
	})
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err == nil {
		tun.Tune(conn)
	}
	return conn, err
}

func (e *end) connect(ctx context.Context) error {
	cert, err := e.certificate("client")
	if err != nil {
		return err
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: e.pool, ServerName: "server.test"}
	endpoint := tun.Endpoint{Name: e.address, Carrier: tun.Stream, Codec: e.spec}
	if e.datagram {
		d := e.stack()
		d.TLS = cfg
		endpoint.Carrier = tun.Datagrams
		endpoint.Dial = func(ctx context.Context) (net.Conn, error) { return datagram.Dial(ctx, "udp", e.address, &d) }
	} else {
		w := &wrap.Config{TLS: cfg, Codec: e.codec, WriteBuffer: 128 << 10}
		endpoint.Dial = func(ctx context.Context) (net.Conn, error) {
			return (&wrap.Dialer{Config: w, Dial: dial}).DialContext(ctx, "tcp", e.address)
		}
	}
	c, err := tun.NewClient(tun.ClientConfig{Interface: e.device, Endpoints: []tun.Endpoint{endpoint},
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	return c.Run(ctx)
}
