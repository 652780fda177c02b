package connect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"

	"github.com/encase-tls/encase/cmd/encase/exit"
	"github.com/encase-tls/encase/wrap"
)

// An endpoint is where the peer is.
type endpoint struct {
	network, address string // "tcp", "udp", "unix" or "fifo"
	in, out          string // of FIFOs
}

// String names the endpoint to a person.
func (e endpoint) String() string {
	switch e.network {
	case "fifo":
		return e.in + " and " + e.out
	case "unix":
		return "unix:" + e.address
	}
	return e.address
}

// endpoint finds out where the peer is to be.
func (o *options) endpoint(args []string) (endpoint, error) {
	const needed = "give one of HOST:PORT, unix:PATH, and --fifo-in PATH --fifo-out PATH"
	switch {
	case o.fifoIn != "" && len(args) > 0:
		return endpoint{}, exit.Usagef("FIFOs and an address exclude each other: %s", needed)
	case o.fifoIn != "":
		return endpoint{network: "fifo", in: o.fifoIn, out: o.fifoOut}, checkFIFOs(o.fifoIn, o.fifoOut)
	case len(args) == 0:
		return endpoint{}, exit.Usagef("no peer: %s", needed)
	}
	if path, ok := strings.CutPrefix(args[0], "unix:"); ok && path != "" {
		return endpoint{network: "unix", address: path}, nil
	}
	network, address := o.network(args[0])
	if network == "udp" && !o.datagrams.on {
		return endpoint{}, exit.Usagef("%s is UDP: give --dtls", args[0])
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "" || host == "" && !o.listen {
		return endpoint{}, exit.Usagef("%q is no address: %s", args[0], needed)
	}
	return endpoint{network: network, address: address}, nil
}

// network returns the network in front of an address, and what is behind it. Without one it is UDP for DTLS, else TCP.
func (o *options) network(arg string) (network, address string) {
	for _, network := range []string{"tcp", "udp"} {
		if address, ok := strings.CutPrefix(arg, network+":"); ok {
			return network, strings.TrimPrefix(address, "//")
		}
	}
	if o.datagrams.on {
		return "udp", arg
	}
	return "tcp", arg
}

// host returns the host in the address, "" if there is none.
func (e endpoint) host() string {
	if e.network != "tcp" && e.network != "udp" {
		return ""
	}
	host, _, _ := net.SplitHostPort(e.address)
	return host
}

func checkFIFOs(paths ...string) error {
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return exit.Usagef("%w: make it with mkfifo(1)", err)
		}
		if info.Mode()&(fs.ModeNamedPipe|fs.ModeCharDevice) == 0 {
			return exit.Usagef("%s is neither a FIFO, as mkfifo(1) makes it, nor a device", path)
		}
	}
	return nil
}

// A noteFunc tells a person what is waited for.
type noteFunc func(format string, args ...any)

// open connects to the peer, or with --listen waits for it.
func (e endpoint) open(ctx context.Context, o *options, note noteFunc) (io.ReadWriteCloser, error) {
	switch {
	case e.network == "fifo":
		note("waiting for the other end of %s", e)
		return e.openFIFOs(ctx)
	case o.listen:
		return e.accept(ctx, note)
	}
	d := net.Dialer{Timeout: o.timeout}
	return d.DialContext(ctx, e.network, e.address)
}

// accept waits for one connection.
func (e endpoint) accept(ctx context.Context, note noteFunc) (net.Conn, error) {
	l, err := new(net.ListenConfig).Listen(ctx, e.network, e.address)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	note("listening on %s", l.Addr())
	conn, err := l.Accept()
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return conn, err
}

// openFIFOs opens both FIFOs at the same time: an open waits for the other end, which may have begun with either of
// them. If ctx ends first, what still waits is left to the end of the process, for nothing else can interrupt it.
func (e endpoint) openFIFOs(ctx context.Context) (io.ReadWriteCloser, error) {
	in, out := open(e.in, os.O_RDONLY), open(e.out, os.O_WRONLY)
	var r, w opened
	for range 2 {
		select {
		case r = <-in:
		case w = <-out:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if err := errors.Join(r.err, w.err); err != nil {
		return nil, err
	}
	return wrap.Join(r.file, w.file), nil
}

type opened struct {
	file *os.File
	err  error
}

func open(path string, flag int) <-chan opened {
	c := make(chan opened, 1)
	go func() {
		f, err := os.OpenFile(path, flag, 0)
		if err != nil {
			err = fmt.Errorf("cannot open the FIFO: %w", err)
		}
		c <- opened{f, err}
	}()
	return c
}
