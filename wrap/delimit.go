package wrap

import "github.com/encase-tls/encase/frame"

// Delimit tells a Carrier over a byte stream how to cut it into frames of at most maxFrame bytes, before its first Recv.
// It is for those who use a Carrier themselves, as package datagram does; a Conn needs no help. A nil Delimiter changes
// nothing. Delimit reports whether c is over a byte stream; other Carriers deliver frames as they come.
func Delimit(c Carrier, d frame.Delimiter, maxFrame int) (stream bool) {
	bytes, stream := c.(byteCarrier)
	if stream && d != nil {
		bytes.delimit(d, maxFrame)
	}
	return stream
}
