package picture

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// surroundings are the fields of a codec around the TLS bytes in a frame.
type surroundings struct{ front, behind []field }

// cut tells the codec's bytes in a frame from the TLS bytes that it carries, if they are known.
func (s *stream) cut(frame, tls []byte, known bool) surroundings {
	line := field{kind: border}
	switch {
	case !known:
		text := "which bytes are TLS is not known; " + extent(frame)
		return surroundings{front: []field{{"frame", frame, text, wrapping}}}
	case len(tls) == 0:
		return surroundings{front: []field{{"frame", frame, "nothing for TLS; " + extent(frame), wrapping}}}
	}
	at := s.find(frame, tls)
	if at < 0 {
		start := frame[:min(len(frame), 2*hexBytes)]
		return surroundings{front: []field{{"frame", start, veiled(len(frame), len(tls)), wrapping}, line}}
	}
	s.header = at
	var around surroundings
	if at > 0 {
		text := count(at, "byte") + " from the codec" + quoted(frame[:at])
		around.front = []field{{"header", frame[:at], text, wrapping}, line}
	}
	if rest := frame[at+len(tls):]; len(rest) > 0 {
		around.behind = []field{line, {"trailer", rest, count(len(rest), "byte") + " from the codec", wrapping}}
	}
	return around
}

// find returns where tls lies in frame, -1 for nowhere. Few bytes may occur in the header, too: the length that the
// last header had decides.
func (s *stream) find(frame, tls []byte) int {
	if s.header <= len(frame) && bytes.HasPrefix(frame[s.header:], tls) {
		return s.header
	}
	return bytes.Index(frame, tls)
}

// veiled describes a frame whose TLS bytes cannot be seen in it.
func veiled(frame, tls int) string {
	if tls > frame {
		return fmt.Sprintf("this frame and those that follow carry %s of TLS", count(tls, "byte"))
	}
	return fmt.Sprintf("the codec masks or escapes %s of TLS in %s; without that they are:",
		count(tls, "byte"), count(frame, "byte"))
}

func extent(frame []byte) string {
	if len(frame) > maxHex {
		return fmt.Sprintf("the first %d bytes", maxHex)
	}
	return "the whole frame" + quoted(frame)
}

// quoted returns p as text if that is what it seems to be.
func quoted(p []byte) string {
	const few, enough = 4, 0.8
	if len(p) < few {
		return ""
	}
	p = p[:min(len(p), maxHex)]
	printable := 0
	for _, c := range p {
		if c >= ' ' && c <= '~' || c == '\r' || c == '\n' {
			printable++
		}
	}
	if float64(printable) < enough*float64(len(p)) {
		return ""
	}
	return ": " + strings.ReplaceAll(strconv.QuoteToASCII(string(p)), `\r\n`, `\r\n `)
}
