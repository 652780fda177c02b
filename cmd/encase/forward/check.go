package forward

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// resolveLimit bounds all look-ups of a check together.
const resolveLimit = 5 * time.Second

// probe reports what only the machine and the network can tell: whether it is true may change, so a program that starts
// does not look. It neither listens nor connects anywhere.
func probe(cfg *config, found *problems) {
	ctx, cancel := context.WithTimeout(context.Background(), resolveLimit)
	defer cancel()
	for _, f := range cfg.forwards {
		probeAccept(f, found)
		for _, a := range f.connect.addresses {
			probeConnect(ctx, f, a, found)
		}
	}
}

func probeAccept(f *forward, found *problems) {
	a := f.accept.address
	if a.isUnix() {
		probeFolder(f.accept.at, a, found)
		return
	}
	if err := tryHost(a); err != nil {
		found.Add(f.accept.at, "%s: %v; write an address of this machine", a, addressFault(err))
	}
}

// tryHost listens on some port of a host: is it this one?
func tryHost(a address) error {
	host := net.JoinHostPort(a.host(), "0")
	if a.isUDP() {
		pc, err := net.ListenPacket(a.network, host)
		if err == nil {
			pc.Close()
		}
		return err
	}
	l, err := net.Listen(a.network, host)
	if err == nil {
		l.Close()
	}
	return err
}

func probeFolder(at place, a address, found *problems) {
	if strings.HasPrefix(a.target, "@") {
		return
	}
	if info, err := os.Stat(filepath.Dir(a.target)); err != nil || !info.IsDir() {
		found.Add(at, "%s: the folder is not there; run: mkdir -p %s", a, filepath.Dir(a.target))
	}
}

func probeConnect(ctx context.Context, f *forward, a address, found *problems) {
	if a.isUnix() {
		if _, err := os.Stat(a.target); errors.Is(err, fs.ErrNotExist) && !strings.HasPrefix(a.target, "@") {
			found.Warn(f.connect.at, "%s: the socket is not there; start the server", a)
		}
		return
	}
	if _, err := net.DefaultResolver.LookupHost(ctx, a.host()); err != nil {
		found.Add(f.connect.at, "%s: the name does not resolve: %v; correct it, or the resolver", a, addressFault(err))
	}
}

// addressFault returns the part of an error of package net that does not repeat the address.
func addressFault(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &dns):
		return dns.Err
	case errors.As(err, &op):
		return op.Err.Error()
	}
	return err.Error()
}
