package controller

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// What fails is a warning in the log, whoever wants the stream; what goes as planned is not.
func TestTellLevels(t *testing.T) {
	for _, c := range []struct {
		step Transition
		want string
	}{
		{Transition{From: PhaseStarting, To: PhaseBackoff, Reason: "held on by mia; cam failed: refused"}, "WARN"},
		{Transition{From: PhaseBackoff, To: PhaseFailed, Reason: "a viewer is waiting; cam is given up: refused"}, "WARN"},
		{Transition{From: PhaseLive, To: PhaseLive, Reason: "feed F1 counts as closed", Warning: true}, "WARN"},
		{Transition{From: PhaseBackoff, To: PhaseBackoff, Reason: "held on by mia"}, "INFO"},
		{Transition{From: PhaseBackoff, To: PhaseStarting, Reason: "a viewer is waiting"}, "INFO"},
		{Transition{From: PhaseLive, To: PhaseLingering, Reason: "nobody is watching"}, "INFO"},
	} {
		var out bytes.Buffer
		s := &stream{id: "ABC123/lobby", c: &Controller{cfg: Config{Log: slog.New(slog.NewTextHandler(&out, nil))}}}
		s.tell([]Transition{c.step})
		if line := out.String(); !strings.Contains(line, "level="+c.want) || strings.Count(line, "encoder=") != 1 {
			t.Errorf("from %s to %s, %q: %s", c.step.From, c.step.To, c.step.Reason, line)
		}
	}
}
