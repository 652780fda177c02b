package wrap

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// A Dialer makes connections as a client.
type Dialer struct {
	// Dial makes the connection underneath; nil means that of a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Config is needed. An empty TLS.ServerName stands for the host in the address.
	Config *Config
}

// DialContext connects and shakes hands. network is one of the streams of package net: "tcp", "tcp4", "tcp6", "unix".
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	dial := d.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	cfg, err := d.config(address)
	if err != nil {
		return nil, err
	}
	raw, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn := Client(Stream(raw), cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (d *Dialer) config(address string) (*Config, error) {
	if d.Config == nil || d.Config.TLS == nil {
		return nil, errors.New("wrap: Dialer.Config and its TLS are missing")
	}
	if d.Config.TLS.ServerName != "" {
		return d.Config, nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return nil, fmt.Errorf("wrap: no server name: set Config.TLS.ServerName, %q has none", address)
	}
	cfg := d.Config.Clone()
	cfg.TLS = cfg.TLS.Clone()
	cfg.TLS.ServerName = host
	return cfg, nil
}
