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

// why is the reason, with the encoder that it is about: "failed 5 times since 03:37:12: connection
// refused (cam)".
func (t Step) why(now time.Time) string {
	why := t.Reason
	if cause, ok := strings.CutPrefix(why, "failed: "); ok && t.Count >= 2 && t.First != nil {
		why = fmt.Sprintf("failed %d times since %s: %s", t.Count, Clock(t.First.Time, now), cause)
	}
	if t.Encoder != "" {
		why += " (" + t.Encoder + ")"
	}
	return why
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
		rows[i] = []Cell{
			{step.At.Local().Format(timeLayout(steps[0].At.Time, now)), Faint}, {string(step.To), phaseStyle(step.To)},
			{Text: step.Event}, {Text: step.why(now)},
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
