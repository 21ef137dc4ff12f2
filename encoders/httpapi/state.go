package httpapi

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/oncue/oncue/encoders"
)

// stateRule is a condition and the state that it means.
type stateRule struct {
	name  string
	state encoders.State
	rule  rule
}

type stateSource struct {
	name   string
	state  encoders.State
	source string
}

// rules lists the conditions in the order in which they are tried.
func (s Status) rules() []stateSource {
	return []stateSource{
		{"unknown", encoders.StateUnknown, s.Unknown},
		{"failed", encoders.StateFailed, s.Failed},
		{"reconnecting", encoders.StateStalled, s.Reconnecting},
		{"stopping", encoders.StateStopping, s.Stopping},
		{"starting", encoders.StateStarting, s.Starting},
		{"live", encoders.StatePublishing, s.Live},
		{"stopped", encoders.StateStopped, s.Stopped},
	}
}

// reading is what the box itself says, without what the driver remembers.
type reading struct {
	at       time.Time
	state    encoders.State
	text     string // what went wrong, in words
	health   *encoders.Health
	running  time.Duration // since the start; 0 when the box does not say
	progress string        // "" when the box does not say
	refused  bool          // the box refuses our password
	answer   *answer       // nil when there was none
}

// read judges an answer to the status request.
func (s *statusRequest) read(a *answer, v *values) reading {
	f := a.facts(v)
	l := reading{at: time.Now(), state: encoders.StateUnknown, answer: a}
	ok, err := s.success.holds(f)
	if err != nil || !ok {
		l.refused, _ = s.permanent.holds(f)
		l.text = s.complaint(a, f, v, err)
		return l
	}
	for _, r := range s.states {
		holds, err := r.rule.holds(f)
		if err != nil {
			l.text = fmt.Sprintf("status: the rule %s cannot judge the answer (%s): %s",
				r.name, excerpt(v.mask, err.Error()), a.show(v.mask))
			return l
		}
		if !holds {
			continue
		}
		l.state = r.state
		break
	}
	why := func(otherwise string) string {
		return cmp.Or(excerpt(v.mask, s.errorText.text(f)), otherwise+": "+a.show(v.mask))
	}
	switch l.state {
	case encoders.StateUnknown:
		l.text = why("status: no rule fits the answer")
	case encoders.StateFailed:
		l.text = why("the box says that it has failed")
	case encoders.StateStalled:
		l.text = why("the box is on, but does not deliver")
	case encoders.StatePublishing:
		s.measure(&l, f)
	}
	return l
}

func (s *statusRequest) measure(l *reading, f facts) {
	h := encoders.Health{
		BitrateBPS: s.bitrate.number(f), FPS: s.fps.number(f),
		Frames: whole(s.frames.number(f)), Dropped: whole(s.dropped.number(f)), Bytes: whole(s.bytes.number(f)),
	}
	if h != (encoders.Health{}) {
		l.health = &h
	}
	if n := s.duration.number(f); n != nil && *n > 0 && *n < 1e9 {
		l.running = time.Duration(*n * float64(time.Second))
	}
	l.progress = s.progressOf.text(f)
}

func whole(n *float64) *int64 {
	if n == nil || *n < 0 || *n >= 1<<63 {
		return nil
	}
	i := int64(*n)
	return &i
}

// complaint says what answer was expected, and what came.
func (r *request) complaint(a *answer, f facts, v *values, ruleErr error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: expected %s, got %s", r.target(v), r.success.source, a.show(v.mask))
	if said := excerpt(v.mask, r.errorText.text(f)); said != "" && !strings.Contains(a.text, said) {
		fmt.Fprintf(&b, " (%s)", said)
	}
	if ruleErr != nil {
		fmt.Fprintf(&b, " (the condition cannot judge it: %s)", excerpt(v.mask, ruleErr.Error()))
	}
	return b.String()
}

// target is method and path, for errors.
func (r *request) target(v *values) string {
	shown, err := r.address(v, nil, true)
	if err != nil {
		return r.method + " " + r.key
	}
	return r.method + " " + clean(v.mask, pathOf(shown))
}
