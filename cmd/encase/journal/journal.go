// Package journal writes the records of log/slog to the journal of systemd, with their attributes as fields of their
// own: journalctl -t encase ENCASE_CLIENT=alice.example finds what has to do with one client.
//
// https://systemd.io/JOURNAL_NATIVE_PROTOCOL/
package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
)

// Socket is where the journal listens.
const Socket = "/run/systemd/journal/socket"

const (
	identifier = "encase"  // SYSLOG_IDENTIFIER
	prefix     = "ENCASE_" // of fields: others' names are taken
	maxValue   = 32 << 10  // bytes; what is longer is cut
	maxName    = 64        // bytes that the journal takes
)

// A Handler is a slog.Handler. Those that WithAttrs and WithGroup make of it share its socket.
type Handler struct {
	level slog.Leveler
	out   *output
	text  slog.Handler // writes attributes into out.line
	names string       // of the groups that are open, each with "_"
	bound []byte       // fields of WithAttrs
}

// An output is the socket, and what one record is made in.
type output struct {
	path string

	mu   sync.Mutex
	conn *net.UnixConn // nil: to be connected
	line bytes.Buffer
	data []byte
}

// New returns a Handler that writes to the socket at path, which is Socket but for tests, what has at least the level.
func New(path string, level slog.Leveler) *Handler {
	out := &output{path: path}
	drop := func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
			return slog.Attr{} // fields of their own
		}
		return a
	}
	text := slog.NewTextHandler(&out.line, &slog.HandlerOptions{Level: level, ReplaceAttr: drop})
	return &Handler{level: level, out: out, text: text}
}

// Enabled implements slog.Handler.
func (h *Handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

// Handle implements slog.Handler. A record that the journal does not take is an error, and lost.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	o := h.out
	o.mu.Lock()
	defer o.mu.Unlock()
	o.line.Reset()
	if err := h.text.Handle(ctx, r); err != nil {
		return err
	}
	message := strings.TrimSpace(r.Message + " " + o.line.String())
	o.data = appendField(o.data[:0], "MESSAGE", message)
	o.data = appendField(o.data, "PRIORITY", priority(r.Level))
	o.data = appendField(o.data, "SYSLOG_IDENTIFIER", identifier)
	o.data = append(o.data, h.bound...)
	r.Attrs(func(a slog.Attr) bool {
		o.data = appendAttr(o.data, h.names, a)
		return true
	})
	return o.send()
}

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.text = h.text.WithAttrs(attrs)
	next.bound = bytes.Clone(h.bound)
	for _, a := range attrs {
		next.bound = appendAttr(next.bound, h.names, a)
	}
	return &next
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	next := *h
	next.text = h.text.WithGroup(name)
	if name != "" {
		next.names += name + "_"
	}
	return &next
}

// priority returns a level as syslog has it. https://www.rfc-editor.org/rfc/rfc5424#section-6.2.1
func priority(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "3"
	case l >= slog.LevelWarn:
		return "4"
	case l >= slog.LevelInfo:
		return "6"
	}
	return "7"
}

// appendAttr appends an attribute, those of a group one by one.
func appendAttr(data []byte, names string, a slog.Attr) []byte {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			names += a.Key + "_"
		}
		for _, inner := range v.Group() {
			data = appendAttr(data, names, inner)
		}
		return data
	}
	if a.Equal(slog.Attr{}) {
		return data
	}
	return appendField(data, prefix+fieldName(names+a.Key), v.String())
}

// fieldName makes a key what the journal allows in a name.
func fieldName(key string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, key)
	return name[:min(len(name), maxName-len(prefix))]
}

// appendField appends a field. A value with line ends has its length in front.
func appendField(data []byte, name, value string) []byte {
	value = value[:min(len(value), maxValue)]
	data = append(data, name...)
	if !strings.Contains(value, "\n") {
		return append(append(append(data, '='), value...), '\n')
	}
	data = binary.LittleEndian.AppendUint64(append(data, '\n'), uint64(len(value)))
	return append(append(data, value...), '\n')
}

// send sends what is in data. A journal that was started anew has another socket at the same place.
func (o *output) send() error {
	var err error
	for range 2 {
		if o.conn == nil {
			if o.conn, err = net.DialUnix("unixgram", nil, &net.UnixAddr{Name: o.path, Net: "unixgram"}); err != nil {
				return fmt.Errorf("journal: %w", err)
			}
		}
		if _, err = o.conn.Write(o.data); err == nil {
			return nil
		}
		o.conn.Close()
		o.conn = nil
	}
	return fmt.Errorf("journal: %w", err)
}
