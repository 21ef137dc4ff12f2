package secret

import (
	"context"
	"log/slog"
)

// Logger returns l with the secrets removed from every message and attribute.
func (m *Masker) Logger(l *slog.Logger) *slog.Logger { return slog.New(handler{l.Handler(), m}) }

type handler struct {
	slog.Handler
	mask *Masker
}

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, h.mask.Mask(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(h.attr(a))
		return true
	})
	return h.Handler.Handle(ctx, out)
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(h.attrs(attrs)), h.mask}
}
func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.Handler.WithGroup(name), h.mask}
}

func (h handler) attrs(list []slog.Attr) []slog.Attr {
	out := make([]slog.Attr, len(list))
	for i, a := range list {
		out[i] = h.attr(a)
	}
	return out
}

func (h handler) attr(a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindGroup:
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(h.attrs(v.Group())...)}
	case slog.KindString, slog.KindAny:
		if text := v.String(); h.mask.Holds(text) {
			return slog.String(a.Key, h.mask.Mask(text))
		}
	}
	return a
}

// Error returns err with the secrets removed from its text. errors.Is and errors.As work as before.
func (m *Masker) Error(err error) error {
	if err == nil || !m.Holds(err.Error()) {
		return err
	}
	return maskedError{m.Mask(err.Error()), err}
}

type maskedError struct {
	text string
	err  error
}

func (e maskedError) Error() string { return e.text }
func (e maskedError) Unwrap() error { return e.err }
