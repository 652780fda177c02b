package tunnel

import (
	"io"
	"log/slog"
)

// newLogger returns a logger that writes to w, in the format that a configuration asks for.
func newLogger(w io.Writer, level slog.Leveler, format string) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
