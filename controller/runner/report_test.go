package runner

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/oncue/oncue/controller"
)

// What fails is a warning in the log, whoever wants the stream; what goes as planned is not.
func TestReportLevels(t *testing.T) {
	for _, c := range []struct {
		step controller.Transition
		want string
	}{
		{controller.Transition{From: controller.PhaseStarting, To: controller.PhaseBackoff,
			Reason: "held on by mia; cam failed: refused"}, "WARN"},
		{controller.Transition{From: controller.PhaseBackoff, To: controller.PhaseFailed,
			Reason: "a viewer is waiting; cam is given up: refused"}, "WARN"},
		{controller.Transition{From: controller.PhaseLive, To: controller.PhaseLive,
			Reason: "feed F1 counts as closed", Warning: true}, "WARN"},
		{controller.Transition{From: controller.PhaseBackoff, To: controller.PhaseBackoff, Reason: "held on by mia"}, "INFO"},
		{controller.Transition{From: controller.PhaseBackoff, To: controller.PhaseStarting,
			Reason: "a viewer is waiting"}, "INFO"},
		{controller.Transition{From: controller.PhaseLive, To: controller.PhaseLingering,
			Reason: "nobody is watching"}, "INFO"},
	} {
		var out bytes.Buffer
		s := &stream{id: "ABC123/lobby", c: &Controller{cfg: Config{Log: slog.New(slog.NewTextHandler(&out, nil))}}}
		s.report([]controller.Transition{c.step})
		if line := out.String(); !strings.Contains(line, "level="+c.want) || strings.Count(line, "encoder=") != 1 {
			t.Errorf("from %s to %s, %q: %s", c.step.From, c.step.To, c.step.Reason, line)
		}
	}
}
