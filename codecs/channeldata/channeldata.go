// Package channeldata carries DTLS through a TURN server in ChannelData messages, RFC 8656. Their headers authenticate
// nothing: TURN authenticates its requests, and DTLS the rest.
//
// # Frames
//
//	offset  bytes
//	0       2      channel number: 4000 to 4fff, RFC 5766 allowed up to 7ffe
//	2       2      length of the data
//	4              the data: a DTLS datagram
//	               padding to a multiple of four bytes, over TCP: of any value, and not counted
//
// https://www.rfc-editor.org/rfc/rfc8656.html#section-12.4
//
// Over UDP this end does not pad, but takes frames that are padded. Over TCP, a reader tells ChannelData from STUN by
// the first two bits of a message: 01 or 00.
//
// https://www.rfc-editor.org/rfc/rfc8656.html#section-12.5
//
// # Side traffic
//
// STUN messages, which bind the channel and keep it bound, and ChannelData on other channels are side traffic:
// [frame.Side] has all of a message, padding included, and [frame.SideSender] takes one. This package neither allocates
// nor binds: the example turn does, by pion/turn, and has several channels on one connection. What is neither STUN nor
// ChannelData is refused. A listener that has more than TURN on its port tells protocols apart with Classify of package
// wrap/admission.
//
// # Grammar
//
//	channeldata:CARRIER[,OPTION]
//
//	CARRIER  udp or tcp; tcp stands for every stream
//	OPTION   channel=HEX  the channel number, 4000 if left out
package channeldata

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
)

func init() {
	codecs.Register("channeldata", codecs.Info{
		Summary:  "ChannelData messages of TURN (RFC 8656) over UDP and TCP; STUN beside them",
		Class:    codecs.Multiplexing,
		Carriers: codecs.Stream | codecs.Datagram,
		Syntax:   syntax,
		Example:  "channeldata:tcp,channel=4000",
		Tested:   "coturn 4.6.1 (captured, and live to OpenSSL's and GnuTLS's DTLS), pion/turn 4.1, tshark 4.0, own vectors",
	}, Parse)
}

const syntax = `CARRIER[,OPTION]
CARRIER  udp, or tcp for a stream
OPTION   channel=HEX  channel number, 4000 to 7ffe (default: 4000)`

const (
	minChannel = 0x4000
	maxChannel = 0x7ffe
)

// Options describe one channel.
type Options struct {
	Stream  bool   // over TCP or another stream: messages are padded
	Channel uint16 // its number; 0: 0x4000
}

// New returns the Maker of the Machines for the channel that o describes. With o.Stream they implement
// [frame.Delimiter]. Both roles send the same frames: that of the client is whoever starts TLS, not a client of TURN.
func New(o Options) (frame.Maker, error) {
	if o.Channel == 0 {
		o.Channel = minChannel
	}
	if o.Channel < minChannel || o.Channel > maxChannel {
		return nil, fmt.Errorf("channeldata: bad channel %x (allowed: %x to %x)", o.Channel, minChannel, maxChannel)
	}
	return func(frame.Role) (frame.Machine, error) {
		m := machine{channel: o.Channel, stream: o.Stream}
		if o.Stream {
			return &streamMachine{m}, nil
		}
		return &m, nil
	}, nil
}

// Parse returns the Maker that the argument of a spec describes. The grammar is in the package documentation.
func Parse(arg string) (frame.Maker, error) {
	var o Options
	carrier, option, more := strings.Cut(arg, ",")
	switch carrier {
	case "udp":
	case "tcp":
		o.Stream = true
	default:
		return nil, fmt.Errorf("channeldata: bad carrier %q (have udp, tcp)", carrier)
	}
	if more {
		number, ok := strings.CutPrefix(option, "channel=")
		n, err := strconv.ParseUint(number, 16, 16)
		if !ok || err != nil || n == 0 {
			return nil, fmt.Errorf("channeldata: bad option %q (have channel=HEX, from %x to %x)",
				option, minChannel, maxChannel)
		}
		o.Channel = uint16(n)
	}
	return New(o)
}
