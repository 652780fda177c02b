package tunnel

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/encase-tls/encase/cmd/encase/conf"
	"github.com/encase-tls/encase/tun"
)

// changes returns the keys whose values differ: those that count at once, and those that need a new start. Of files
// that are named, the contents are compared, too.
func changes(old, next *config) (now, later []string) {
	for _, k := range keys {
		if !reflect.DeepEqual(valuesOf(old.doc, k.path), valuesOf(next.doc, k.path)) {
			if k.change == live {
				now = append(now, k.path)
			} else {
				later = append(later, k.path)
			}
		}
	}
	note := func(list *[]string, key string, differs bool) {
		if differs && !slices.Contains(*list, key) {
			*list = append(*list, key)
		}
	}
	note(&now, "identity.cert", !reflect.DeepEqual(old.who.pair.Certificate, next.who.pair.Certificate))
	note(&now, "identity.crl", !sameLists(old.who.revoked, next.who.revoked))
	note(&later, "identity.ca", !old.who.roots.Equal(next.who.roots))
	return now, later
}

func sameLists(a, b *revocations) bool {
	if a == nil || b == nil {
		return a == b
	}
	return reflect.DeepEqual(a.serials, b.serials) && a.expires().Equal(b.expires())
}

// valuesOf returns what is written for a key, in all tables of an array.
func valuesOf(d *document, path string) map[string]any {
	out := map[string]any{}
	for at, v := range d.written {
		if conf.KeyOf(at) == path {
			out[at] = v
		}
	}
	return out
}

// describe says what a reload has done.
func describe(now, later []string) string {
	if len(now)+len(later) == 0 {
		return "nothing has changed"
	}
	var parts []string
	if len(now) > 0 {
		parts = append(parts, "changed: "+strings.Join(now, ", "))
	}
	if len(later) > 0 {
		parts = append(parts, fmt.Sprintf("not changed before a restart: %s", strings.Join(later, ", ")))
	}
	return strings.Join(parts, "\n")
}

// withRestartPartOf returns next with what of old goes on until a restart.
func (next *config) withRestartPartOf(old *config) *config {
	c := *next
	c.frames = old.frames
	c.iface, c.listens, c.addresses, c.pools, c.endpoints = old.iface, old.listens, old.addresses, old.pools, old.endpoints
	c.controlAt, c.metricsAt, c.dnsProgram = old.controlAt, old.metricsAt, old.dnsProgram
	c.postUp, c.preDown = old.postUp, old.preDown
	who := *next.who
	who.roots, who.authorities = old.who.roots, old.who.authorities
	c.who = &who
	return &c
}

func (p push) tun() tun.Push {
	return tun.Push{Routes: p.routes, DNS: p.dns, Domains: p.domains, MTU: p.mtu}
}
