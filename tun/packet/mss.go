package packet

import "encoding/binary"

// ClampMSS lowers the segment size that a TCP SYN offers, so that what its peer sends fits an MTU of so many bytes, and
// returns whether it did. partial says that the checksum is still to be computed. Other packets are left alone.
// https://www.rfc-editor.org/rfc/rfc9293#section-3.7.1
func ClampMSS(p []byte, h *Header, mtu int, partial bool) bool {
	if h.Protocol != TCP || h.Payload == 0 || p[h.Transport+13]&tcpSYN == 0 {
		return false
	}
	most := mtu - ipv4Header - tcpHeader
	if h.Version == 6 {
		most = mtu - ipv6Header - tcpHeader
	}
	at := findMSS(p[h.Transport+tcpHeader : h.Payload])
	if at < 0 || most < 1 {
		return false
	}
	field := p[h.Transport+tcpHeader+at:]
	if int(binary.BigEndian.Uint16(field)) <= most {
		return false
	}
	good := partial || checksumHolds(p, h) // a wrong one stays wrong: this is no place to mend it
	binary.BigEndian.PutUint16(field, uint16(most))
	if good && !partial {
		putChecksum(p, h)
	}
	return true
}

// findMSS returns where among TCP options the value of the maximum segment size is, -1 if it is not there.
func findMSS(options []byte) int {
	const end, nothing, mss, mssLen = 0, 1, 2, 4
	for i := 0; i < len(options) && options[i] != end; {
		if options[i] == nothing {
			i++
			continue
		}
		if i+2 > len(options) || options[i+1] < 2 || i+int(options[i+1]) > len(options) {
			return -1
		}
		if options[i] == mss && options[i+1] == mssLen {
			return i + 2
		}
		i += int(options[i+1])
	}
	return -1
}
