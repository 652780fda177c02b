package forward

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// A gate lets a number of connections in.
type gate struct {
	most    atomic.Int64 // 0: any number
	inside  atomic.Int64
	refused atomic.Int64 // since the program began
}

// enter reports whether one more may come in.
func (g *gate) enter() bool {
	if n, most := g.inside.Add(1), g.most.Load(); most > 0 && n > most {
		g.inside.Add(-1)
		g.refused.Add(1)
		return false
	}
	return true
}

// full reports whether enter would fail; if so, somebody is refused.
func (g *gate) full() bool {
	if most := g.most.Load(); most == 0 || g.inside.Load() < most {
		return false
	}
	g.refused.Add(1)
	return true
}

func (g *gate) leave() { g.inside.Add(-1) }

// A sparseLog writes what could happen very often, but not more often than once a second; it says how often it did not.
type sparseLog struct {
	mu         sync.Mutex
	last       time.Time
	suppressed int
}

const sparseInterval = time.Second

func (l *sparseLog) warn(log *slog.Logger, msg string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Sub(l.last) < sparseInterval {
		l.suppressed++
		return
	}
	if l.suppressed > 0 {
		args = append(args, "not_logged", l.suppressed)
	}
	l.last, l.suppressed = now, 0
	log.Log(context.Background(), slog.LevelWarn, msg, args...)
}
