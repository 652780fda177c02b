package codectest

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/encase-tls/encase/frame"
)

// Bytes returns the bytes that text says in hexadecimal, with spaces wherever they make it easier to read.
func Bytes(tb testing.TB, text string) []byte {
	tb.Helper()
	p, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// Payloads returns what is in the frames of a stream, except for empty payloads, and the error that ends it: io.EOF
// behind a whole frame. The stream is in hexadecimal, as for Bytes.
func Payloads(tb testing.TB, c frame.StreamCodec, stream string) (payloads []string, err error) {
	tb.Helper()
	r := frame.NewReader(bytes.NewReader(Bytes(tb, stream)), c, 0)
	for {
		b, err := r.Next()
		if err == nil {
			err = c.Decode(b)
		}
		if err != nil {
			return payloads, err
		}
		if b.Len() > 0 {
			payloads = append(payloads, string(b.Bytes()))
		}
	}
}
