// Package desc makes codecs from descriptions. A description is a small text, one line for each field of a header and
// of a trailer: its name, its width in bits, and what it means.
//
//	magic     16  = 0xd71e       # written, and required when reading
//	flags     4   any 0          # written, ignored when reading
//	type      4   client = 1 server = 2
//	length    16  len payload    # or len frame, each perhaps with +N or -N
//	session   32  value session  # given by the configuration
//	seq       32  count          # 0, 1, 2, .. in each direction
//	payload
//	pad to 4
//	check     32  crc32c         # over everything before it
//
// Fields are big-endian unless le follows their width. There are no expressions and no conditions: what needs them is
// a codec in Go, of thirty lines. The document spec/description.md of this module says precisely what each line
// means and what is refused.
//
// As every codec, one that is made from a description authenticates nothing: a checksum finds errors of the line, not
// attackers.
//
// In the registry the codec is called desc. Its argument is the path of a description, perhaps followed by the values
// that it asks for, or a description itself with semicolons in place of line ends:
//
//	desc:/etc/encase/demo.frame
//	desc:/etc/encase/demo.frame,session=0x1234abcd
//	desc:magic 16 = 0xd71e; length 16 len payload; payload
package desc

import (
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"

	"github.com/encase-tls/encase/codecs"
	"github.com/encase-tls/encase/codecs/check"
	"github.com/encase-tls/encase/frame"
)

func init() {
	codecs.Register("desc", codecs.Info{
		Summary:  "a header and a trailer as a text describes them, one field per line",
		Class:    codecs.Transform,
		Carriers: codecs.Stream | codecs.Datagram,
		Syntax:   syntax,
		Example:  "desc:magic 16 = 0xd71e; length 16 len payload; payload; check 32 crc32c",
		Tested:   "a second implementation of its specification",
	}, parseSpec)
}

const syntax = `PATH[,NAME=NUMBER]... or LINE;LINE;...
PATH  a file of lines; NAME=NUMBER is a value that they ask for
LINE  NAME BITS [le] MEANING; or payload [max N]; or pad to N [checked]
BITS  1 to 64; le: least significant byte first
MEANING
  = N                      written, required when reading
  any N                    written, ignored when reading
  client = N server = N    by the sender; any instead of = as above
  value NAME               as = N; wherever N stands here, value NAME may
  len payload|frame [+N]   in bytes; or -N
  count [from N] [checked] the number of the frame
  random; time unix; time unix-ms
  crc32, crc32c, crc16-..., sum16, xor8, each perhaps over FIELD [to FIELD]`

// A Description is a description that has been understood and checked. It does not change.
type Description struct {
	name     string
	text     string
	fields   []Field
	programs [2]*program // by the role of the sender
}

// Parse reads a description. name is what messages call it, such as the path of its file. values are what the
// configuration gives for fields that ask for it, numbers as in descriptions; nil stands for none. text is not
// retained.
//
// An error is of type [Mistakes] if the description is wrong, and then tells everything that is. Otherwise the codec
// that it describes breaks one of the rules in package codecs/check: what Parse accepts, all of them hold for.
func Parse(name string, text []byte, values map[string]string) (*Description, error) {
	d, err := compile(name, text, values)
	if err != nil {
		return nil, err
	}
	if err := d.admit(); err != nil {
		return nil, fmt.Errorf("desc: %s describes a codec that breaks the contract: %w", name, err)
	}
	return d, nil
}

// compile is Parse without the rules.
func compile(name string, text []byte, values map[string]string) (*Description, error) {
	p := parse(name, text, values)
	if len(p.mistakes) > 0 {
		return nil, p.mistakes
	}
	d := &Description{name: name, text: string(text)}
	for _, e := range p.entries {
		d.fields = append(d.fields, e.Field)
	}
	for role := range d.programs {
		d.programs[role] = p.compile(frame.Role(role))
	}
	return d, nil
}

// admit checks the rules of the contract, all but those that count allocations: these measure the whole process, which
// may be a busy one, and no description can change what the codec allocates.
func (d *Description) admit() error {
	var broken []error
	for _, rule := range check.Rules() {
		if rule.Name == "NoAlloc" || rule.Name == "RejectNoAlloc" {
			continue
		}
		if err := rule.Check(d.Maker()); err != nil && !errors.Is(err, check.ErrNotApplicable) {
			broken = append(broken, err)
		}
	}
	return errors.Join(broken...)
}

// Maker returns the Maker of the codec that is described. With a field that means len it makes a [frame.StreamCodec].
func (d *Description) Maker() frame.Maker {
	return frame.Codecs(func(role frame.Role) (send, recv frame.Codec, err error) {
		return d.codec(role), d.codec(role.Peer()), nil
	})
}

// codec returns a new codec of the frames that sender writes.
func (d *Description) codec(sender frame.Role) frame.Codec {
	c := codec{program: d.programs[sender]}
	if c.program.random {
		var seed [32]byte
		crand.Read(seed[:]) // does not fail
		c.random = rand.NewChaCha8(seed)
	}
	if c.length != nil {
		return &streamCodec{c}
	}
	return &c
}

// Name returns the name that Parse was given.
func (d *Description) Name() string { return d.name }

// Text returns the text that Parse was given. Values of the configuration are not in it.
func (d *Description) Text() string { return d.text }

// Fields returns the fields, the payload and the padding among them, in the order of the frame. The slice is the
// caller's.
func (d *Description) Fields() []Field { return slices.Clone(d.fields) }

// Carriers returns what the frames can travel over: no stream without a field that means len, and no datagrams with a
// count that is checked, which would be wrong for ever after the first loss.
func (d *Description) Carriers() codecs.Carriers {
	c := codecs.Datagram
	if d.programs[frame.Client].length != nil {
		c |= codecs.Stream
	}
	if len(d.programs[frame.Client].counts) > 0 {
		c &^= codecs.Datagram
	}
	return c
}

// Load returns the description that the argument of a spec means, which is what stands behind "desc:". Its errors are
// those of Parse, and those of reading a file.
func Load(arg string) (*Description, error) {
	name, text, values, err := load(arg)
	if err != nil {
		return nil, err
	}
	return Parse(name, text, values)
}

// parseSpec makes the Maker of the argument of a spec.
func parseSpec(arg string) (frame.Maker, error) {
	d, err := Load(arg)
	if err != nil {
		return nil, err
	}
	return d.Maker(), nil
}

// load finds the description that the argument of a spec means.
func load(arg string) (name string, text []byte, values map[string]string, err error) {
	if strings.ContainsAny(arg, ";\n") {
		return "inline", []byte(strings.ReplaceAll(arg, ";", "\n")), nil, nil
	}
	path, rest, more := strings.Cut(arg, ",")
	if path == "" {
		return "", nil, nil, errors.New("desc: no description is named (allowed: desc:PATH, desc:PATH,NAME=NUMBER,.. or " +
			"desc:LINE;LINE;..)")
	}
	values = map[string]string{}
	for more {
		var one string
		one, rest, more = strings.Cut(rest, ",")
		name, value, ok := strings.Cut(one, "=")
		if _, twice := values[name]; !ok || name == "" || twice {
			return "", nil, nil, fmt.Errorf("desc: bad value %q behind the path (allowed: NAME=NUMBER, each name once)", one)
		}
		values[name] = value
	}
	text, err = readFile(path)
	return path, text, values, err
}

// readFile reads no more of the file than is needed to see that it is too long.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("desc: cannot read the description: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxText+1))
	if err != nil {
		return nil, fmt.Errorf("desc: cannot read the description: %w", err)
	}
	return text, nil
}
