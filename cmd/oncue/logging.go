package main

import (
	"bytes"
	"io"
	"log/slog"
	"os"

	systemd "github.com/coreos/go-systemd/v22/journal"
	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// newLogger makes the daemon's log: coloured on a terminal, with syslog priorities where journald reads it, else plain text or JSON.
func newLogger(w io.Writer, level *slog.LevelVar, format string) *slog.Logger {
	switch {
	case format == "json":
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
	case format == "text":
		return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
	case readByJournald(w):
		return slog.New(newJournald(w, level))
	case isTerminal(w):
		return slog.New(tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: "15:04:05.000"}))
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// readByJournald reports whether what is written here goes to journald. That the variable is set is not enough: terminals hand it down from the desktop.
func readByJournald(w io.Writer) bool {
	if s, ok := w.(*logSink); ok {
		w = s.to
	}
	is, err := systemd.StderrIsJournalStream()
	return w == os.Stderr && err == nil && is
}

func isTerminal(w any) bool {
	if s, ok := w.(*logSink); ok {
		w = s.to
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Priorities that journald takes off the beginning of a line, and files the line under (sd-daemon(3)).
const (
	priorityError = "<3>"
	priorityWarn  = "<4>"
	priorityInfo  = "<6>"
	priorityDebug = "<7>"
)

// graded is for what people are told beside the log. Where journald reads it, each line carries its priority; elsewhere its words say how bad it is.
func graded(w io.Writer, priority string) io.Writer {
	if !readByJournald(w) {
		return w
	}
	return grader{w, priority}
}

type grader struct {
	w        io.Writer
	priority string
}

// Write gets whole lines.
func (g grader) Write(text []byte) (int, error) {
	var out []byte
	for line := range bytes.Lines(text) {
		out = append(append(out, g.priority...), line...)
	}
	if _, err := g.w.Write(out); err != nil {
		return 0, err
	}
	return len(text), nil
}

// journald turns each line's level into its priority. The time is left out: journald has its own.
type journald struct{ w io.Writer }

func newJournald(w io.Writer, level *slog.LevelVar) slog.Handler {
	return slog.NewTextHandler(journald{w}, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
}

// Write gets one whole record, which begins with its level.
func (j journald) Write(line []byte) (int, error) {
	for level, priority := range map[string]string{"level=ERROR ": priorityError, "level=WARN ": priorityWarn, "level=INFO ": priorityInfo, "level=DEBUG ": priorityDebug} {
		if rest, ok := bytes.CutPrefix(line, []byte(level)); ok {
			if _, err := j.w.Write(append([]byte(priority), rest...)); err != nil {
				return 0, err
			}
			return len(line), nil
		}
	}
	return j.w.Write(line)
}
