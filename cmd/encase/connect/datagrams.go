package connect

import (
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/encase-tls/encase/bio/dtls"
	"github.com/encase-tls/encase/cmd/encase/datagrams"
	"github.com/encase-tls/encase/cmd/encase/exit"
	"github.com/encase-tls/encase/wrap"
	"github.com/encase-tls/encase/wrap/datagram"
)

// datagramOptions are the flags of DTLS.
type datagramOptions struct {
	on                   bool
	pskFile, pskIdentity string
	ciphers              []string
	mtu                  int
	lines                bool
	wait                 time.Duration
}

const leastMTU, mostMTU = 300, 65507

func (o *datagramOptions) addFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.on, "dtls", false, "speak DTLS, over UDP if the peer is HOST:PORT; each message is a datagram")
	f.StringVar(&o.pskFile, "psk-file", "",
		"DTLS with a pre-shared key: a `FILE` of lines identity:key, the key in hexadecimal")
	f.StringVar(&o.pskIdentity, "psk-identity", "", "whose key to use, if the file has several: `IDENTITY`")
	f.StringSliceVar(&o.ciphers, "ciphers", nil,
		"cipher `SUITES` of DTLS, comma-separated, as openssl-ciphers(1) names them")
	f.IntVar(&o.mtu, "mtu", wrap.DefaultMTU, "longest datagram to send, `BYTES` without the headers of UDP and IP")
	f.BoolVar(&o.lines, "lines", false, "one line is one message, without its end; else what one read returns is")
	f.DurationVar(&o.wait, "wait", time.Second,
		"after the end of standard input, `DURATION` without a message to wait for more")
}

// given returns a flag of DTLS that was given, "" if none was.
func (o *datagramOptions) given(f *pflag.FlagSet) (name string) {
	for _, n := range []string{"psk-file", "psk-identity", "ciphers", "mtu", "lines", "wait"} {
		if f.Changed(n) {
			return n
		}
	}
	return ""
}

// datagramConfig makes the configuration of a connection of DTLS from flags and files.
func (o *options) datagramConfig(at endpoint) (*datagram.Config, error) {
	switch d := &o.datagrams; {
	case o.min != 0 || o.max != 0:
		return nil, exit.Usagef("--min-version and --max-version are for TLS: of DTLS there is version 1.2")
	case len(o.preambles) > 0:
		return nil, exit.Usagef("--preamble is for TLS: datagrams have no beginning")
	case d.mtu < leastMTU || d.mtu > mostMTU:
		return nil, exit.Usagef("--mtu: %d is out of bounds, %d to %d are allowed", d.mtu, leastMTU, mostMTU)
	case at.network != "udp" && o.codec.Streams() != nil:
		return nil, exit.Usagef("--codec %s: %w, and %s is a stream", o.codec, o.codec.Streams(), at)
	case at.network != "udp" && o.codec.Spec == "raw":
		return nil, exit.Usagef("%s is a stream: DTLS needs a --codec there that tells datagrams apart, such as length:16be",
			at)
	}
	cfg := &datagram.Config{Codec: o.codec.Maker, HandshakeTimeout: o.timeout}
	if at.network == "udp" {
		cfg.MTU = o.datagrams.mtu
	}
	opts, err := o.dtlsOptions()
	if err != nil {
		return nil, err
	}
	if opts.PSK == nil || o.listen && o.cert != "" {
		if cfg.TLS, err = o.tls(at); err != nil {
			return nil, err
		}
	} else if o.cert != "" || o.ca != "" || o.serverName != "" {
		return nil, exit.Usagef("--cert, --ca and --server-name have no effect with --psk-file: the key proves who " +
			"both ends are")
	}
	cfg.Stack = dtls.Stack(opts)
	return cfg, nil
}

// dtlsOptions reads cipher suites and pre-shared keys.
func (o *options) dtlsOptions() (opts dtls.Options, err error) {
	opts.HandshakeTimeout, opts.SendCID = o.timeout, true
	for _, name := range o.datagrams.ciphers {
		id, ok := datagrams.Suite(name)
		if !ok {
			return opts, exit.Usagef("--ciphers: there is no %q; there are %s", name, strings.Join(datagrams.SuiteNames(), ", "))
		}
		opts.CipherSuites = append(opts.CipherSuites, id)
	}
	identity := o.datagrams.pskIdentity
	if o.datagrams.pskFile == "" {
		if identity != "" {
			return opts, exit.Usagef("--psk-identity without --psk-file")
		}
		return opts, nil
	}
	keys, err := datagrams.ReadKeys(o.datagrams.pskFile)
	if err != nil {
		return opts, exit.Usagef("--psk-file: %w", err)
	}
	if o.listen {
		opts.PSK = keys.Server()
		return opts, nil
	}
	if only, ok := keys.Only(); ok && identity == "" {
		identity = only
	}
	if !keys.Has(identity) {
		return opts, exit.Usagef("%s has no key for the identity %q: give --psk-identity", o.datagrams.pskFile, identity)
	}
	opts.PSK, opts.PSKIdentity = keys.Client(identity), []byte(identity)
	return opts, nil
}
