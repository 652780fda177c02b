package tun

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/encase-tls/encase/tun/wire"
	"github.com/encase-tls/encase/wrap/datagram"
)

// The first words on a connection, before packets move: each end waits for one control message at a time.

// isDatagram reports whether messages may get lost.
func isDatagram(conn net.Conn) bool { _, ok := conn.(*datagram.Conn); return ok }

// tell sends a control message.
func tell(conn net.Conn, t wire.Type, body []byte) error {
	if !isDatagram(conn) {
		_, err := conn.Write(wire.AppendControl(nil, t, body))
		return err
	}
	if err := tellDatagram(conn.(*datagram.Conn), wire.AppendDatagram(nil, t, body)); err != nil {
		return fmt.Errorf("tun: a %v of %d bytes over datagrams: %w", t, len(body), err)
	}
	return nil
}

// tellDatagram sends a message, in parts if it is longer than what every path carries: nothing is known of this one yet.
func tellDatagram(conn *datagram.Conn, message []byte) error {
	put := func(m []byte) error { _, err := conn.Write(m); return err }
	most := min(conn.MTU(), safeLength(conn))
	if len(message) <= most {
		return put(message)
	}
	ok, err := wire.Split(message, wire.SplitID(message), most, put)
	if !ok {
		return fmt.Errorf("there is no room for it in datagrams of %d bytes", most)
	}
	return err
}

// SafeDatagram is how long a datagram may be, in bytes, that every path carries: the packets that every host takes,
// without the headers of IPv4 and UDP. A tunnel is begun with no longer ones, and so should be a handshake: afterwards
// longer ones are looked for.
// https://www.rfc-editor.org/rfc/rfc1122#section-3.3.2
const SafeDatagram = 576 - 20 - 8

// leastSafe is how long a message is even if codec and DTLS leave less of that.
const leastSafe = 128

// safeLength returns how long a message may be, in bytes, to arrive on any path.
func safeLength(conn *datagram.Conn) int { return max(SafeDatagram-conn.Overhead(), leastSafe) }

// refuse tells the peer why this is the end, and ends the connection.
func refuse(conn net.Conn, b wire.Bye) {
	conn.SetWriteDeadline(time.Now().Add(time.Second))
	if tell(conn, wire.TypeBye, wire.AppendBye(nil, b)) == nil && !isDatagram(conn) {
		if c, ok := conn.(interface{ CloseWrite() error }); ok {
			c.CloseWrite()
		}
	}
	conn.Close()
}

// hear waits for a control message until a time. Over datagrams, what is none is passed over: it may have overtaken the
// one that is waited for, or is a part of it, which parts keeps from one call to the next. A Bye is an error, a *wire.Bye.
func hear(conn net.Conn, parts *wire.Assembler, until time.Time) (t wire.Type, body []byte, err error) {
	conn.SetReadDeadline(until)
	defer conn.SetReadDeadline(time.Time{})
	if isDatagram(conn) {
		t, body, err = hearDatagram(conn, parts)
	} else {
		t, body, err = hearStream(conn)
	}
	if err == nil && t == wire.TypeBye {
		b, parseErr := wire.ParseBye(body)
		if err = parseErr; err == nil {
			err = &b
		}
	}
	return t, body, err
}

func hearStream(conn net.Conn) (wire.Type, []byte, error) {
	var h [wire.HeaderLen]byte
	if _, err := io.ReadFull(conn, h[:]); err != nil {
		return 0, nil, silence(err)
	}
	f, err := wire.ParseHeader(h[:])
	switch {
	case err != nil:
		return 0, nil, err
	case !f.Control || f.Length > wire.MaxBody:
		return 0, nil, fmt.Errorf("tun: %w: something else than a control message comes first", wire.ErrMalformed)
	}
	body := make([]byte, f.Length)
	if _, err := io.ReadFull(conn, body); err != nil {
		return 0, nil, silence(err)
	}
	return f.Type, body, nil
}

func hearDatagram(conn net.Conn, parts *wire.Assembler) (wire.Type, []byte, error) {
	buf := make([]byte, wire.MaxBody)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return 0, nil, silence(err)
		}
		f, body, err := wire.ParseDatagram(buf[:n])
		if err == nil && f.Control && f.Type == wire.TypePart {
			whole, _ := parts.Add(body)
			f, body, err = wire.ParseDatagram(whole) // nothing is no message
		}
		if err == nil && f.Control {
			return f.Type, body, nil
		}
	}
}

var errTimeout = errors.New("tun: the peer says nothing; is it a tunnel?")

// silence says what an end of the connection, or of patience, means here.
func silence(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: %w", errTimeout, err)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("tun: the peer ends the connection at once; is it a tunnel?: %w", io.ErrUnexpectedEOF)
	}
	return err
}
