package desc

import "github.com/encase-tls/encase/frame"

// A Part is a region of a frame. The parts follow each other in this order; all but the header and the payload may be
// empty.
type Part uint8

// The parts of a frame.
const (
	Header  Part = iota // in front of the payload; Offset counts from the start of the frame
	Payload             // the payload
	Trailer             // behind the payload; Offset counts from its end
	Padding             // as many bytes as the alignment asks for
	Closing             // behind the padding; Offset counts from its end
)

// String returns the name of the part in lower case.
func (p Part) String() string {
	return [...]string{"header", "payload", "trailer", "padding", "closing"}[p]
}

// A Kind tells what a field means.
type Kind uint8

// The kinds of fields.
const (
	Constant Kind = iota // the same in every frame of a direction
	Length               // tells how long the frame is
	Count                // the number of the frame in its direction
	Random               // anything
	Time                 // when the frame was made
	Checksum             // over a run of other fields
	Fill                 // zero bytes up to an alignment
	Data                 // the payload
)

// String returns the name of the kind in lower case.
func (k Kind) String() string {
	return [...]string{"constant", "length", "count", "random", "time", "checksum", "fill", "data"}[k]
}

// A Const is what a constant field holds in frames of one direction.
type Const struct {
	Value    uint64
	Required bool // a reader refuses a frame with another value; otherwise it ignores the field
}

// A Meaning is what a field is for. Only what belongs to its Kind is set.
type Meaning struct {
	Kind Kind
	Text string // in the words of the description, one blank between them

	Consts    [2]Const // Constant: by the role of the sender
	OfFrame   bool     // Length: of the whole frame; otherwise of the payload
	Base      int      // Length: what it says of an empty payload
	From      uint64   // Count: the number of the first frame
	Checked   bool     // Count, Fill: a reader refuses a frame with another value; otherwise it ignores the field
	Milli     bool     // Time: milliseconds since 1970, not seconds
	Algorithm string   // Checksum: its name in descriptions
	First     int      // Checksum: the first field that it covers, as an index of Description.Fields
	Last      int      // Checksum: and the last
	Align     int      // Fill: what follows begins at a multiple of so many bytes from the start of the frame
}

// ignored reports whether a reader does not look at the field, whoever sends it.
func (m *Meaning) ignored() bool {
	switch m.Kind {
	case Constant:
		return !m.Consts[frame.Client].Required && !m.Consts[frame.Server].Required
	case Count, Fill:
		return !m.Checked
	}
	return m.Kind == Random || m.Kind == Time
}

// lenient reports whether a reader accepts other values than those that are written, from one of the senders at least.
func (m *Meaning) lenient() bool {
	if m.Kind == Constant {
		return !m.Consts[frame.Client].Required || !m.Consts[frame.Server].Required
	}
	return m.ignored()
}

// A Field is one line of a description.
type Field struct {
	Name         string // "payload" and "pad" for lines that name no field
	Part         Part
	Offset       int // in bits, from where Part says
	Bits         int // width; 0 for the payload and the padding behind it, whose widths vary
	LittleEndian bool
	Line         int // of the description, from 1
	Meaning      Meaning
}
