package carrier

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/encase-tls/encase/tun/packet"
)

// The addresses of the ends in tests.
var (
	a4, a4too = netip.MustParseAddr("198.18.1.2"), netip.MustParseAddr("198.18.1.3")
	b4        = netip.MustParseAddr("198.18.2.2")
	a6, b6    = netip.MustParseAddr("fd18:1::2"), netip.MustParseAddr("fd18:2::2")
)

// A vector is a line of the specification.
type vector struct {
	expect, comment string
	packet          []byte
}

func vectors(t testing.TB) (list []vector) {
	t.Helper()
	text, err := os.ReadFile("../../spec/ip-vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		what, comment, _ := strings.Cut(line, " ; ")
		expect, data, _ := strings.Cut(what, " ")
		p, err := hex.DecodeString(strings.ReplaceAll(data, " ", ""))
		if err != nil {
			t.Fatalf("%s: %v", comment, err)
		}
		list = append(list, vector{expect, comment, p})
	}
	return list
}

// The vectors of the specification, which another program has made, mean here what they say.
func TestVectors(t *testing.T) {
	seen := map[string]int{}
	for _, v := range vectors(t) {
		if got := meaning(v.packet); got != v.expect {
			t.Errorf("%s: it means %s, want %s", v.comment, got, v.expect)
		}
		kind, _, _ := strings.Cut(v.expect, ",")
		seen[kind]++
	}
	for _, kind := range []string{"frame", "report", "malformed", "checksum", "fragment", "source", "other"} {
		if seen[kind] == 0 {
			t.Errorf("there is no vector of a %s", kind)
		}
	}
}

// meaning says in words what a packet is.
func meaning(p []byte) string {
	r, h, err := parse(p)
	switch err {
	case nil:
		return fmt.Sprintf("frame,from=%v,to=%v,length=%d", r.from, r.to, len(r.frame))
	case errNoIP:
		return "malformed"
	case errChecksum:
		return "checksum"
	case errFragment:
		return "fragment"
	case errSource:
		return "source"
	}
	if i, ok := parseICMP(p, &h); ok {
		return fmt.Sprintf("report,from=%v,to=%v,mtu=%d", i.from, i.to, i.mtu)
	}
	return "other"
}

// What is sent is byte for byte what the specification has.
func TestHeader(t *testing.T) {
	list := vectors(t)
	for _, sent := range []string{"as it is sent over IPv4", "as it is sent over IPv6"} {
		i := slices.IndexFunc(list, func(v vector) bool { return v.comment == sent })
		want := list[i].packet
		r, _, err := parse(want)
		if err != nil {
			t.Fatal(err)
		}
		got := append(bytes.Repeat([]byte{0xff}, headerLen(r.to)), r.frame...)
		if putHeader(got, r.from, r.to, len(r.frame)); !bytes.Equal(got, want) {
			t.Errorf("%s: %x, want %x", sent, got, want)
		}
	}
}

// A path that is narrower is remembered, for a while, and what is remembered is bounded.
func TestPaths(t *testing.T) {
	var s paths
	start := time.Now()
	if !s.narrow(b4, 1300, start) || s.narrow(b4, 1400, start) || !s.narrow(b4, 1200, start) {
		t.Error("what is news?")
	}
	if !s.narrow(b4, 1400, start.Add(pathLife)) {
		t.Error("a report counts for ever")
	}
	a := netip.MustParseAddr("10.0.0.0")
	for range 2 * maxPaths {
		a = a.Next()
		s.narrow(a, 1300, start.Add(pathLife))
	}
	if len(s.known) != maxPaths {
		t.Errorf("%d paths are remembered, want %d", len(s.known), maxPaths)
	}
	if !s.narrow(a, 1300, start.Add(2*pathLife)) || len(s.known) != 1 {
		t.Errorf("%d paths are remembered, though all but one are old", len(s.known))
	}
}

// Whatever a packet says: a frame lies in it, its ends are addresses of one version of IP, and a report makes nothing
// narrower than every path.
func FuzzParse(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.packet)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		before := bytes.Clone(p)
		r, h, err := parse(p)
		switch err {
		case nil:
			if !bytes.HasSuffix(p, r.frame) || cap(r.frame) != len(r.frame) || len(p)-len(r.frame) < headerLen(r.to) ||
				!isHost(r.from) || r.from.Is4() != r.to.Is4() {
				t.Fatalf("%+v of %x", r, p)
			}
		case errOther:
			checkReport(t, p, &h)
		case errNoIP, errChecksum, errFragment, errSource:
		default:
			t.Fatalf("%v", err)
		}
		if !bytes.Equal(before, p) {
			t.Fatal("the packet has changed")
		}
	})
}

func checkReport(t *testing.T, p []byte, h *packet.Header) {
	r, ok := parseICMP(p, h)
	least := least4
	if h.Version == 6 {
		least = least6
	}
	if ok && (r.from.Is4() != r.to.Is4() || r.mtu != 0 && r.mtu < least) {
		t.Fatalf("%+v of %x", r, p)
	}
}
