package inspect

import (
	"bytes"
	"errors"

	"github.com/encase-tls/encase/codecs/desc"
	"github.com/encase-tls/encase/codecs/described"
)

// A Field is a part of a frame.
type Field struct {
	Name  string `json:"name"`
	At    int    `json:"at"`              // in bits from the start of the frame; -1 if it is not there
	Bits  int    `json:"bits"`            // width
	Value uint64 `json:"value"`           // of a run of bytes, such as the payload: how many they are
	Bytes bool   `json:"bytes,omitempty"` // it is a run of bytes
	Wrong string `json:"wrong,omitempty"` // why a reader refuses the frame; "" if not for this field
}

// Describe returns the description of the frames of spec, or nil if there is none: Fields can do without.
func Describe(spec string) (*described.Description, error) {
	d, err := described.Of(spec)
	if errors.Is(err, described.ErrNone) {
		return nil, nil
	}
	return d, err
}

// Fields returns the fields of a frame. Without a description, which is nil then, these are what the codec has put in
// front of the payload and behind it, or the frame as a whole if the payload cannot be seen in it. payload is what the
// codec says is in the frame; nil if that is not known. Nothing is changed or retained.
func Fields(d *described.Description, frame, payload []byte) []Field {
	if d != nil {
		return explained(d.Explain(frame))
	}
	at := bytes.Index(frame, payload)
	if len(payload) == 0 || at < 0 {
		return []Field{run("frame", 0, len(frame))}
	}
	end := at + len(payload)
	var fields []Field
	for _, f := range []Field{run("header", 0, at), run("payload", at, end), run("trailer", end, len(frame))} {
		if f.Bits > 0 {
			fields = append(fields, f)
		}
	}
	return fields
}

func run(name string, from, to int) Field {
	return Field{Name: name, At: from * 8, Bits: (to - from) * 8, Value: uint64(to - from), Bytes: true}
}

func explained(values []desc.FieldValue) []Field {
	var fields []Field
	for _, v := range values {
		fields = append(fields, Field{
			Name: v.Name, At: v.At, Bits: v.Width, Value: v.Value, Wrong: v.Wrong,
			Bytes: v.Meaning.Kind == desc.Data || v.Meaning.Kind == desc.Fill,
		})
	}
	return fields
}
