package admission_test

import (
	"fmt"

	"github.com/encase-tls/encase/wrap/admission"
)

// A port on which DTLS, STUN and media arrive: the first byte tells which handler a datagram is for.
func ExampleClassify() {
	for _, datagram := range []string{"\x16\xfe\xfd", "\x00\x01\x00\x00", "\x40\x00\x00\x0d", "\x80\x60"} {
		fmt.Println(admission.Classify([]byte(datagram)))
	}
	// Output:
	// dtls
	// stun
	// turn-channel
	// rtp
}
