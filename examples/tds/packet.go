package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/codecs/tds"
	"github.com/encase-tls/encase/wrap"
)

// Types of packets behind the handshake.
//
// https://learn.microsoft.com/openspecs/windows_protocols/ms-tds/9b4a463c-2634-4a4b-ac35-bebfff2fb0f7
const (
	typeBatch     = 0x01 // SQL
	typeReply     = 0x04
	typeAttention = 0x06 // the client no longer wants its answer
	typeLogin     = 0x10
)

const (
	headerLen  = 8
	packetSize = tds.DefaultPacketSize // both ends keep it: the server says so in its answer to the login
	statusEnd  = 0x01

	// maxMessage bounds a message in bytes: what a stranger may make this program keep.
	maxMessage = 64 << 10
)

// A link is a connection that messages travel on, in packets. It begins under TLS. If only the login is to be
// encrypted it goes on in clear behind the first packet of the client: the server has read, or the client has written,
// just that, and then both take the stream back from TLS.
type link struct {
	conn    net.Conn   // where the next packet is read or written
	secured *wrap.Conn // the same, if it has to be left behind the next packet; nil: it is for good, or has been left
}

// newLink returns a link on c, whose handshake is done.
func newLink(c *wrap.Conn) *link {
	l := &link{conn: c}
	if a, ok := tds.Agreed(c.Machine()); ok && a.LoginOnly {
		l.secured = c
	}
	return l
}

// passed takes in that a packet has been read or written.
func (l *link) passed() error {
	if l.secured == nil {
		return nil
	}
	clear, err := l.secured.Detach()
	if err != nil {
		return err
	}
	l.conn, l.secured = clear, nil
	return nil
}

// read returns the next message, and io.EOF where the peer ends between two. Many clients do so without close_notify;
// since a message says where it ends, none can be cut short unnoticed.
func (l *link) read() (typ byte, message []byte, err error) {
	for {
		var header [headerLen]byte
		if n, err := io.ReadFull(l.conn, header[:]); err != nil {
			switch between := n == 0 && message == nil; {
			case !between:
				err = fmt.Errorf("in the middle of a message: %w", err)
			case errors.Is(err, bio.ErrTruncated):
				err = io.EOF
			}
			return 0, nil, err
		}
		n := int(binary.BigEndian.Uint16(header[2:])) - headerLen
		switch {
		case n < 0:
			return 0, nil, errors.New("a packet is shorter than its header")
		case message != nil && header[0] != typ:
			return 0, nil, fmt.Errorf("a packet of the type %#02x in a message of the type %#02x", header[0], typ)
		case len(message)+n > maxMessage:
			return 0, nil, fmt.Errorf("a message of more than %d bytes", maxMessage)
		case n == 0 && header[1]&statusEnd == 0:
			return 0, nil, errors.New("an empty packet that is not the last")
		}
		typ = header[0]
		message = append(message, make([]byte, n)...)
		if _, err := io.ReadFull(l.conn, message[len(message)-n:]); err != nil {
			return 0, nil, fmt.Errorf("in the middle of a packet: %w", err)
		}
		if err := l.passed(); err != nil {
			return 0, nil, err
		}
		if header[1]&statusEnd != 0 {
			return typ, message, nil
		}
	}
}

// write sends a message.
func (l *link) write(typ byte, message []byte) error {
	for id, end := byte(1), false; !end; id++ {
		n := min(len(message), packetSize-headerLen)
		end = n == len(message)
		packet := make([]byte, headerLen, headerLen+n)
		packet[0], packet[6] = typ, id
		if end {
			packet[1] = statusEnd
		}
		binary.BigEndian.PutUint16(packet[2:], uint16(headerLen+n))
		if _, err := l.conn.Write(append(packet, message[:n]...)); err != nil {
			return err
		}
		if typ == typeLogin {
			if err := l.passed(); err != nil {
				return err
			}
		}
		message = message[n:]
	}
	return nil
}
