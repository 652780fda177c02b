package inspect

import (
	"fmt"
	"net"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/reassembly"

	"github.com/encase-tls/encase/frame"
)

const (
	// What waits for a missing packet, in pages of about 1900 bytes.
	maxPages      = 64 // of a connection
	maxTotalPages = 8 << 10

	maxConns  = 4096            // at once, of each carrier; others are not looked at
	idleAfter = 2 * time.Minute // in the time of the capture
	sweepEach = 1000            // packets
)

// streams puts TCP together.
type streams struct {
	in        *inspector
	assembler *reassembly.Assembler
	open      int
	packets   int
}

func newStreams(in *inspector) *streams {
	s := &streams{in: in}
	s.assembler = reassembly.NewAssembler(reassembly.NewStreamPool(s))
	s.assembler.MaxBufferedPagesPerConnection = maxPages
	s.assembler.MaxBufferedPagesTotal = maxTotalPages
	return s
}

// packetContext tells the assembler when a packet was captured.
type packetContext time.Time

// GetCaptureInfo implements reassembly.AssemblerContext.
func (c packetContext) GetCaptureInfo() gopacket.CaptureInfo {
	return gopacket.CaptureInfo{Timestamp: time.Time(c)}
}

func (s *streams) packet(net gopacket.Flow, t *layers.TCP) {
	s.assembler.AssembleWithContext(net, t, packetContext(s.in.now))
	if s.packets++; s.packets%sweepEach == 0 {
		s.assembler.FlushCloseOlderThan(s.in.now.Add(-idleAfter))
	}
}

func (s *streams) finish() { s.assembler.FlushAll() }

// New implements reassembly.StreamFactory.
func (s *streams) New(network, transport gopacket.Flow, t *layers.TCP,
	_ reassembly.AssemblerContext) reassembly.Stream {
	if s.open >= maxConns {
		return &stream{}
	}
	s.open++
	client := s.in.isClient(uint16(t.SrcPort), uint16(t.DstPort), t)
	return &stream{streams: s, ends: ends(network, transport, client), first: client}
}

// isClient tells whether a packet, the first of its connection, comes from the client. Where the packets do not say so
// the port decides. Without one that is known the smaller one is taken for the server's over TCP, where connections may
// be older than the capture, and the sender for the client over UDP, where t is nil.
func (in *inspector) isClient(source, target uint16, t *layers.TCP) bool {
	switch {
	case t != nil && t.SYN:
		return !t.ACK
	case target == in.Port && target != source:
		return true
	case source == in.Port && target != source:
		return false
	case t == nil:
		return true
	}
	return source >= target
}

// ends returns the addresses of client and server.
func ends(network, transport gopacket.Flow, client bool) [2]string {
	source := net.JoinHostPort(network.Src().String(), transport.Src().String())
	target := net.JoinHostPort(network.Dst().String(), transport.Dst().String())
	if client {
		return [2]string{source, target}
	}
	return [2]string{target, source}
}

// A stream is a connection of TCP. The zero stream ignores what it gets.
type stream struct {
	*streams
	ends  [2]string
	conn  *conn // nil before there is data: the last packet of a connection may come after its end
	first bool  // the first packet came from the client
	gone  bool
}

// lane returns that of packets in a direction, which for the assembler is relative to the first packet.
func (s *stream) lane(dir reassembly.TCPFlowDirection) *lane {
	if (dir == reassembly.TCPDirClientToServer) == s.first {
		return s.conn.lanes[frame.Client]
	}
	return s.conn.lanes[frame.Server]
}

// Accept implements reassembly.Stream. It is called with each packet.
func (s *stream) Accept(t *layers.TCP, _ gopacket.CaptureInfo, dir reassembly.TCPFlowDirection,
	next reassembly.Sequence, start *bool, _ reassembly.AssemblerContext) bool {
	if s.streams == nil {
		return false
	}
	*start = *start || next < 0 && !t.SYN // from the middle of a connection
	n := len(t.Payload)
	if n == 0 {
		return true
	}
	if s.conn == nil {
		s.conn = s.in.newConn("tcp", s.ends)
	}
	if next < 0 {
		return true
	}
	l := s.lane(dir)
	if old := next.Difference(reassembly.Sequence(t.Seq)); old < 0 {
		text := fmt.Sprintf("a segment of %d bytes, all of which have been there before", n)
		if fresh := old + n; fresh > 0 {
			text = fmt.Sprintf("a segment of %d bytes, %d of which have been there before", n, -old)
		}
		if n > 1 || old < -1 { // not a probe of whether the other end is alive
			l.emit(Event{Kind: Retransmission, Offset: max(0, l.end()+int64(old)), Length: n, Message: text})
		}
	}
	return true
}

// end returns the offset behind all that the lane has got.
func (l *lane) end() int64 { return l.offset + int64(len(l.buf)) }

// ReassembledSG implements reassembly.Stream.
func (s *stream) ReassembledSG(sg reassembly.ScatterGather, _ reassembly.AssemblerContext) {
	if s.conn == nil {
		return
	}
	dir, _, _, skip := sg.Info()
	n, _ := sg.Lengths()
	l := s.lane(dir)
	if skip > 0 {
		l.miss(skip)
	}
	l.write(sg.Fetch(n))
}

// ReassemblyComplete implements reassembly.Stream.
func (s *stream) ReassemblyComplete(reassembly.AssemblerContext) bool {
	if s.streams == nil || s.gone {
		return true
	}
	s.gone = true
	if s.open--; s.conn == nil {
		return true
	}
	for _, l := range s.conn.lanes {
		l.close()
	}
	return true
}

// miss takes note of bytes that are not in the capture.
func (l *lane) miss(n int) {
	l.pass(len(l.buf))
	l.skip()
	l.emit(Event{Kind: Lost, Offset: l.offset, Length: n, Message: "they are not in the capture"})
	l.offset += int64(n)
	l.renew()
	if l.mode != deaf {
		l.mode = searching
	}
}

// close reports what is left at the end of a stream.
func (l *lane) close() {
	rest := len(l.buf)
	if rest > 0 && l.mode == framed {
		e := Event{Kind: Malformed, Offset: l.offset, Length: rest, Message: "the stream ends inside a frame"}
		e.Fields = Fields(l.in.Description, l.buf, nil)
		l.emit(e)
	} else {
		l.pass(rest)
		l.skip()
	}
	l.buf = nil
}
