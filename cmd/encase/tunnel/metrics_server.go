package tunnel

import (
	"strings"

	"github.com/encase-tls/encase/cmd/encase/control"
	"github.com/encase-tls/encase/tun"
	"github.com/prometheus/client_golang/prometheus"
)

// collectStrangers counts those who are not, or not yet, clients.
func collectStrangers(s *control.State, gauge func(*prometheus.Desc, float64, ...string),
	count func(*prometheus.Desc, uint64, ...string)) {
	g := s.Strangers
	if g == nil {
		return // this is a client
	}
	count(refusedDesc, s.Duplicates, "same_cert")
	count(refusedDesc, g.Full, "full")
	count(refusedDesc, g.PerAddress, "per_address")
	count(refusedDesc, g.Rate, "rate")
	count(refusedDesc, g.Evicted, "evicted")
	count(refusedDesc, g.Late, "late")
	gauge(queuedDesc, float64(s.Waiting))
	collectTotals(s.Totals, count)
	gauge(halfOpenDesc, float64(g.HalfOpen), string(tun.Stream))
	gauge(underLoadDesc, number01(g.UnderLoad), string(tun.Stream))
	if len(s.Hellos) == 0 {
		return
	}
	halfOpen, load, results := 0, false, map[string]uint64{}
	for _, h := range s.Hellos {
		halfOpen += h.HalfOpen
		load = load || h.UnderLoad
		for result, n := range h.Counts {
			results[strings.ReplaceAll(result, " ", "_")] += n
		}
	}
	gauge(halfOpenDesc, float64(halfOpen), string(tun.Datagrams))
	gauge(underLoadDesc, number01(load), string(tun.Datagrams))
	for result, n := range results {
		count(helloDesc, n, result)
	}
}

func collectTotals(t *tun.Totals, count func(*prometheus.Desc, uint64, ...string)) {
	count(brokenDesc, t.Broken)
	count(droppedDesc, t.Flooded, "control")
	count(droppedDesc, t.Stats.Spoofed, "spoofed")
	count(droppedDesc, t.Stats.Refused, "malformed")
	count(droppedDesc, t.Stats.Unreachable, "unreachable")
	count(droppedDesc, t.Stats.Undeliverable, "undeliverable")
	count(droppedDesc, t.Stats.TooBig, "too_big")
	count(droppedDesc, t.Stats.DroppedFull, "full")
	count(droppedDesc, t.Stats.DroppedLate, "late")
}

func number01(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
