package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/encase-tls/encase/tun/packet"
)

// The vectors of the specification mean here what they say.
func TestVectors(t *testing.T) {
	text, err := os.ReadFile("../../spec/tunnel-vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		what, comment, _ := strings.Cut(line, " ;")
		kind, rest, _ := strings.Cut(what, " ")
		expect, data, _ := strings.Cut(strings.TrimSpace(rest), " ")
		got, err := meaning(kind, decode(t, strings.TrimSpace(data)))
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s:%s: %v", kind, comment, err)
		}
		if err != nil {
			got = "malformed"
		}
		if got != expect {
			t.Errorf("%s:%s: it means %s, want %s (%v)", kind, comment, got, expect, err)
		}
		count++
	}
	if count < 55 {
		t.Errorf("only %d vectors", count)
	}
}

func decode(t *testing.T, s string) []byte {
	t.Helper()
	if s[0] == '"' {
		return []byte(strings.ReplaceAll(strings.Trim(s, `"`), "'", `"`))
	}
	var out []byte
	for word := range strings.FieldsSeq(s) {
		word, count, _ := strings.Cut(word, "*")
		n := 1
		if count != "" {
			n, _ = strconv.Atoi(count)
		}
		b, err := hex.DecodeString(word)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, bytes.Repeat(b, n)...)
	}
	return out
}

// meaning says in words what bytes mean.
func meaning(kind string, p []byte) (string, error) {
	switch kind {
	case "header":
		f, err := ParseHeader(p)
		return f.words(), err
	case "datagram":
		f, _, err := ParseDatagram(p)
		return f.words(), err
	case "ping":
		m, err := ParsePing(p)
		return fmt.Sprintf("id=%d,sent=%d,received=%d", m.ID, m.Sent, m.Received), err
	case "probe":
		m, err := ParseProbe(p)
		return fmt.Sprintf("id=%d,sending=%d,length=%d", m.ID, m.Sending, m.Length), err
	case "probed":
		m, err := ParseProbed(p)
		return fmt.Sprintf("id=%d,length=%d", m.ID, m.Length), err
	case "parts":
		return assembled(p)
	case "configured":
		revision, err := ParseConfigured(p)
		return fmt.Sprintf("revision=%d", revision), err
	case "bye":
		m, err := ParseBye(p)
		return fmt.Sprintf("reason=%d,text=%s", m.Reason, m.Text), err
	case "hello":
		_, err := ParseHello(p)
		return "ok", err
	case "config":
		_, err := ParseConfig(p)
		return "ok", err
	case "attach":
		_, err := ParseAttach(p)
		return "ok", err
	}
	return "", fmt.Errorf("unknown kind %q", kind)
}

func (f Frame) words() string {
	if f.Control {
		return fmt.Sprintf("control,type=%d,length=%d", f.Type, f.Length)
	}
	s := [...]string{packet.Single: "packet", packet.TCP4: "tcp4", packet.TCP6: "tcp6", packet.UDP4: "udp4",
		packet.UDP6: "udp6"}[f.GSO.Kind]
	if f.GSO.Partial {
		s += ",partial"
	}
	if f.GSO.ECN {
		s += ",ecn"
	}
	if f.GSO.Size > 0 {
		s += fmt.Sprintf(",size=%d", f.GSO.Size)
	}
	return s + fmt.Sprintf(",length=%d", f.Length)
}

// assembled gives an Assembler the parts in p, each behind its length in one byte, and says what it makes of them.
func assembled(p []byte) (words string, err error) {
	var a Assembler
	words = "nothing"
	for len(p) > 0 && err == nil {
		var whole []byte
		n := 1 + int(p[0])
		whole, err = a.Add(p[1:n])
		if p = p[n:]; whole != nil {
			words = fmt.Sprintf("%x", whole)
		}
	}
	return words, err
}
