package lease

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	now  = time.Unix(1_000_000, 0)
	four = netip.MustParsePrefix("10.66.0.0/29") // .1 to .6
	six  = netip.MustParsePrefix("fd66::/64")
	own  = netip.MustParseAddr("10.66.0.1")
)

func open(t *testing.T, file string, pools ...netip.Prefix) *Book {
	t.Helper()
	b, err := Open(file, pools, own, netip.MustParseAddr("fd66::1"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *Book) get(t *testing.T, client string, fixed ...string) string {
	t.Helper()
	var list []netip.Addr
	for _, f := range fixed {
		list = append(list, netip.MustParseAddr(f))
	}
	l, err := b.Acquire(client, list, now)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(l.Addresses)
}

func TestClientsKeepTheirAddresses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "leases.json")
	b := open(t, file, four, six)
	if got := b.get(t, "a") + b.get(t, "b"); got != "[10.66.0.2 fd66::2][10.66.0.3 fd66::3]" {
		t.Fatal(got)
	}
	b.Release("a", now)
	b.Release("b", now)
	if got := b.get(t, "b") + b.get(t, "a"); got != "[10.66.0.3 fd66::3][10.66.0.2 fd66::2]" {
		t.Error("after they were away:", got)
	}
	if err := b.Save(); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(file); info.Mode().Perm() != 0o600 {
		t.Error("mode", info.Mode())
	}
	b = open(t, file, four, six)
	if got := b.get(t, "c") + b.get(t, "b"); got != "[10.66.0.4 fd66::4][10.66.0.3 fd66::3]" {
		t.Error("after a restart:", got)
	}
	b = open(t, file, netip.MustParsePrefix("10.66.0.0/30"), netip.MustParsePrefix("fd67::/64"))
	if got := b.get(t, "a"); got != "[10.66.0.2 fd67::1]" {
		t.Error("with another pool:", got)
	}
}

func TestFullPool(t *testing.T) {
	b := open(t, "", four)
	for i := range 5 {
		b.get(t, fmt.Sprint("c", i))
	}
	if _, err := b.Acquire("late", nil, now); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	if len(b.List()) != 5 {
		t.Error("a lease that was not made is there")
	}
	b.Release("c1", now)
	b.Release("c3", now)
	if got := b.get(t, "late"); got != "[10.66.0.3]" {
		t.Error("who was away longest keeps its address:", got)
	}
	if got := b.get(t, "c3"); got != "[10.66.0.5]" {
		t.Error("who was away less long does not:", got)
	}
}

func TestFixedAddresses(t *testing.T) {
	b := open(t, "", four)
	b.get(t, "a")
	if got := b.get(t, "b", "10.66.0.6"); got != "[10.66.0.6]" {
		t.Error(got)
	}
	for address, want := range map[string]string{"10.66.0.2": "in use by a", "10.66.0.1": "in use by (reserved)",
		"10.66.0.7": "in no pool", "10.66.0.0": "in no pool", "10.67.0.2": "in no pool"} {
		if _, err := b.Acquire("c", []netip.Addr{netip.MustParseAddr(address)}, now); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", address, err)
		}
	}
	b.Release("a", now)
	if got := b.get(t, "c", "10.66.0.2"); got != "[10.66.0.2]" {
		t.Error("an address that nobody uses is not given to whom it is fixed for:", got)
	}
	if got := b.get(t, "a"); got == "[10.66.0.2]" {
		t.Error("two have it")
	}
}

func TestPoolsAreChecked(t *testing.T) {
	for _, pools := range [][]string{{"10.0.0.1/24"}, {"10.0.0.0/24", "10.1.0.0/24"}, {"10.0.0.0/31"}} {
		var list []netip.Prefix
		for _, p := range pools {
			list = append(list, netip.MustParsePrefix(p))
		}
		if _, err := Open("", list); err == nil {
			t.Errorf("%v is accepted", pools)
		}
	}
	file := filepath.Join(t.TempDir(), "leases.json")
	os.WriteFile(file, []byte("{"), 0o600)
	if _, err := Open(file, []netip.Prefix{four}); err == nil || !strings.Contains(err.Error(), "mend it") {
		t.Error(err)
	}
}

// Whatever a file says, no address is given to two, and none that nobody may have.
func FuzzFile(f *testing.F) {
	f.Add([]byte(`[{"client":"a","addresses":["10.66.0.2","10.66.0.3"]},{"client":"b","addresses":["10.66.0.2","fd66::9"]}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "leases.json")
		os.WriteFile(file, data, 0o600)
		b, err := Open(file, []netip.Prefix{four, six}, own)
		if err != nil {
			return
		}
		var all []netip.Addr
		for _, client := range []string{"a", "b", "c"} {
			l, err := b.Acquire(client, nil, now)
			if errors.Is(err, ErrFull) {
				continue
			}
			all = append(all, l.Addresses...)
			if len(l.Addresses) != 2 || !usable(four, l.Addresses[0]) || !usable(six, l.Addresses[1]) || l.Addresses[0] == own {
				t.Fatalf("%v", l)
			}
		}
		slices.SortFunc(all, netip.Addr.Compare)
		if len(slices.Compact(slices.Clone(all))) != len(all) {
			t.Fatalf("given twice: %v", all)
		}
	})
}

// Who was away longest gives its address to another, also if the clock was set between; a file says when that was.
func TestClockIsSet(t *testing.T) {
	file := filepath.Join(t.TempDir(), "leases.json")
	b := open(t, file, four)
	for _, client := range []string{"a", "b", "c", "d", "e"} {
		b.get(t, client)
	}
	b.Release("c", now.Add(time.Hour)) // and then it turns out to be ten years earlier
	b.Release("a", now.Add(-10*365*24*time.Hour))
	if got, want := b.get(t, "f"), "[10.66.0.4]"; got != want {
		t.Errorf("a new client gets %s, want that of c, %s", got, want)
	}
	b.Release("d", now)
	if err := b.Save(); err != nil {
		t.Fatal(err)
	}
	b = open(t, file, four)
	for _, client := range []string{"b", "e", "f"} {
		b.get(t, client)
	}
	if got, want := b.get(t, "g"), "[10.66.0.2]"; got != want {
		t.Errorf("after a new start a new client gets %s, want that of a, %s", got, want)
	}
}
