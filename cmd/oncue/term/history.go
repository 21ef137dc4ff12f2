package term

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oncue/oncue/controller"
)

// Step is a line of a folded history.
type Step struct {
	controller.Transition
	Count int              `json:"count"`
	First *controller.Time `json:"first"`
}

// why is the reason: "failed 5 times since 03:37:12: connection refused".
func (t Step) why(now time.Time) string {
	cause, ok := strings.CutPrefix(t.Reason, "failed: ")
	if !ok || t.Count < 2 || t.First == nil {
		return t.Reason
	}
	return fmt.Sprintf("failed %d times since %s: %s", t.Count, Clock(t.First.Time, now), cause)
}

// HistoryTable writes the steps of a stream, which come newest first, the newest last.
func (s Screen) HistoryTable(id string, steps []Step, now time.Time) {
	if len(steps) == 0 {
		s.Printf("%s has no history yet\n", Harmless(id))
		return
	}
	slices.Reverse(steps)
	rows := make([][]Cell, len(steps))
	for i, step := range steps {
		why := step.why(now)
		if step.Encoder != "" {
			why += " (" + step.Encoder + ")"
		}
		rows[i] = []Cell{
			{step.At.Local().Format(timeLayout(steps[0].At.Time, now)), Faint}, {string(step.To), phaseStyle(step.To)},
			{Text: step.Event}, {Text: why},
		}
	}
	s.Table([]Column{
		{Name: "TIME"}, {Name: "PHASE"}, {Name: "EVENT", Fit: Ending, Least: 12}, {Name: "WHY", Fit: Folded, Least: 24},
	}, rows)
}

// timeLayout leaves the day out when everything since oldest was today.
func timeLayout(oldest, now time.Time) string {
	if oldest.Local().Format(time.DateOnly) == now.Local().Format(time.DateOnly) {
		return "15:04:05.000"
	}
	return "2006-01-02 15:04:05"
}
