package tunnel

import (
	"io"
	"log/slog"
	"os"

	"github.com/encase-tls/encase/cmd/encase/journal"
)

// newLogger returns a logger in the format that a configuration asks for. It writes to w, or to the journal.
func newLogger(w io.Writer, level slog.Leveler, format string) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if f, ok := w.(*os.File); ok && format == "auto" && journal.Reads(f) {
		format = "journal"
	}
	switch format {
	case "journal":
		return slog.New(journal.New(journal.Socket, level))
	case "json":
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
