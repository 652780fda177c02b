package demo

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/encase-tls/encase/cmd/encase/terminal"
)

const (
	rounds    = 7
	minRounds = 3
	roundTime = 300 * time.Millisecond // what a round is to take; shorter ones say little
	patience  = 8 * time.Second        // after which no new round begins
	maxRound  = 1 << 30
)

// throughput is what the rounds of one kind yielded, in bytes per second.
type throughput struct {
	Median float64 `json:"median_bytes_per_second"`
	Min    float64 `json:"min_bytes_per_second"`
	Max    float64 `json:"max_bytes_per_second"`
	Rounds int     `json:"rounds"`
}

// compare measures the codec and crypto/tls in turns.
func (o *options) compare(ctx context.Context, s *stage, w *world, r *results) error {
	s.act("Throughput, in turns with crypto/tls over TCP")
	cased, err := w.link(ctx)
	if err != nil {
		return err
	}
	defer cased.close()
	defer cased.until(ctx)()
	plain, err := w.plainLink(ctx)
	if err != nil {
		return err
	}
	defer plain.close()
	defer plain.until(ctx)()
	n, err := o.roundSize(plain, cased)
	if err != nil {
		return err
	}
	ours, theirs, err := race(s, cased, plain, n)
	if err != nil {
		return err
	}
	r.Encase, r.CryptoTLS = sum(ours), sum(theirs)
	r.Ratio = math.Round(100*r.Encase.Median/r.CryptoTLS.Median) / 100
	s.rows(
		terminal.Row{Name: "crypto/tls", Text: r.CryptoTLS.String()},
		terminal.Row{Name: "encase", Text: r.Encase.String()},
		terminal.Row{Name: "ratio", Text: fmt.Sprintf("%.2f of the medians of %d rounds of %s each",
			r.Ratio, len(ours), size(n).text())})
	s.line("")
	return nil
}

// roundSize warms both links up and returns how much to carry in a round: at most what was asked for in bulk.
func (o *options) roundSize(links ...*link) (int64, error) {
	warmUp := min(int64(o.size), 16<<20)
	slowest := math.MaxFloat64
	for _, l := range links {
		took, err := l.transfer(warmUp, nil, nil)
		if err != nil {
			return 0, err
		}
		slowest = min(slowest, rate(warmUp, took))
	}
	n := int64(slowest*roundTime.Seconds()) &^ (1<<20 - 1)
	return min(max(n, 1<<20), int64(o.size), maxRound), nil
}

// race carries n bytes over one link and then over the other, and so on.
func race(s *stage, ours, theirs *link, n int64) (a, b []float64, err error) {
	done, stop := s.progress(2 * rounds)
	defer stop()
	start := time.Now()
	for i := range rounds {
		if i >= minRounds && time.Since(start) > patience {
			break
		}
		turns := []turn{{ours, &a}, {theirs, &b}}
		if i%2 == 1 {
			slices.Reverse(turns)
		}
		for _, t := range turns {
			took, err := t.link.transfer(n, nil, nil)
			if err != nil {
				return nil, nil, err
			}
			*t.rates = append(*t.rates, rate(n, took))
			done.Add(1)
		}
	}
	return a, b, nil
}

type turn struct {
	link  *link
	rates *[]float64
}

func sum(rates []float64) throughput {
	sorted := slices.Sorted(slices.Values(rates))
	return throughput{sorted[len(sorted)/2], sorted[0], sorted[len(sorted)-1], len(sorted)}
}

func (t throughput) String() string {
	return fmt.Sprintf("%s/s (%s to %s)", perSecond(t.Median), perSecond(t.Min), perSecond(t.Max))
}
