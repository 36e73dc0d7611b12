package sluicegate

import (
	"bytes"
	"context"
	"log/slog"
	"strings"

	"sluicegate/internal/host"
)

// The packages log and log/slog write to the gateway's log, with the plugin's name and the request id.
func init() { slog.SetDefault(slog.New(newHandler())) }

// handler lets slog's own handler encode the attributes, and gives level and message to the gateway apart from them.
type handler struct {
	inner slog.Handler
	line  *bytes.Buffer
}

func newHandler() handler {
	line := new(bytes.Buffer)
	options := slog.HandlerOptions{Level: slog.LevelDebug - 4, ReplaceAttr: func(groups []string, attr slog.Attr) slog.Attr {
		isOwn := attr.Key == slog.TimeKey || attr.Key == slog.LevelKey || attr.Key == slog.MessageKey
		if len(groups) == 0 && isOwn {
			return slog.Attr{}
		}
		return attr
	}}
	return handler{slog.NewJSONHandler(line, &options), line}
}

func (h handler) Enabled(context.Context, slog.Level) bool { return true }

func (h handler) Handle(ctx context.Context, record slog.Record) error {
	h.line.Reset()
	if err := h.inner.Handle(ctx, record); err != nil {
		return err
	}
	// Levels of the gateway are four apart in slog: trace, debug, info, warn, error.
	level := min(max(int(record.Level)/4+2, 0), 4)
	host.Log(uint8(level), record.Message, strings.TrimSpace(h.line.String()))
	return nil
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.inner.WithAttrs(attrs), h.line}
}

func (h handler) WithGroup(name string) slog.Handler { return handler{h.inner.WithGroup(name), h.line} }
