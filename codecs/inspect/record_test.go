package inspect_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/inspect"
)

// record returns a record of TLS 1.2.
func record(kind byte, body ...byte) []byte {
	return append([]byte{kind, 3, 3, byte(len(body) >> 8), byte(len(body))}, body...)
}

// message returns a handshake message of n zeros.
func message(kind byte, n int) []byte {
	return append([]byte{kind, byte(n >> 16), byte(n >> 8), byte(n)}, make([]byte, n)...)
}

// read returns what a RecordReader tells of pieces, in a few words for each record.
func read(pieces ...[]byte) string {
	var r inspect.RecordReader
	var all []string
	for _, p := range pieces {
		for _, rec := range r.Read(p) {
			said := fmt.Sprintf("%s %d", rec.Type, rec.Length)
			if rec.Encrypted {
				said += " encrypted"
			}
			for _, m := range rec.Messages {
				said += fmt.Sprintf(" %s:%d%s", m.Type, m.Length, m.Wrong)
			}
			all = append(all, strings.TrimSpace(said+" "+rec.Alert+rec.Wrong))
		}
	}
	return strings.Join(all, "; ")
}

func TestRecordReader(t *testing.T) {
	done, certificate := message(14, 0), message(11, 300)
	flight := append(record(22, append(certificate, done...)...), record(20, 1)...)
	large := message(11, 40000)
	for _, c := range []struct {
		name   string
		pieces [][]byte
		want   string
	}{
		{"two messages in a record", [][]byte{flight[:len(flight)-6]}, "handshake 308 Certificate:300 ServerHelloDone:0"},
		{"a message in two records", [][]byte{record(22, certificate[:100]...), record(22, certificate[100:]...)},
			"handshake 100; handshake 204 Certificate:300"},
		{"a record in pieces", [][]byte{flight[:3], flight[3:4], flight[4:200], flight[200:]},
			"handshake 308 Certificate:300 ServerHelloDone:0; change cipher spec 1"},
		{"encrypted from then on", [][]byte{record(20, 1), record(22, 1, 2, 3), record(21, 4, 5)},
			"change cipher spec 1; handshake 3 encrypted; alert 2 encrypted"},
		{"a message that is too long", [][]byte{record(22, large[:16384]...), record(22, large[16384:32768]...),
			record(22, append(large[32768:], done...)...)},
			"handshake 16384 Certificate:40000too long to be read; handshake 16384; handshake 7240 ServerHelloDone:0"},
		{"alerts", [][]byte{record(21, 2, 40), record(21, 1, 0), record(21, 2)},
			"alert 2 fatal handshake failure; alert 2 warning close notify; alert 1 malformed"},
		{"an empty record", [][]byte{record(23), record(23, 1)}, "application data 0 encrypted; application data 1 encrypted"},
		{"no TLS, and TLS again", [][]byte{{0x47, 0x45, 0x54, 0x20, 0x2f}, {0x2f}, record(21, 1, 0)},
			"unknown 5 no TLS record begins here; alert 2 warning close notify"},
		{"a ClientHello that is cut", [][]byte{record(22, message(1, 20)...)}, "handshake 24 ClientHello:20malformed"},
		{"DTLS 1.3", [][]byte{{0x2f, 1, 2, 3, 4}}, "encrypted 5 encrypted"},
		{"DTLS that is cut", [][]byte{{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 9, 1}, {22, 0xfe, 0xfd, 0}},
			"handshake 1 says 9 bytes, there are 1; unknown 4 no DTLS record begins here"},
		{"DTLS of a later epoch", [][]byte{{22, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 1}}, "handshake 1 encrypted"},
	} {
		if got := read(c.pieces...); got != c.want {
			t.Errorf("%s:\n%s, want\n%s", c.name, got, c.want)
		}
	}
}

// A name of a server is shown with all escaped that is not printable ASCII.
func TestServerNameEscaped(t *testing.T) {
	const name = "a\x1b[2J\"\xff"
	body := append([]byte{3, 3}, make([]byte, 32)...)
	body = append(body, 0, 0, 2, 0x13, 1, 1, 0, 0, 4+5+7, 0, 0, 0, 5+7, 0, 3+7, 0, 0, 7)
	body = append(body, name...)
	p := record(22, append([]byte{1, 0, 0, byte(len(body))}, body...)...)
	var r inspect.RecordReader
	got := r.Read(bytes.Clone(p))
	if len(got) != 1 || len(got[0].Messages) != 1 || got[0].Messages[0].ServerName != `a\x1b[2J"\xff` {
		t.Errorf("%+v", got)
	}
}
