package inspect

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// A source is a capture.
type source struct {
	read func() ([]byte, gopacket.CaptureInfo, error)
	link func(gopacket.CaptureInfo) gopacket.Decoder
}

// errNoCapture is wrapped when what was to be inspected is no capture.
var errNoCapture = errors.New("inspect: this is no capture in the form of pcap or pcapng")

// blockSection begins a capture in the form of pcapng.
//
// https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html#section-4.1
const blockSection = 0x0a0d0d0a

// maxPacket is the longest packet that is read, as of libpcap.
const maxPacket = 1 << 18

func open(r io.Reader) (*source, error) {
	b := bufio.NewReader(r)
	magic, err := b.Peek(4)
	if err != nil {
		return nil, fmt.Errorf("%w: it has less than four bytes", errNoCapture)
	}
	if binary.BigEndian.Uint32(magic) == blockSection {
		return openNG(b)
	}
	p, err := pcapgo.NewReader(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoCapture, err)
	}
	p.SetSnaplen(maxPacket)
	return &source{
		read: func() ([]byte, gopacket.CaptureInfo, error) { return checked(p.ReadPacketData()) },
		link: func(gopacket.CaptureInfo) gopacket.Decoder { return p.LinkType() },
	}, nil
}

func openNG(r io.Reader) (*source, error) {
	p, err := pcapgo.NewNgReader(r, pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoCapture, err)
	}
	return &source{
		read: func() ([]byte, gopacket.CaptureInfo, error) { return checked(p.ReadPacketData()) },
		link: linkOf,
	}, nil
}

// linkOf returns the link type of a packet of pcapng, which its interface has.
func linkOf(ci gopacket.CaptureInfo) gopacket.Decoder {
	if len(ci.AncillaryData) > 0 {
		if link, ok := ci.AncillaryData[0].(layers.LinkType); ok {
			return link
		}
	}
	return gopacket.LayerTypePayload
}

// checked gives errors a name.
func checked(p []byte, ci gopacket.CaptureInfo, err error) ([]byte, gopacket.CaptureInfo, error) {
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		err = fmt.Errorf("inspect: the capture is damaged: %w", err)
	}
	return p, ci, err
}
