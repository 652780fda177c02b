// Package eapol carries EAP-TLS over a LAN, as IEEE 802.1X does between a supplicant (the client) and an authenticator
// (the server). EAPOL authenticates nothing: any station on the LAN can speak for any other, and end the exchange.
//
// A frame is what an Ethernet frame of type 888e holds, without the addresses: they are the carrier's. The exchange in
// it is that of package eap.
//
//	offset  bytes
//	0       1      version: 1 to 3
//	1       1      type: 0 EAP, 1 start, 2 logoff, others are side traffic
//	2       2      length of the rest; what follows it pads the frame to the least that Ethernet has
//	4       rest   type 0: an EAP packet
//
// A client asks the server to begin, and asks again until it does. [frame.Side] has the whole of a frame of another
// type, such as the keys of a radio network.
//
// https://standards.ieee.org/ieee/802.1X/7345/, section 11
//
// # Grammar
//
// A spec is "eapol", followed by options after a colon, with commas between them:
//
//	version=N  what the frames say: 2 if left out; any is accepted
//	start=T    when a client asks again: 5s if left out
//	logoff     a client says logoff at the end, which closes the port of the network again
//
// and those of package eap.
package eapol

import (
	"fmt"
	"strconv"
	"time"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/codecs/eap"
	"github.com/encase-tls/encase/frame"
)

func init() {
	codecs.Register("eapol", codecs.Info{
		Summary:  "EAP-TLS over a LAN (IEEE 802.1X)",
		Class:    codecs.LockStep,
		Carriers: codecs.Datagram,
		Syntax:   syntax,
		Example:  "eapol:identity=user@example.org",
		Tested:   "wpa_supplicant 2.10 (as client), hostapd 2.10 (as server); tshark 4.0, own vectors",
	}, Parse)
}

const syntax = `[OPTION[,OPTION]...]
OPTION  version=N  what the frames say, 1 to 3 (default: 2)
        start=T    when a client asks again (default: 5s)
        logoff     a client says logoff at the end
        identity=NAME, mtu=N, max=N, timeout=T, repeat=T: see eap; mtu is at most 1496`

// EtherType is the type of Ethernet frames that hold EAPOL.
const EtherType = 0x888e

const (
	// DefaultVersion is what frames say unless Options say otherwise.
	DefaultVersion = 2

	// DefaultStart is when a client asks again unless Options say otherwise.
	DefaultStart = 5 * time.Second

	// MaxMTU is the longest EAP packet, in bytes, that fits into an Ethernet frame.
	MaxMTU = 1500 - headerLen
)

// Group is the address of the group that a client sends to: no bridge forwards it. The address of the server is known
// when it has answered.
var Group = [6]byte{0x01, 0x80, 0xc2, 0, 0, 0x03}

// Options describe one end. The zero value works.
type Options struct {
	Version byte          // what frames say, 1 to 3; 0: DefaultVersion
	Start   time.Duration // when a client asks again; 0: DefaultStart
	Logoff  bool          // a client says logoff at the end: then the network closes the port again
	EAP     eap.Options   // Backend is false: the server is the authenticator
}

// New returns a Maker of Machines that implement [frame.Timed], [frame.Backlogger] and [frame.Awaiter], with Logoff also
// [frame.Ender], and what package wrap looks for.
func New(o Options) (frame.Maker, error) {
	if o.Version == 0 {
		o.Version = DefaultVersion
	}
	if o.Start == 0 {
		o.Start = DefaultStart
	}
	o.EAP.Backend = false
	switch {
	case o.Version < 1 || o.Version > 3:
		return nil, fmt.Errorf("eapol: bad version %d (allowed: 1 to 3)", o.Version)
	case o.Start < time.Millisecond:
		return nil, fmt.Errorf("eapol: bad start %v (allowed: 1ms and more)", o.Start)
	case o.EAP.MTU > MaxMTU:
		return nil, fmt.Errorf("eapol: bad mtu %d (allowed: up to %d)", o.EAP.MTU, MaxMTU)
	}
	if _, err := eap.New(o.EAP); err != nil {
		return nil, err
	}
	return func(role frame.Role) (frame.Machine, error) { return newMachine(&o, role) }, nil
}

// Parse returns the Maker that the argument of a spec describes. The grammar is in the package documentation.
func Parse(arg string) (frame.Maker, error) {
	var o Options
	if err := codecs.EachOption("eapol", arg, o.set); err != nil {
		return nil, err
	}
	return New(o)
}

// set takes one option: what stands in front of "=" and what behind.
func (o *Options) set(_, name, value string) (err error) {
	known := true
	switch name {
	case "version":
		var n uint64
		n, err = strconv.ParseUint(value, 10, 8)
		if o.Version = byte(n); n == 0 {
			o.Version = 4 // 0 is not for "default" here
		}
	case "start":
		o.Start, err = time.ParseDuration(value)
		o.Start = max(o.Start, 1)
	case "logoff":
		if o.Logoff = true; value != "" {
			err = strconv.ErrSyntax
		}
	default:
		known, err = o.EAP.Set(name, value)
	}
	switch {
	case err != nil:
		return fmt.Errorf("eapol: %w", err)
	case !known:
		return fmt.Errorf("eapol: unknown option %q (have version, start, logoff, %s)", name, eap.OptionNames)
	}
	return nil
}
