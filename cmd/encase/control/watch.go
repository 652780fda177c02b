package control

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/encase-tls/encase/cmd/encase/terminal"
	"github.com/encase-tls/encase/tun"
)

// samples is how many columns a curve has.
const samples = 60

// A history is what a tunnel was like lately.
type history struct {
	last   *State
	total  curves
	byPeer map[string]*curves
}

// curves are those of one peer, or of the interface; the newest sample is the last.
type curves struct{ sent, received, rtt, loss, queue []float64 }

// add takes in the next State.
func (h *history) add(s *State) {
	last := h.last
	h.last = s
	if last == nil {
		return
	}
	seconds := s.Now.Sub(last.Now).Seconds()
	if seconds <= 0 {
		return
	}
	note(&h.total.sent, per(s.Device.ReadBytes, last.Device.ReadBytes, seconds))
	note(&h.total.received, per(s.Device.WrittenBytes, last.Device.WrittenBytes, seconds))
	now := map[string]*curves{} // who has gone is forgotten
	for i := range s.Sessions {
		p := &s.Sessions[i]
		c := h.byPeer[p.Peer]
		if c == nil {
			c = &curves{}
		}
		now[p.Peer] = c
		c.add(p, find(last.Sessions, p.ID), seconds)
	}
	h.byPeer = now
}

func find(list []tun.Session, id string) *tun.Session {
	for i := range list {
		if list[i].ID == id {
			return &list[i]
		}
	}
	return nil
}

func (c *curves) add(p, last *tun.Session, seconds float64) {
	sent, received, queue := totals(p)
	if last != nil {
		before, had, _ := totals(last)
		note(&c.sent, per(sent, before, seconds))
		note(&c.received, per(received, had, seconds))
	}
	note(&c.queue, float64(queue))
	for _, o := range p.Connections {
		if o.Carrier == p.Active {
			note(&c.rtt, o.RTT)
			note(&c.loss, 100*o.Loss)
			break
		}
	}
}

func totals(p *tun.Session) (sent, received uint64, queue int) {
	for _, o := range p.Connections {
		sent += o.Stats.SentBytes
		received += o.Stats.ReceivedBytes
		queue += o.Waiting
	}
	return sent, received, queue
}

// per returns a rate. When a connection has ended its bytes are missing: that is no negative rate.
func per(now, before uint64, seconds float64) float64 {
	if now < before {
		return 0
	}
	return float64(now-before) / seconds
}

func note(curve *[]float64, v float64) {
	*curve = append(*curve, v)
	*curve = (*curve)[max(0, len(*curve)-samples):]
}

func (h *history) writeTotal(b *strings.Builder, show terminal.Terminal) {
	if h == nil {
		return
	}
	writeCurve(b, show, "sent", h.total.sent, rateText)
	writeCurve(b, show, "received", h.total.received, rateText)
}

func (h *history) writePeer(b *strings.Builder, show terminal.Terminal, p *tun.Session) {
	if h == nil || h.byPeer[p.Peer] == nil {
		return
	}
	c := h.byPeer[p.Peer]
	writeCurve(b, show, "sent", c.sent, rateText)
	writeCurve(b, show, "received", c.received, rateText)
	writeCurve(b, show, "round trip", c.rtt, func(v float64) string { return fmt.Sprintf("%.2f ms", v) })
	writeCurve(b, show, "loss", c.loss, func(v float64) string { return fmt.Sprintf("%.1f %%", v) })
	writeCurve(b, show, "queue", c.queue, func(v float64) string { return bytesText(uint64(v)) })
}

// rateText writes bytes per second as networks have it.
func rateText(v float64) string {
	bits, unit := 8*v, "bit/s"
	for _, u := range []string{"kbit/s", "Mbit/s", "Gbit/s"} {
		if bits < 1000 {
			break
		}
		bits, unit = bits/1000, u
	}
	return fmt.Sprintf("%.3g %s", bits, unit)
}

// writeCurve writes a curve with its newest value and its greatest.
func writeCurve(b *strings.Builder, show terminal.Terminal, name string, values []float64, text func(float64) string) {
	const beside = 50 // columns for what is written around it
	if len(values) == 0 {
		return
	}
	width := min(samples, max(10, show.Columns()-beside))
	values = values[max(0, len(values)-width):]
	most := 0.0
	for _, v := range values {
		most = max(most, v)
	}
	fmt.Fprintf(b, "     %-10s %s %s, most %s\n", name, show.Paint(terminal.Green, sparkline(values, width, most)),
		text(values[len(values)-1]), text(most))
}

// sparkline draws values from 0 to most in one line, the newest on the right.
func sparkline(values []float64, width int, most float64) string {
	steps := []rune(" ▁▂▃▄▅▆▇█")
	line := []rune(strings.Repeat(" ", width-len(values)))
	for _, v := range values {
		i := 0
		if most > 0 && v > 0 {
			i = 1 + int(v/most*float64(len(steps)-2)+0.5)
		}
		line = append(line, steps[min(i, len(steps)-1)])
	}
	return string(line)
}

// A View shows one State after the other, with curves of what has changed: in place on a terminal, else one below the
// other.
type View struct {
	w    io.Writer
	show terminal.Terminal
	h    history
}

// NewView returns a View that writes to w.
func NewView(w io.Writer) *View { return &View{w: w, show: terminal.Of(w)} }

// Show shows a State.
func (v *View) Show(s *State) error {
	v.h.add(s)
	var page bytes.Buffer
	writeStatus(&page, v.show, s, &v.h)
	return v.put(page.Bytes())
}

// put makes a page replace the one before it, without a flicker.
func (v *View) put(page []byte) error {
	const home, clearLine, clearBelow = "\x1b[H", "\x1b[K\n", "\x1b[J"
	out := append(page, '\n')
	if v.show.Interactive {
		out = []byte(home + strings.ReplaceAll(string(page), "\n", clearLine) + clearBelow)
	}
	_, err := v.w.Write(out)
	return err
}

// watchStatus shows the status again and again until ctx ends. A daemon that is away for a while is waited for.
func watchStatus(ctx context.Context, w io.Writer, ask func(context.Context) (*State, error),
	every time.Duration) error {
	v := NewView(w)
	for tick := time.NewTicker(every); ; {
		s, err := ask(ctx)
		switch {
		case err == nil:
			err = v.Show(s)
		case v.h.last == nil:
		case ctx.Err() == nil:
			err = v.put([]byte(terminal.Message(err.Error()) + "\n"))
		}
		if err != nil && ctx.Err() == nil {
			tick.Stop()
			return err
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return nil
		case <-tick.C:
		}
	}
}
