package httpapi

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/boxes"
)

// reading is what the box itself says.
type reading struct {
	boxes.Reading
	answer *answer // nil when there was none
}

// read judges an answer to the status request.
func (s *statusRequest) read(a *answer, v *values) reading {
	f := a.facts(v)
	ok, err := s.success.Holds(f)
	if err == nil && ok {
		return reading{s.states.Judge(f, v.Mask, a.show(v.Mask), s.errorText.Text(f)), a}
	}
	l := boxes.Reading{At: time.Now(), State: encoders.StateUnknown, Answered: true, Text: s.complaint(a, f, v, err)}
	l.Refused, _ = s.permanent.Holds(f)
	return reading{l, a}
}

// complaint says what answer was expected, and what came.
func (r *request) complaint(a *answer, f facts, v *values, ruleErr error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: expected %s, got %s", r.target(v), r.success.Source, a.show(v.Mask))
	if said := boxes.Excerpt(v.Mask, r.errorText.Text(f)); said != "" && !strings.Contains(a.text, said) {
		fmt.Fprintf(&b, " (%s)", said)
	}
	if ruleErr != nil {
		fmt.Fprintf(&b, " (the condition cannot judge it: %s)", boxes.Excerpt(v.Mask, ruleErr.Error()))
	}
	return b.String()
}

// target is method and path, for errors.
func (r *request) target(v *values) string {
	_, shown, err := r.address(v, nil, true)
	if err != nil {
		return r.method + " " + r.key
	}
	return r.method + " " + boxes.Clean(v.Mask, cmp.Or(shown, "/"))
}
