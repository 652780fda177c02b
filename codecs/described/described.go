// Package described has descriptions, in the sense of package desc, of codecs that are written in Go. They tell people
// and tools what lies where in a frame: nothing is encoded with them. Codecs that escape bytes, or whose headers have
// more than one form, have none.
package described

import (
	"errors"
	"fmt"
	"strings"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/codecs/desc"
)

// ErrNone is wrapped by the error of Of when no description says what the frames of a codec look like.
var ErrNone = errors.New("the frames of this codec have no description")

// A Description is that of the frames with TLS in them.
type Description struct {
	*desc.Description
	Beside string // what the protocol has besides these frames, as a sentence; "" for nothing
}

// Of returns the description of the frames that the codec named by spec writes. For a codec that is made from a
// description it is that one. The error is that of codecs.Parse if there is no such codec.
func Of(spec string) (*Description, error) {
	name, arg, _ := strings.Cut(spec, ":")
	if name == "desc" {
		d, err := desc.Load(arg)
		return &Description{Description: d}, err
	}
	if _, err := codecs.Parse(spec); err != nil {
		return nil, err
	}
	write := writers[name]
	if write == nil {
		return nil, fmt.Errorf("%s: %w", spec, ErrNone)
	}
	text, beside := write(parseArg(arg))
	if text == "" {
		return nil, fmt.Errorf("%s: %w", spec, ErrNone)
	}
	d, err := desc.Parse(spec, []byte(text), nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", spec, ErrNone) // a header beyond the limits of descriptions
	}
	return &Description{Description: d, Beside: beside}, nil
}

// An argument is that of a spec: what stands first, and options with or without a value. codecs.Parse has accepted it.
type argument struct {
	first   string
	options map[string]string
}

func parseArg(s string) argument {
	words := strings.Split(s, ",")
	a := argument{first: words[0], options: map[string]string{}}
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		a.options[name] = value
	}
	return a
}

func (a argument) has(name string) bool { _, ok := a.options[name]; return ok }

// or returns the value of an option, or what it is if it is not given.
func (a argument) or(name, absent string) string {
	if v, ok := a.options[name]; ok {
		return v
	}
	return absent
}

// writers make the text of a description, by the names of the codecs; it is empty if there is none.
var writers = map[string]func(argument) (text, beside string){
	"capwap":      capwap,
	"channeldata": channelData,
	"length":      length,
	"shim":        shim,
	"tpkt":        tpkt,
}

// https://www.rfc-editor.org/rfc/rfc5415.html#section-4.1
func capwap(argument) (text, beside string) {
	return `version   4  = 0
type      4  = 1     # DTLS
reserved 24  any 0
payload max 65503
`, "Packets of CAPWAP in the clear, which have type 0, are beside them."
}

// https://www.rfc-editor.org/rfc/rfc8656.html#section-12.4
func channelData(a argument) (text, beside string) {
	text = fmt.Sprintf("channel 16  = 0x%s\nlength  16  len payload\npayload\n", a.or("channel", "4000"))
	if a.first == "tcp" {
		return text + "pad to 4\n", "STUN messages, and ChannelData on other channels, are beside them."
	}
	return text, "STUN messages, and ChannelData on other channels, are beside them. A reader takes padding, too."
}

// https://www.rfc-editor.org/rfc/rfc1006.html#section-6
func tpkt(a argument) (text, beside string) {
	max := "payload\n"
	if size, ok := a.options["size"]; ok {
		max = fmt.Sprintf("payload max %s\n", less(size, 3))
	}
	text = `version   8  = 3
reserved  8  any 0
length   16  len frame
li        8  = 2         # length of the COTP header behind this byte
code      8  = 0xf0      # data
eot       1  any 1       # 0: the unit goes on in the next frame
number    7  any 0
` + max
	if a.has("connected") {
		return text, ""
	}
	return text, "Before them a connection request and its confirm are exchanged."
}
