package dtls

import (
	"bytes"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"testing"
)

// A vector is a block of spec/dtls-vectors.txt.
type vector map[string]string

// bytes returns the value of a field that holds bytes; nil if there is none.
func (v vector) bytes(t *testing.T, name string) []byte {
	t.Helper()
	text, ok := v[name]
	if !ok {
		return nil
	}
	p, err := hex.DecodeString(text)
	check(t, err)
	return p
}

// number returns the value of a field that holds a number.
func (v vector) number(t *testing.T, name string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(v[name], 10, 64)
	check(t, err)
	return n
}

func readVectors(t *testing.T) (list []vector) {
	t.Helper()
	text, err := os.ReadFile("../../spec/dtls-vectors.txt")
	check(t, err)
	ids := map[string]bool{}
	for block := range strings.SplitSeq(string(text), "\n\n") {
		v := vector{}
		for line := range strings.Lines(block) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && line[0] != '#' {
				v[name] = value
			} else if name, empty := strings.CutSuffix(strings.TrimSpace(line), ":"); empty && line[0] != '#' {
				v[name] = ""
			}
		}
		if len(v) == 0 {
			continue // the head
		}
		if id := v["id"]; id == "" || ids[id] {
			t.Fatalf("an id is missing or given twice: %q", block)
		}
		ids[v["id"]] = true
		list = append(list, v)
	}
	return list
}

var vectorCiphers = map[string]*cipherKind{
	"AES_128_GCM":       aes128GCM,
	"AES_256_GCM":       aes256GCM,
	"CHACHA20_POLY1305": chacha,
	"AES_128_CCM":       aes128CCM,
	"AES_128_CCM_8":     aes128CCM8,
	"AES_256_CCM_8":     aes256CCM8,
}

// TestVectors seals and opens the records of spec/dtls-vectors.txt.
func TestVectors(t *testing.T) {
	sealed := map[string]int{}
	for _, v := range readVectors(t) {
		t.Run(v["id"], func(t *testing.T) {
			kind := vectorCiphers[v["cipher"]]
			if kind == nil {
				t.Fatalf("unknown cipher %q", v["cipher"])
			}
			switch v["do"] {
			case "seal":
				sealed[v["cipher"]]++
				v.seal(t, v.protection(t, kind))
				v.open(t, v.protection(t, kind))
			case "open":
				v.open(t, v.protection(t, kind))
			default:
				t.Fatalf("unknown do: %q", v["do"])
			}
		})
	}
	for name := range vectorCiphers {
		if sealed[name] < 5 {
			t.Errorf("%s: %d vectors, all ciphers should have as many", name, sealed[name])
		}
	}
}

func (v vector) protection(t *testing.T, kind *cipherKind) protection {
	p, err := newProtection(kind, halfKey{v.bytes(t, "key"), v.bytes(t, "iv")})
	check(t, err)
	p.identify(v.bytes(t, "cid"))
	return p
}

func (v vector) seal(t *testing.T, p protection) {
	s := &sender{protection: p, number: v.number(t, "epoch")<<48 | v.number(t, "sequence"), blocks: p.maxBlocks}
	got := s.seal([]byte("in front"), contentType(v.number(t, "type")), v.bytes(t, "plaintext"))
	if want := append([]byte("in front"), v.bytes(t, "record")...); !bytes.Equal(got, want) {
		t.Errorf("sealed:\n%x, want\n%x", got, want)
	}
}

// verdicts are the words of the vectors.
var verdicts = map[string]verdict{
	"ok": authentic, "malformed": malformed, "wrong-epoch": wrongEpoch, "plaintext": plaintext, "forged": forged,
}

func (v vector) open(t *testing.T, p protection) {
	rx := &receiver{protection: p, seen: newWindow(64)}
	got, typ, is := v.opened(t, rx)
	want, known := verdicts[v["expect"]]
	if !known || is != want {
		t.Fatalf("verdict %d, want %q", is, v["expect"])
	}
	if is != authentic {
		if len(got) > 0 {
			t.Errorf("a refused record yields %x", got)
		}
		return
	}
	if want := v.bytes(t, "plaintext"); !bytes.Equal(got, want) || uint64(typ) != v.number(t, "type") {
		t.Errorf("opened: type %d, %x, want %s, %x", typ, got, v["type"], want)
	}
	if _, _, again := v.opened(t, rx); again != replayed {
		t.Errorf("opened again: verdict %d", again)
	}
}

// opened opens a copy of the record as a datagram of its own.
func (v vector) opened(t *testing.T, rx *receiver) ([]byte, contentType, verdict) {
	r, rest, ok := cut(v.bytes(t, "record"), len(rx.cid))
	if !ok {
		return nil, 0, malformed
	}
	got, typ, is := rx.open(nil, &r)
	if len(rest) > 0 {
		t.Errorf("%d bytes behind the record", len(rest))
	}
	return got, typ, is
}
