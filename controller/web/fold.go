package web

import (
	"slices"
	"strings"
	"unicode"

	"github.com/oncue/oncue/controller"
)

// foldedStep is one line of a history for people: a transition, or a failure that repeated without
// a success in between.
type foldedStep struct {
	controller.Transition
	Count int              `json:"count,omitempty"` // failures that the line stands for
	First *controller.Time `json:"first,omitempty"` // time of the first of them; At is the last
}

// fold shortens a history: a failure is listed once and not again as the reason of the phase that
// follows, and attempts that end in the same failure become one line. Both histories are newest
// first.
func fold(history []controller.Transition) []foldedStep {
	out := make([]foldedStep, 0, len(history))
	failed := -1 // index of the failure that may repeat
	for _, t := range slices.Backward(history) {
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
		case failed >= 0 && repeats(t, out[failed]):
			out[failed].To, out[failed].Deadline = t.To, t.Deadline
		default:
			switch t.To {
			case controller.PhaseStarting, controller.PhaseStopping, controller.PhaseBackoff, controller.PhaseFailed:
			default: // it succeeded, or the stream is no longer wanted
				failed = -1
			}
			out = append(out, foldedStep{Transition: t})
		}
	}
	slices.Reverse(out)
	return out
}

func causeOf(f foldedStep) string { return strings.TrimPrefix(f.Reason, "failed: ") }

// repeats reports whether the reason of a step says nothing but the failure before it.
func repeats(t controller.Transition, f foldedStep) bool {
	cause := causeOf(f)
	return strings.HasSuffix(t.Reason, "; "+f.Encoder+" failed: "+cause) ||
		strings.HasSuffix(t.Reason, "; "+f.Encoder+" is given up: "+cause) ||
		t.Reason == "restarting: "+cause
}

// alike reports whether two causes differ only in numbers: a port, a process, a time.
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
