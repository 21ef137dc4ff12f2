package daemon

import (
	"bytes"
	"io"
	"log/slog"

	"github.com/lmittmann/tint"

	"github.com/oncue/oncue/cmd/oncue/term"
)

// newLogger makes the daemon's log: coloured on a terminal, with syslog priorities where journald
// reads it, else plain text or JSON.
func newLogger(to io.Writer, level *slog.LevelVar, format string) *slog.Logger {
	w := &logSink{to: to}
	switch {
	case format == "json":
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
	case format == "text":
		return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
	case term.ReadByJournald(to):
		return slog.New(newJournald(w, level))
	case term.IsTerminal(to):
		return slog.New(tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: "15:04:05.000"}))
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// journald turns each line's level into its priority. Lines have no time, because journald adds its
// own.
type journald struct{ w io.Writer }

func newJournald(w io.Writer, level *slog.LevelVar) slog.Handler {
	withoutTime := func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	return slog.NewTextHandler(journald{w}, &slog.HandlerOptions{Level: level, ReplaceAttr: withoutTime})
}

// Write gets one whole record, which begins with its level.
func (j journald) Write(line []byte) (int, error) {
	for level, priority := range map[string]string{
		"level=ERROR ": term.PriorityError, "level=WARN ": term.PriorityWarn, "level=INFO ": term.PriorityInfo,
		"level=DEBUG ": term.PriorityDebug,
	} {
		if rest, ok := bytes.CutPrefix(line, []byte(level)); ok {
			if _, err := j.w.Write(append([]byte(priority), rest...)); err != nil {
				return 0, err
			}
			return len(line), nil
		}
	}
	return j.w.Write(line)
}

func levelOf(name string) slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(name)); err != nil {
		return slog.LevelInfo
	}
	return l
}
