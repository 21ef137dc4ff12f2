package term

import (
	"bytes"
	"io"
	"os"

	systemd "github.com/coreos/go-systemd/v22/journal"
	"golang.org/x/term"
)

// ReadByJournald reports whether journald reads what is written to w. A set JOURNAL_STREAM is not
// enough: terminals inherit it from the desktop.
func ReadByJournald(w io.Writer) bool {
	is, err := systemd.StderrIsJournalStream()
	return w == os.Stderr && err == nil && is
}

func IsTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Priorities at the beginning of a line, which journald removes and files the line under
// (sd-daemon(3)).
const (
	PriorityError = "<3>"
	PriorityWarn  = "<4>"
	PriorityInfo  = "<6>"
	PriorityDebug = "<7>"
)

// Graded is a writer for messages to people outside the log. Where journald reads them, each line
// carries its priority.
func Graded(w io.Writer, priority string) io.Writer {
	if !ReadByJournald(w) {
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
