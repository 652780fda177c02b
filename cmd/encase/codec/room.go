package codec

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/encase-tls/encase/bio"
	"github.com/encase-tls/encase/cmd/encase/terminal"
	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
)

// What is taken away from the data in a packet of Ethernet.
const (
	ethernetMTU = 1500

	// leastMTU is what every link bears that IPv6 runs over, and what tunnels leave in the end.
	//
	// https://www.rfc-editor.org/rfc/rfc8200#section-5
	leastMTU = 1280

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

// room tells how much data is left in a packet of mtu bytes.
func (d *description) room(l frame.Limits, mtu int) (rows []terminal.Row) {
	add := func(name string, size, record int) {
		rows = append(rows, terminal.Row{Name: name, Text: d.packet(l, size, record)})
	}
	if d.info.Carriers&codecs.Stream != 0 {
		add("TLS 1.3, TCP, IPv4", mtu-ipv4Len-tcpLen, tls13Len)
		add("TLS 1.3, TCP, IPv6", mtu-ipv6Len-tcpLen, tls13Len)
		if mtu == ethernetMTU {
			rows = append(rows, terminal.Row{Name: "TLS 1.3, in bulk", Text: d.bulk(l)})
		}
	}
	if d.info.Carriers&codecs.Datagram != 0 {
		add("DTLS 1.2, UDP, IPv4", mtu-ipv4Len-udpLen, dtls12Len)
		add("DTLS 1.2, UDP, IPv6", mtu-ipv6Len-udpLen, dtls12Len)
	}
	return rows
}

// packet subtracts frame and record from the size of a segment or a datagram. How long a frame is shows by encoding:
// the limits of a codec that escapes bytes are those of the worst case.
func (d *description) packet(l frame.Limits, size, record int) string {
	for n := min(size, l.Max); n > record; n-- {
		f, ok := d.measure(n)
		switch {
		case !ok:
			return "the codec does not put a record into a frame at once"
		case n == l.Max && f.len <= size:
			return fmt.Sprintf("%d - %d record = %d bytes of data, the codec's limit", n, record, n-record)
		case f.len <= size:
			return fmt.Sprintf("%d - %s frame - %d record = %d bytes of data", size, f.around(n), record, n-record)
		}
	}
	return "no room for data"
}

// bulk tells what full records cost.
func (d *description) bulk(l frame.Limits) string {
	n := min(bio.MaxPlaintext+tls13Len, l.Max)
	f, ok := d.measure(n)
	if !ok || n <= tls13Len {
		return "the codec does not put a record into a frame at once"
	}
	data := n - tls13Len
	return fmt.Sprintf("%d bytes of data in a frame of %s%d: %.2f %% more",
		data, f.about(), f.len, 100*float64(f.len-data)/float64(data))
}

// A measured frame has a length, which depends on the payload if it varies.
type measured struct {
	len    int
	varies bool
}

func (f measured) about() string {
	if f.varies {
		return "about "
	}
	return ""
}

func (f measured) around(n int) string { return fmt.Sprintf("%s%d", f.about(), f.len-n) }

// measure encodes n bytes that are as random as a record, several times. ok is false if they do not become one frame.
func (d *description) measure(n int) (f measured, ok bool) {
	var lens [4]int
	for i := range lens {
		payload := make([]byte, n)
		rand.NewChaCha8([32]byte{byte(i)}).Read(payload) // the same at every call
		traces, err := d.encode(frame.Client, payload)
		if err != nil || len(traces) == 0 {
			return f, false
		}
		last := traces[len(traces)-1] // before it may be what opens the exchange
		if len(last.TLS) != n {
			return f, false
		}
		lens[i] = len(last.Frame)
	}
	longest := slices.Max(lens[:])
	return measured{longest, longest != slices.Min(lens[:])}, true
}
