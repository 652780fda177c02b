package main

import (
	"encoding/hex"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/encase-tls/encase/codecs/codectest"
	"github.com/encase-tls/encase/frame"
)

func TestMain(m *testing.M) {
	frame.PoisonReleased(true)
	os.Exit(m.Run())
}

// TestRules checks the contract of package frame, a subtest for each of its rules.
func TestRules(t *testing.T) { codectest.Run(t, Maker) }

// FuzzRecv looks for bytes that break it.
func FuzzRecv(f *testing.F) { codectest.Fuzz(f, Maker) }

// TestVectors holds what no rule can know: what the frames look like. The checks were computed by another program.
func TestVectors(t *testing.T) {
	for _, tt := range []struct{ payload, frame string }{
		{"", "d7000000" + "4105d4e8"},
		{"hello", "d7010005" + "68656c6c6f" + "b5dee530"},
	} {
		b := frame.NewBuf(headerLen, []byte(tt.payload), trailerLen)
		if err := (codec{}).Encode(b); err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(b.Bytes()); got != tt.frame {
			t.Errorf("%q: %s, want %s", tt.payload, got, tt.frame)
		}
	}
}

// TestDamage flips every bit of a frame, one at a time: a CRC finds each.
func TestDamage(t *testing.T) {
	b := frame.NewBuf(headerLen, []byte("a TLS record"), trailerLen)
	if err := (codec{}).Encode(b); err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * b.Len() {
		damaged := frame.NewBuf(0, b.Bytes(), 0)
		damaged.Bytes()[bit/8] ^= 1 << (bit % 8)
		if err := (codec{}).Decode(damaged); !errors.Is(err, frame.ErrMalformed) {
			t.Errorf("bit %d: %v, want frame.ErrMalformed", bit, err)
		}
	}
}

func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	const header, payload, check = `d7 01 [0-9a-f]{4}`, `[0-9a-f]{10}\.\. \(\d+ bytes\)`, `[0-9a-f]{8}`
	line := regexp.MustCompile(`^(sent    |received) ` + header + ` \| ` + payload + ` \| ` + check + `$`)
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	last := len(lines) - 1
	if lines[last] != "the server says: hello" || last < 4 {
		t.Errorf("got\n%s", &out)
	}
	for _, l := range lines[:last] {
		if !line.MatchString(l) {
			t.Errorf("no frame: %q", l)
		}
	}
}
