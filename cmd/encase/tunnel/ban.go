package tunnel

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/encase-tls/encase/cmd/encase/conf"
	"github.com/encase-tls/encase/cmd/encase/control"
)

// bans are names and networks that are kept out, some for a time.
type bans struct {
	file string // empty: they end with the program

	mu   sync.Mutex
	list []control.BanEntry
}

// openBans reads what an earlier program has kept.
func openBans(file string) (*bans, error) {
	b := &bans{file: file}
	if file == "" {
		return b, nil
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &b.list)
	}
	if err != nil {
		return nil, fmt.Errorf("bans: %s: %w; mend the file, or remove it with all bans", file, err)
	}
	return b, nil
}

// of reports whether a client or the address that it comes from is banned.
func (b *bans) of(name string, from netip.Addr, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.list, func(ban control.BanEntry) bool {
		if !ban.Until.IsZero() && now.After(ban.Until) {
			return false
		}
		p, err := parseNetwork(ban.Who)
		return ban.Who == name || err == nil && p.Contains(from)
	})
}

// parseNetwork parses an address or a network.
func parseNetwork(who string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(who); err == nil {
		return a.Prefix(a.BitLen())
	}
	return netip.ParsePrefix(who)
}

// add bans somebody, from now on for a time, 0 for ever. An earlier ban of the same is replaced.
func (b *bans) add(who string, d time.Duration, now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	ban := control.BanEntry{Who: who, Since: now}
	if d > 0 {
		ban.Until = now.Add(d)
	}
	b.list = append(b.without(who, now), ban)
	slices.SortFunc(b.list, func(x, y control.BanEntry) int { return strings.Compare(x.Who, y.Who) })
	return b.save()
}

// remove ends a ban and reports whether there was one.
func (b *bans) remove(who string, now time.Time) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := len(b.list)
	b.list = b.without(who, now)
	return len(b.list) < before, b.save()
}

// without returns the bans that still count, without one.
func (b *bans) without(who string, now time.Time) []control.BanEntry {
	return slices.DeleteFunc(slices.Clone(b.list), func(ban control.BanEntry) bool {
		return ban.Who == who || !ban.Until.IsZero() && now.After(ban.Until)
	})
}

func (b *bans) all() []control.BanEntry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.list)
}

// save writes the bans, whole or not at all.
func (b *bans) save() error {
	if b.file == "" {
		return nil
	}
	data, err := json.MarshalIndent(b.list, "", " ")
	if err != nil {
		return err
	}
	return conf.ReplaceFile(b.file, append(data, '\n'), 0o600)
}
