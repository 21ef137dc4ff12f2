package web

import (
	"slices"
	"strings"
	"unicode"

	"github.com/oncue/oncue/controller"
)

// foldedStep is one line of a history for people: a transition, or the same failure as often as it came without success between.
type foldedStep struct {
	controller.Transition
	Count int              `json:"count,omitempty"` // failures that the line stands for
	First *controller.Time `json:"first,omitempty"` // when the first of them was; At is the last
}

// fold shortens a story: each failure is told once and not once more as the reason of the phase that follows, and the tries that end in the same failure
// become one line. Both are newest first.
func fold(story []controller.Transition) []foldedStep {
	out := make([]foldedStep, 0, len(story))
	failed := -1 // the line of the failure that may come again
	for _, t := range slices.Backward(story) {
		cause, isFailure := strings.CutPrefix(t.Reason, "failed: ")
		isFailure = isFailure && t.From == t.To && t.Encoder != ""
		switch {
		case isFailure && failed >= 0 && out[failed].Encoder == t.Encoder && alike(causeOf(out[failed]), cause):
			f := out[failed]
			f.Seq, f.At, f.To, f.Event, f.Reason, f.Deadline = t.Seq, t.At, t.To, t.Event, t.Reason, t.Deadline
			f.Count++
			out = append(out[:failed], f)
		case isFailure:
			first := t.At
			failed = len(out)
			out = append(out, foldedStep{t, 1, &first})
		case failed >= 0 && tellsAgain(t, out[failed]):
			out[failed].To, out[failed].Deadline = t.To, t.Deadline
		default:
			switch t.To {
			case controller.PhaseStarting, controller.PhaseStopping, controller.PhaseBackoff, controller.PhaseFailed:
			default: // it went well, or nobody wants it any more
				failed = -1
			}
			out = append(out, foldedStep{Transition: t})
		}
	}
	slices.Reverse(out)
	return out
}

func causeOf(f foldedStep) string { return strings.TrimPrefix(f.Reason, "failed: ") }

// tellsAgain reports whether the reason of a step is nothing but the failure before it.
func tellsAgain(t controller.Transition, f foldedStep) bool {
	cause := causeOf(f)
	return strings.HasSuffix(t.Reason, "; "+f.Encoder+" failed: "+cause) || strings.HasSuffix(t.Reason, "; "+f.Encoder+" is given up: "+cause) ||
		t.Reason == "restarting: "+cause
}

// alike reports whether two causes are the same but for their numbers: a port, a process, a time.
func alike(a, b string) bool {
	words := func(s string) string {
		return strings.Map(func(r rune) rune {
			if unicode.IsDigit(r) {
				return -1
			}
			return r
		}, s)
	}
	return words(a) == words(b)
}
