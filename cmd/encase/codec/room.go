package codec

import (
	"fmt"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/cmd/encase/terminal"
	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
)

// What is taken away from the data in a packet of Ethernet.
const (
	mtu     = 1500
	ipv4Len = 20
	ipv6Len = 40
	tcpLen  = 20 // without options
	udpLen  = 8

	// tls13Len is header, content type and tag of a record.
	// https://www.rfc-editor.org/rfc/rfc8446#section-5.2
	tls13Len = 5 + 1 + 16

	// dtls12Len is header, explicit nonce and tag of a record with AES-GCM.
	// https://www.rfc-editor.org/rfc/rfc6347#section-4.1
	// https://www.rfc-editor.org/rfc/rfc5288#section-3
	dtls12Len = 13 + 8 + 16
)

// room tells how much data is left in a packet.
func (d *description) room(l frame.Limits) (rows []terminal.Row) {
	if d.info.Carriers&codecs.Stream != 0 {
		rows = append(rows,
			terminal.Row{Name: "TLS 1.3, TCP, IPv4", Text: packet(mtu-ipv4Len-tcpLen, l, tls13Len)},
			terminal.Row{Name: "TLS 1.3, TCP, IPv6", Text: packet(mtu-ipv6Len-tcpLen, l, tls13Len)},
			terminal.Row{Name: "TLS 1.3, in bulk", Text: bulk(l)})
	}
	if d.info.Carriers&codecs.Datagram != 0 {
		rows = append(rows,
			terminal.Row{Name: "DTLS 1.2, UDP, IPv4", Text: packet(mtu-ipv4Len-udpLen, l, dtls12Len)},
			terminal.Row{Name: "DTLS 1.2, UDP, IPv6", Text: packet(mtu-ipv6Len-udpLen, l, dtls12Len)})
	}
	return rows
}

// packet subtracts frame and record from the size of a segment or a datagram.
func packet(size int, l frame.Limits, record int) string {
	around := l.Head + l.Tail
	data := min(size-around, l.Max) - record
	if data <= 0 {
		return fmt.Sprintf("%d - %d frame - %d record: no room for data", size, around, record)
	}
	if size-around > l.Max {
		return fmt.Sprintf("%d - %d record = %d bytes of data, the codec's limit", l.Max, record, data)
	}
	return fmt.Sprintf("%d - %d frame - %d record = %d bytes of data", size, around, record, data)
}

// bulk tells what full records cost.
func bulk(l frame.Limits) string {
	data := min(bio.MaxPlaintext, l.Max-tls13Len)
	if data <= 0 {
		return "no room"
	}
	size := l.Head + data + tls13Len + l.Tail
	more := 100 * float64(size-data) / float64(data)
	return fmt.Sprintf("%d bytes of data in a frame of %d: %.2f %% more", data, size, more)
}
