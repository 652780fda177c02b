package preamble

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
)

// elements reads the peer's stream, a byte at a time so that nothing behind the last element is taken.
type elements struct {
	t    *talk
	want string
	dec  *xml.Decoder
	left int   // bytes that may still come
	err  error // of ReadByte; the decoder's may say less
	in   bool  // the head of the stream has come
}

func newElements(t *talk, want string) *elements {
	e := &elements{t: t, want: want, left: maxXMPP}
	e.dec = xml.NewDecoder(e)
	return e
}

// ReadByte implements io.ByteReader. Control characters fail at once: the decoder would first wait for the next "<".
func (e *elements) ReadByte() (byte, error) {
	if e.left--; e.left < 0 {
		e.err = e.t.wrong(e.want, nil, fmt.Sprintf("more than %d bytes before TLS", maxXMPP))
		return 0, e.err
	}
	c, err := e.t.takeByte(e.want)
	if err == nil && c < ' ' && c != '\t' && c != '\r' && c != '\n' {
		err = e.t.wrong(e.want, []byte{c}, "")
	}
	e.err = err
	return c, err
}

// Read implements io.Reader, which a decoder wants to see.
func (e *elements) Read(p []byte) (int, error) {
	c, err := e.ReadByte()
	if err != nil || len(p) == 0 {
		return 0, err
	}
	p[0] = c
	return 1, nil
}

var (
	_ io.ByteReader = (*elements)(nil)

	errXMPPEnd = errors.New("the end of an element")
)

// next returns the next start of an element; errXMPPEnd says that the one around it ends first. Between elements there
// may be white space, and nothing else that XML has.
//
// https://www.rfc-editor.org/rfc/rfc6120.html#section-11.1
func (e *elements) next() (xml.StartElement, error) {
	for {
		token, err := e.dec.Token()
		if err != nil {
			return xml.StartElement{}, e.failure(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			return token, nil
		case xml.EndElement:
			return xml.StartElement{}, errXMPPEnd
		case xml.CharData:
			if len(bytes.TrimSpace(token)) > 0 {
				return xml.StartElement{}, e.t.wrong(e.want, token, "")
			}
		case xml.ProcInst:
			if token.Target != "xml" || e.in {
				return xml.StartElement{}, e.t.wrong(e.want, []byte(token.Target), "a processing instruction")
			}
		default:
			return xml.StartElement{}, e.t.wrong(e.want, nil, "a comment or a document type, which XMPP forbids")
		}
	}
}

// failure says why the decoder failed.
func (e *elements) failure(err error) error {
	if e.err != nil {
		return e.err
	}
	return e.t.wrong(e.want, []byte(err.Error()), "that is what its XML is like; is the port right?")
}

// skip takes the rest of an element.
func (e *elements) skip() error {
	if err := e.dec.Skip(); err != nil {
		return e.failure(err)
	}
	return nil
}

// element is next where an end is wrong.
func (e *elements) element(want string) (xml.StartElement, error) {
	e.want = want
	start, err := e.next()
	switch {
	case err == errXMPPEnd:
		return start, e.t.refused(want, "the end of its stream", notServing)
	case err == nil && start.Name == xml.Name{Space: streamSpace, Local: "error"}:
		return start, e.condition(want)
	}
	return start, err
}

func (e *elements) condition(want string) error {
	condition, err := e.next()
	if err != nil && err != errXMPPEnd {
		return err
	}
	return e.t.refused(want, "the stream error "+show(condition.Name.Local), notServing)
}

// head takes the head of the peer's stream.
func (e *elements) head() (xml.StartElement, error) {
	start, err := e.element(e.want)
	e.in = true
	if err == nil && start.Name != (xml.Name{Space: streamSpace, Local: "stream"}) {
		err = e.t.wrong(e.want, []byte("<"+start.Name.Local+">"), "")
	}
	return start, err
}

func attribute(start xml.StartElement, name string) string {
	for _, a := range start.Attr {
		if a.Name == (xml.Name{Local: name}) {
			return a.Value
		}
	}
	return ""
}

// features takes what the server offers, and looks for STARTTLS there.
func (e *elements) features() error {
	list, err := e.element("what its stream offers")
	if err != nil {
		return err
	}
	if list.Name != (xml.Name{Space: streamSpace, Local: "features"}) {
		return e.t.wrong(e.want, []byte("<"+list.Name.Local+">"), "")
	}
	offered := false
	for {
		feature, err := e.next()
		switch {
		case err == errXMPPEnd && offered:
			return nil
		case err == errXMPPEnd:
			return e.t.refused("STARTTLS among what it offers", "a list without it", noStartTLS)
		case err != nil:
			return err
		}
		offered = offered || feature.Name == xml.Name{Space: tlsSpace, Local: "starttls"}
		if err := e.skip(); err != nil {
			return err
		}
	}
}

// proceed takes the answer to starttls.
func (e *elements) proceed() error {
	answer, err := e.element("proceed to starttls")
	switch {
	case err != nil:
		return err
	case answer.Name == xml.Name{Space: tlsSpace, Local: "failure"}:
		return e.t.refused(e.want, "failure", notNow)
	case answer.Name != xml.Name{Space: tlsSpace, Local: "proceed"}:
		return e.t.wrong(e.want, []byte("<"+answer.Name.Local+">"), "")
	}
	return e.skip()
}

// starttls takes the client's wish and grants it.
func (e *elements) starttls() error {
	wish, err := e.element("starttls")
	if err != nil {
		return err
	}
	if wish.Name != (xml.Name{Space: tlsSpace, Local: "starttls"}) {
		e.t.send("a stream error", []byte(streamError("policy-violation"))) // whose fault it is is what to report
		return e.t.refused(e.want, "the element "+show(wish.Name.Local),
			"the client goes on without TLS; make TLS compulsory there")
	}
	if err := e.skip(); err != nil {
		return err
	}
	return e.t.send("proceed", []byte("<proceed xmlns='"+tlsSpace+"'/>"))
}
