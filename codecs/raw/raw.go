// Package raw registers [frame.Raw] as "raw": no framing, TLS and DTLS travel as they are. A program that needs no
// registry uses frame.Raw itself.
package raw

import (
	"fmt"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/frame"
)

func init() {
	codecs.Register("raw", codecs.Info{
		Summary:  "no framing: TLS and DTLS as they are",
		Class:    codecs.Unframed,
		Carriers: codecs.Stream | codecs.Datagram,
		Example:  "raw",
		Tested:   "the rules of codecs/check that hold without frames",
	}, parse)
}

func parse(arg string) (frame.Maker, error) {
	if arg != "" {
		return nil, fmt.Errorf("raw: takes no argument, not %q", arg)
	}
	return frame.Raw, nil
}
