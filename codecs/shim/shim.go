// Package shim carries DTLS behind the small fixed headers that tunnels of data centres put into UDP: VXLAN, GENEVE and
// GUE. They tell tunnels apart and authenticate nothing. Middleboxes and network cards know them; what is behind them
// here is a DTLS datagram and no Ethernet frame or IP packet, so that the far end must be one of these codecs, too.
//
// # Frames
//
//	vxlan    08 000000  VNI (3 bytes)  00
//	geneve   00 00  protocol (2 bytes)  VNI (3 bytes)  00
//	gue      00  protocol (1 byte)  0000
//
// A reader wants its own VNI and protocol, and drops the rest. Reserved bits it ignores. It passes over GENEVE's
// options, but not over critical ones. Control packets of GENEVE and GUE, and flags and extensions of GUE, it refuses.
//
// https://www.rfc-editor.org/rfc/rfc7348.html#section-5 (VXLAN),
// https://www.rfc-editor.org/rfc/rfc8926.html#section-3.4 (GENEVE),
// https://datatracker.ietf.org/doc/html/draft-ietf-intarea-gue-09#section-3 (GUE, variant 0)
//
// # Grammar
//
//	shim:KIND[,OPTION]...
//
//	KIND    vxlan, geneve or gue
//	OPTION  vni=N    network identifier of VXLAN and GENEVE, 0 to 16777215; 0 if left out
//	        proto=N  protocol in the header. geneve: an EtherType, 0x88b5 if left out, which is for experiments;
//	                 gue: an IP protocol, 59 if left out, which says that no header of one follows
//
// Numbers may be decimal, or hexadecimal with 0x in front.
package shim

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
)

func init() {
	codecs.Register("shim", codecs.Info{
		Summary:  "the headers of VXLAN (RFC 7348), GENEVE (RFC 8926) and GUE in UDP",
		Class:    codecs.Header,
		Carriers: codecs.Datagram,
		Syntax:   syntax,
		Example:  "shim:vxlan,vni=42",
		Tested:   "tshark 4.0, OpenSSL's DTLS through a lossy relay, own vectors",
	}, Parse)
}

const syntax = `KIND[,OPTION]...
KIND    vxlan, geneve or gue
OPTION  vni=N    network identifier of vxlan and geneve, 0 to 16777215 (default: 0)
        proto=N  protocol in the header of geneve (default: 0x88b5) or gue (default: 59)`

// A Kind is one of the headers.
type Kind uint8

// The headers.
const (
	VXLAN Kind = iota + 1
	GENEVE
	GUE
)

// Options describe a header.
type Options struct {
	Kind     Kind
	VNI      uint32 // of VXLAN and GENEVE, below 1<<24
	Protocol uint16 // of GENEVE; below 256 of GUE
}

const (
	maxVNI      = 1<<24 - 1
	maxDatagram = 65507 // of UDP over IPv4

	// experimental is the EtherType that anybody may use on a network of one's own: IEEE 802, local experimental 1.
	experimental = 0x88b5

	// noNextHeader is an IP protocol that says "nothing that could be parsed".
	noNextHeader = 59
)

// New returns the Maker of the codec that o describes. The zero Protocol is a protocol like others; that of Parse is
// not.
func New(o Options) (frame.Maker, error) {
	if o.VNI > maxVNI {
		return nil, fmt.Errorf("shim: bad vni %d (allowed: 0 to %d)", o.VNI, maxVNI)
	}
	vni := []byte{byte(o.VNI >> 16), byte(o.VNI >> 8), byte(o.VNI), 0}
	c := &codec{}
	switch o.Kind {
	case VXLAN:
		c.value = append([]byte{0x08, 0, 0, 0}, vni...)
		c.mask = []byte{0x08, 0, 0, 0, 0xff, 0xff, 0xff, 0}
		c.ignored = "reserved bits"
	case GENEVE:
		c.value = append([]byte{0, 0, byte(o.Protocol >> 8), byte(o.Protocol)}, vni...)
		c.mask = []byte{0xc0, 0xc0, 0xff, 0xff, 0xff, 0xff, 0xff, 0} // version; control packet, critical options
		c.options = 0x3f
		c.ignored = "reserved bits and options that are not critical"
	case GUE:
		if o.Protocol > 0xff {
			return nil, fmt.Errorf("shim: bad proto %d of gue (allowed: 0 to 255)", o.Protocol)
		}
		c.value = []byte{0, byte(o.Protocol), 0, 0}
		c.mask = []byte{0xff, 0xff, 0xff, 0xff}
	default:
		return nil, fmt.Errorf("shim: bad kind %d (have VXLAN, GENEVE, GUE)", o.Kind)
	}
	// It has no state, so all connections may use the same one.
	return frame.Symmetric(func() frame.Codec { return c }), nil
}

// Parse returns the Maker that the argument of a spec describes. The grammar is in the package documentation.
func Parse(arg string) (frame.Maker, error) {
	kind, rest, more := strings.Cut(arg, ",")
	var o Options
	switch kind {
	case "vxlan":
		o = Options{Kind: VXLAN}
	case "geneve":
		o = Options{Kind: GENEVE, Protocol: experimental}
	case "gue":
		o = Options{Kind: GUE, Protocol: noNextHeader}
	default:
		return nil, fmt.Errorf("shim: bad kind %q (have vxlan, geneve, gue)", kind)
	}
	seen := map[string]bool{}
	for more {
		var option string
		option, rest, more = strings.Cut(rest, ",")
		name, value, _ := strings.Cut(option, "=")
		if seen[name] {
			return nil, fmt.Errorf("shim: %s is given twice", name)
		}
		seen[name] = true
		if err := o.set(option, name, value); err != nil {
			return nil, err
		}
	}
	return New(o)
}

// set takes one option: the whole of it, what stands in front of "=" and what behind.
func (o *Options) set(option, name, value string) error {
	bits := 0
	switch {
	case name == "vni" && o.Kind != GUE:
		bits = 24
	case name == "proto" && o.Kind == GENEVE:
		bits = 16
	case name == "proto" && o.Kind == GUE:
		bits = 8
	default:
		return fmt.Errorf("shim: unknown option %q (have vni=N with vxlan and geneve, proto=N with geneve and gue)", option)
	}
	n, err := strconv.ParseUint(value, 0, bits)
	if err != nil {
		return fmt.Errorf("shim: bad number in %q (allowed: 0 to %d, or hexadecimal behind 0x)", option, 1<<bits-1)
	}
	if name == "vni" {
		o.VNI = uint32(n)
	} else {
		o.Protocol = uint16(n)
	}
	return nil
}
