package desc

import (
	"maps"
	"math"
	"slices"
)

const (
	maxSums     = 8
	maxPart     = 1 << 10        // of header, trailer and closing, each, in bytes
	maxAdjust   = math.MaxUint16 // of what a length counts more or less
	maxFrame    = math.MaxInt32  // so that an int holds every length on every machine
	maxDatagram = math.MaxUint16 // a frame without a length is a datagram
)

// check finds out where everything lies, and refuses what cannot work as a whole.
func (p *parser) check() {
	p.checkNames()
	p.place()
	p.checkParts()
	p.checkLength()
	p.checkDatagram()
	p.checkPad()
	p.checkSums()
	p.checkValues()
}

func (p *parser) checkNames() {
	first := map[string]int{}
	for _, e := range p.entries {
		if e.Name == "" || e.Meaning.Kind == Fill || e.Meaning.Kind == Data {
			continue
		}
		if line, taken := first[e.Name]; taken {
			p.fail(e.Line, e.nameCol, duplicateName, "the name %q is taken by line %d", e.Name, line)
			continue
		}
		first[e.Name] = e.Line
	}
}

// place gives each entry its part and offset, and sets aside those that the parser needs to know of.
func (p *parser) place() {
	at := placing{parser: p}
	for _, e := range p.entries {
		e.Part, e.Offset, e.loose = at.part, at.bit, at.loose
		switch e.Meaning.Kind {
		case Data:
			at.payload(e)
			continue
		case Fill:
			at.fill(e)
			continue
		case Length:
			at.length(e)
		case Checksum:
			at.checksum(e)
		}
		if e.LittleEndian && e.Offset%8 != 0 && !e.loose {
			p.fail(e.Line, e.leCol, crookedLE, "a little-endian field begins at a whole byte: %s begins %d bits behind one",
				e.Name, e.Offset%8)
		}
		at.advance(e)
	}
	at.end()
	if p.payload == nil {
		p.fail(p.lines+1, 1, noPayload, "there is no line \"payload\"")
	}
}

// placing is where place has come to.
type placing struct {
	*parser
	part  Part
	bit   int    // in part
	loose bool   // the width of a line in this part is unknown
	last  *entry // line in this part
}

func (at *placing) advance(e *entry) {
	before := at.bit
	at.bit += e.Bits
	at.loose = at.loose || e.unsized
	at.last = e
	if before <= maxPart*8 && at.bit > maxPart*8 {
		at.fail(e.Line, e.nameCol, partTooLong, "the %v is longer than %d bytes", at.part, maxPart)
	}
}

// turn ends a part and begins another.
func (at *placing) turn(next Part) {
	at.end()
	at.part, at.bit, at.loose, at.last = next, 0, false, nil
}

// end ends a part: it must be whole bytes.
func (at *placing) end() {
	if at.bit%8 != 0 && !at.loose {
		at.fail(at.last.Line, at.last.nameCol, partialByte,
			"the %v ends here with %d bits, which are not whole bytes: %d are missing", at.part, at.bit, 8-at.bit%8)
	}
	at.parts[at.part] = (at.bit + 7) / 8
	at.parser.loose = at.parser.loose || at.loose
}

func (at *placing) payload(e *entry) {
	if at.parser.payload != nil {
		at.fail(e.Line, e.nameCol, secondPayload, "the payload is in line %d already", at.parser.payload.Line)
		return
	}
	at.parser.payload = e
	at.turn(Trailer)
	e.Part, e.Offset = Payload, 0
}

func (at *placing) fill(e *entry) {
	if at.bit%8 != 0 && !at.loose {
		at.fail(e.Line, e.nameCol, crookedPad, "padding begins at a whole byte: this begins %d bits behind one", at.bit%8)
		return
	}
	switch at.part {
	case Header:
		if e.Meaning.Align > 0 {
			e.Bits = padding(at.bit/8, e.Meaning.Align) * 8
		}
		at.advance(e)
	case Trailer:
		at.pad = e
		at.turn(Closing)
		e.Part, e.Offset = Padding, 0
	case Closing:
		at.fail(e.Line, e.nameCol, secondPad, "the padding behind the payload is in line %d already", at.pad.Line)
	}
}

// padding returns how many bytes bring n bytes to a multiple of align.
func padding(n, align int) int { return (align - n%align) % align }

func (at *placing) length(e *entry) {
	switch {
	case at.parser.length != nil:
		at.fail(e.Line, e.meaningCol, secondLen, "the length is in line %d already", at.parser.length.Line)
	case at.part != Header:
		at.fail(e.Line, e.meaningCol, lenBehind, "the length stands behind the payload: a reader needs it in front")
	}
	if at.parser.length == nil {
		at.parser.length = e
	}
}

func (at *placing) checksum(e *entry) {
	if len(at.checksums) == maxSums {
		at.fail(e.Line, e.meaningCol, tooLong, "the description has more than %d checksums", maxSums)
	}
	if len(at.checksums) <= maxSums {
		at.checksums = append(at.checksums, e)
	}
}

// fixed returns how many bytes a frame has besides payload and padding.
func (p *parser) fixed() int { return p.parts[Header] + p.parts[Trailer] + p.parts[Closing] }

// checkParts refuses descriptions of nothing.
func (p *parser) checkParts() {
	if p.payload != nil && len(p.entries) == 1 {
		p.fail(p.payload.Line, p.payload.nameCol, nothingElse, "nothing but the payload: use the codec raw")
	}
}

// checkLength finds out how long a payload may be.
func (p *parser) checkLength() {
	e := p.length
	if p.payload == nil || p.loose || e == nil && p.incomplete || e != nil && (e.vague || e.Part != Header) {
		return // it cannot be known
	}
	p.limit = maxDatagram - p.fixed()
	if e != nil {
		if !p.checkBase(e) {
			return
		}
		room := uint64(maxFrame - p.fixed() - maxAlign)
		p.limit = int(min(room, largest(e.Bits)-uint64(e.Meaning.Base)))
	}
	switch {
	case p.payload.max > uint64(p.limit):
		p.fail(p.payload.Line, p.payload.maxCol, badMax, "a payload of %d bytes is too long for the frame (allowed: 1 to %d)",
			p.payload.max, p.limit)
	case p.payload.max > 0:
		p.limit = int(p.payload.max)
	}
}

// checkBase finds out what the length says of an empty payload, and reports whether that is possible.
func (p *parser) checkBase(e *entry) bool {
	m := &e.Meaning
	if m.OfFrame {
		m.Base += p.fixed()
	}
	switch {
	case m.Base < 0:
		p.fail(e.Line, e.meaningCol, lenRoom, "the length of an empty payload would be %d", m.Base)
	case uint64(m.Base) >= largest(e.Bits):
		p.fail(e.Line, e.meaningCol, lenRoom,
			"%d bits leave no room for a payload: an empty one counts %d already (allowed: less than %d)", e.Bits, m.Base,
			largest(e.Bits))
	default:
		return true
	}
	return false
}

// checkDatagram refuses what needs a length where there is none.
func (p *parser) checkDatagram() {
	if p.length != nil || p.incomplete {
		return
	}
	for _, e := range p.entries {
		if e.Meaning.Kind == Count && e.Meaning.Checked {
			p.fail(e.Line, e.meaningCol, countDatagram, "a count can be checked only in a stream, where no frame is lost, and "+
				"frames in a stream need a field that means len")
		}
	}
	if p.pad != nil {
		p.fail(p.pad.Line, p.pad.nameCol, padWithoutLen, "without a field that means len payload, padding cannot be told "+
			"from the payload")
	}
}

// checkPad refuses padding that the length does not let a reader find.
func (p *parser) checkPad() {
	if p.pad != nil && p.length != nil && p.length.Meaning.OfFrame {
		p.fail(p.pad.Line, p.pad.nameCol, padWithLenFrame, "len frame counts padding as well, which cannot be told from the "+
			"payload then: use len payload, perhaps with +N")
	}
}

// checkValues refuses values that nothing uses: their names may be misspelt. Lines that were not understood may use
// any.
func (p *parser) checkValues() {
	if p.incomplete {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(p.values)) {
		if !p.used[name] {
			p.fail(0, 0, unusedValue, "the configuration gives a value %q, which no field uses", name)
		}
	}
}
