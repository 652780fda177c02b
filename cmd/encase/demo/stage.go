package demo

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/encase-tls/encase/cmd/encase/terminal"
)

// A stage is what the demonstration is shown on. After an error of the output it shows nothing.
type stage struct {
	out  io.Writer
	show terminal.Terminal
	acts int
	err  error
}

// nowhere takes everything.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

func (s *stage) line(format string, args ...any) { s.write(fmt.Sprintf(format, args...) + "\n") }

func (s *stage) write(text string) {
	if s.err == nil {
		_, s.err = io.WriteString(s.out, text)
	}
}

// act begins a numbered section.
func (s *stage) act(format string, args ...any) {
	s.acts++
	text := fmt.Sprintf("%d. ", s.acts) + fmt.Sprintf(format, args...)
	for _, line := range terminal.Wrap(text, s.show.Columns()) {
		s.line("%s", s.show.Paint(terminal.Bold, line))
	}
}

func (s *stage) rows(rows ...terminal.Row) {
	if s.err == nil {
		s.err = s.show.WriteRows(s.out, 3, rows)
	}
}

const (
	barWidth = 30
	redraw   = 100 * time.Millisecond
)

// progress shows on a terminal how much of total has been done until stop is called, which takes it away again.
func (s *stage) progress(total int64) (done *atomic.Int64, stop func()) {
	done = new(atomic.Int64)
	if !s.show.Interactive {
		return done, func() {}
	}
	quit, over := make(chan struct{}), make(chan struct{})
	start := time.Now()
	go func() {
		defer close(over)
		tick := time.NewTicker(redraw)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				s.write("\r\x1b[K")
				return
			case <-tick.C:
				s.write("\r" + bar(done.Load(), total, time.Since(start)))
			}
		}
	}()
	return done, func() {
		close(quit)
		<-over
	}
}

// bar draws how far done is on the way to total.
func bar(done, total int64, since time.Duration) string {
	part := int(done * barWidth / max(total, 1))
	return fmt.Sprintf("   [%s%s] %3d %%  %s/s", strings.Repeat("#", part), strings.Repeat(".", barWidth-part),
		done*100/max(total, 1), perSecond(rate(done, since)))
}

// rate returns bytes per second.
func rate(n int64, d time.Duration) float64 { return float64(n) / max(d, time.Microsecond).Seconds() }

// perSecond writes a number of bytes with three digits or so.
func perSecond(bytes float64) string {
	const mib = 1 << 20
	if bytes >= 100*mib {
		return fmt.Sprintf("%.0f MiB", bytes/mib)
	}
	return fmt.Sprintf("%.2f MiB", bytes/mib)
}

// name returns the name in a spec, which may be long.
func name(spec string) string {
	const most = 24
	if name, _, ok := strings.Cut(spec, ":"); ok && len(spec) > most {
		return name
	}
	return spec
}
