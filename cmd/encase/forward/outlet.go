package forward

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/wrap/datagram"
	"github.com/encase-tls/encase/wrap/udp"
)

// A dtlsOutlet sends by a connection whose handshake is done.
type dtlsOutlet struct{ conn *datagram.Conn }

func (o dtlsOutlet) send(messages [][]byte, lost *losses) {
	for len(messages) > 0 {
		n, err := o.conn.WriteBatch(messages)
		messages = messages[n:]
		var long *bio.TooLongError
		switch {
		case err == nil:
		case errors.As(err, &long):
			lost.noteTooLong(long.Len, long.Limit)
			messages = messages[1:]
		default: // the connection has ended, which others notice
			lost.unsent.Add(int64(len(messages)))
			return
		}
	}
}

func (o dtlsOutlet) close() { o.conn.Close() }

// A plainOutlet sends by a UDP socket.
type plainOutlet struct {
	sock  *udp.Socket
	to    netip.AddrPort // zero: the socket is connected
	local netip.Addr
	own   bool // the socket is closed with the outlet
}

// parcels are the packets of one batch.
var parcels = sync.Pool{New: func() any { return new([]udp.Packet) }}

func (o *plainOutlet) send(messages [][]byte, lost *losses) {
	list := parcels.Get().(*[]udp.Packet)
	packets := (*list)[:0]
	for _, m := range messages {
		packets = append(packets, udp.Packet{Addr: o.to, Local: o.local, Data: m})
	}
	n, err := o.sock.WriteBatch(packets)
	if err != nil {
		lost.unsent.Add(int64(len(packets) - n))
		for i := range packets[:n] {
			o.refused(&packets[i], lost)
		}
	}
	clear(packets)
	*list = packets[:0]
	parcels.Put(list)
}

// refused counts a packet that was not sent, if it was not.
func (o *plainOutlet) refused(p *udp.Packet, lost *losses) {
	var big *udp.TooBigError
	switch {
	case p.Err == nil:
	case errors.As(p.Err, &big):
		lost.noteTooLong(len(p.Data), big.MaxPayload())
	default:
		lost.unsent.Add(1)
	}
}

func (o *plainOutlet) close() {
	if o.own {
		o.sock.Close()
	}
}

// roomy are packets to receive into, which no idle socket keeps.
var roomy = sync.Pool{New: func() any {
	packets := make([]udp.Packet, 4)
	for i := range packets {
		packets[i].Data = make([]byte, udp.MaxRead)
	}
	return &packets
}}

// A plainInlet receives from a connected socket.
type plainInlet struct {
	sock   *udp.Socket
	reader rawReader
}

func newPlainInlet(c *net.UDPConn) (*plainInlet, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		c.Close()
		return nil, err
	}
	in := &plainInlet{}
	in.reader.init(nil, raw)
	in.sock = udp.From(c)
	return in, nil
}

// receive gives take what comes, until the socket is closed. What ICMP says ends nothing: the server may come back.
func (in *plainInlet) receive(take func(data []byte, segment int)) {
	for in.reader.await() == nil {
		packets := roomy.Get().(*[]udp.Packet)
		n, err := in.sock.ReadBatch(*packets)
		for i := range (*packets)[:n] {
			take((*packets)[i].Data, (*packets)[i].Segment)
		}
		roomy.Put(packets)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(time.Millisecond) // or a server that refuses would take all the time there is
		}
	}
}
