// Package inspect takes captures of packets apart that have TLS or DTLS in the frames of a codec: it puts streams of
// TCP together, cuts frames out of them and out of datagrams of UDP, and tells what can be read without keys: fields,
// records, handshake messages, retransmissions, what is missing and what is malformed.
//
// A capture is read by one [frame.Machine] for each direction, which is told what that direction says and never
// answers. That suits codecs, and Machines that read without having asked. A Machine of a protocol in which each end
// repeats what the other has chosen, such as session numbers, would refuse those that it has not chosen: OpenVPN, EAP
// and RADIUS are read by observers, which check nothing. Any other protocol of that kind is reported as malformed.
//
// Captures come from attackers as well. Memory is bounded, whatever is in them: for each connection 128 KiB that wait
// for a missing packet and one frame in each direction, and so many connections at once.
package inspect

import (
	"io"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/codecs/described"
	"github.com/encase-tls/encase/frame"
)

// Options say what is in a capture.
type Options struct {
	Spec        string // of the codec: some protocols are known by it, and read without their Machines
	Maker       frame.Maker
	Carriers    codecs.Carriers        // what the codec runs over: packets of other kinds are not looked at
	Description *described.Description // of the codec's frames; nil: none
	Port        uint16                 // only connections with this port at one end, which is the server; 0: all
}

// A Kind tells what an Event is about.
type Kind string

// The kinds of events.
const (
	Connection     Kind = "connection"     // the first packet of one
	Frame          Kind = "frame"          // a frame of the codec
	Side           Kind = "side"           // a frame of the protocol that is not for TLS
	TLS            Kind = "tls"            // TLS without frames: the codec has none, or they have ended
	Skipped        Kind = "skipped"        // bytes before the first frame, such as a dialogue, or after an error
	Retransmission Kind = "retransmission" // a segment of TCP, or a frame, that has been there before
	Lost           Kind = "lost"           // bytes of a stream that are not in the capture
	Malformed      Kind = "malformed"      // bytes that the codec refuses
	End            Kind = "end"            // the protocol says that it ends
)

// An Event is something in a capture. It is the receiver's to keep.
type Event struct {
	Kind       Kind      `json:"kind"`
	Packet     int       `json:"packet"` // number in the capture, from 1; of a stream, the one that completes it
	Time       time.Time `json:"time"`
	Connection int       `json:"connection"` // number, from 1
	Carrier    string    `json:"carrier"`    // "tcp" or "udp"
	From       string    `json:"from"`       // "client" or "server"
	Source     string    `json:"source"`     // address and port
	Target     string    `json:"target"`
	Frame      int       `json:"frame,omitempty"`  // number in its direction, from 1
	Offset     int64     `json:"offset,omitempty"` // in the stream, of the first byte
	Length     int       `json:"length"`           // in bytes
	Payload    int       `json:"payload,omitempty"`
	Fields     []Field   `json:"fields,omitempty"`
	Records    []Record  `json:"records,omitempty"`
	Message    string    `json:"message,omitempty"` // for a person; what comes from the capture is escaped in it

	Bytes []byte `json:"-"` // of a frame, and what has been skipped, of that up to 64
}

// A Summary counts what was in a capture.
type Summary struct {
	Kind            string `json:"kind"` // "summary"
	Packets         int    `json:"packets"`
	Ignored         int    `json:"ignored"` // packets that are not for the codec, or cannot be read
	Connections     int    `json:"connections"`
	Frames          int    `json:"frames"`
	Records         int    `json:"records"`
	Retransmissions int    `json:"retransmissions"` // of segments, and of handshake messages in datagrams
	LostBytes       int    `json:"lost_bytes"`
	Errors          int    `json:"errors"`              // frames and records that are malformed
	Truncated       bool   `json:"truncated,omitempty"` // the capture ends inside a packet
}

// Inspect reads a capture in the form of pcap or pcapng, perhaps compressed with gzip, and calls report for each event
// in it, in order; its error ends the inspection. An error of Inspect's own means that the capture cannot be read.
func Inspect(capture io.Reader, o Options, report func(Event) error) (Summary, error) {
	src, err := open(capture)
	if err != nil {
		return Summary{}, err
	}
	in := newInspector(o, report)
	for {
		data, ci, err := src.read()
		switch {
		case err == io.EOF:
			return in.finish()
		case err == io.ErrUnexpectedEOF:
			in.sum.Truncated = true
			return in.finish()
		case err != nil:
			return in.sum, err
		}
		if in.packet(data, ci, src.link(ci)); in.err != nil {
			return in.sum, in.err
		}
	}
}

// An inspector is one run of Inspect.
type inspector struct {
	Options
	report func(Event) error
	sum    Summary
	err    error // of report, or of a Maker
	now    time.Time
	tcp    *streams
	udp    *datagrams
}

func newInspector(o Options, report func(Event) error) *inspector {
	in := &inspector{Options: o, report: report, sum: Summary{Kind: "summary"}}
	in.tcp, in.udp = newStreams(in), newDatagrams(in)
	return in
}

// packet looks at one packet.
func (in *inspector) packet(data []byte, ci gopacket.CaptureInfo, link gopacket.Decoder) {
	in.sum.Packets++
	in.now = ci.Timestamp
	p := gopacket.NewPacket(data, link, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	net := p.NetworkLayer()
	if net == nil || !in.transport(p, net.NetworkFlow()) {
		in.sum.Ignored++
	}
}

// transport reports whether the packet is for the codec.
func (in *inspector) transport(p gopacket.Packet, net gopacket.Flow) bool {
	switch t := p.TransportLayer().(type) {
	case *layers.TCP:
		if in.Carriers&codecs.Stream == 0 || !in.wanted(uint16(t.SrcPort), uint16(t.DstPort)) {
			return false
		}
		in.tcp.packet(net, t)
	case *layers.UDP:
		if in.Carriers&codecs.Datagram == 0 || !in.wanted(uint16(t.SrcPort), uint16(t.DstPort)) {
			return false
		}
		in.udp.packet(net, t)
	default:
		return false
	}
	return true
}

func (in *inspector) wanted(source, target uint16) bool {
	return in.Port == 0 || source == in.Port || target == in.Port
}

// finish looks at what still waits.
func (in *inspector) finish() (Summary, error) {
	in.tcp.finish()
	return in.sum, in.err
}

// emit reports an event.
func (in *inspector) emit(e Event) {
	if in.err != nil {
		return
	}
	e.Packet, e.Time = in.sum.Packets, in.now
	in.count(&e)
	in.err = in.report(e)
}

func (in *inspector) count(e *Event) {
	switch e.Kind {
	case Frame, Side:
		in.sum.Frames++
	case Retransmission:
		in.sum.Retransmissions++
	case Lost:
		in.sum.LostBytes += e.Length
	case Malformed:
		in.sum.Errors++
	}
	in.sum.Records += len(e.Records)
	for _, r := range e.Records {
		if r.Wrong != "" {
			in.sum.Errors++
		}
		for _, m := range r.Messages {
			if m.Wrong != "" {
				in.sum.Errors++
			}
			if m.Again {
				in.sum.Retransmissions++
			}
		}
	}
}
