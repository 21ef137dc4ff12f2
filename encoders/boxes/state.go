package boxes

import (
	"cmp"
	"fmt"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
)

// States are the rules that make a state of what the box says, and the figures. The conditions are
// tried in this order: unknown, failed, reconnecting, stopping, starting, live, stopped. The first
// that holds is the state. When none holds, or one before it cannot be judged, the state is
// unknown.
type States struct {
	Unknown      string `yaml:"unknown" doc:"condition: the box does not know itself"`
	Failed       string `yaml:"failed" doc:"condition: it has ended by itself"`
	Reconnecting string `yaml:"reconnecting" doc:"condition: it is on, but does not deliver"`
	Stopping     string `yaml:"stopping" doc:"condition: it is about to stop"`
	Starting     string `yaml:"starting" doc:"condition: it is about to publish"`
	Live         string `yaml:"live" doc:"condition: it publishes"`
	Stopped      string `yaml:"stopped" doc:"condition: it does not publish"`
	Ended        string `yaml:"ended" doc:"expression: why it is stopped, when nobody has stopped it"`

	Bitrate    string        `yaml:"bitrate" doc:"expression: bits per second"`
	FPS        string        `yaml:"fps" doc:"expression: frames per second"`
	Frames     string        `yaml:"frames" doc:"expression: frames sent since the start"`
	Dropped    string        `yaml:"dropped" doc:"expression: frames dropped since the start"`
	Bytes      string        `yaml:"bytes" doc:"expression: bytes sent since the start"`
	Congestion string        `yaml:"congestion" doc:"expression: of the connection, 0 to 1"`
	Duration   string        `yaml:"duration" doc:"expression: seconds since the start"`
	Progress   string        `yaml:"progress" doc:"expression: a value that changes while the box delivers"`
	StallAfter time.Duration `yaml:"stall_after" doc:"live, but progress unchanged for this long is a stall; 0 = never"`
}

// stateRule is a condition and the state that it means.
type stateRule struct {
	name  string
	state encoders.State
	rule  Rule
}

// StateRules are compiled States.
type StateRules struct {
	states []stateRule
	ended  Rule

	bitrate, fps, frames, dropped, bytes, congestion, duration, progressOf Rule
}

// States compiles the rules under the key status; example is a condition that a user could write.
func (c *Compiler) States(l *Language, s States, example string) StateRules {
	var out StateRules
	for _, key := range []struct{ name, source string }{{"live", s.Live}, {"stopped", s.Stopped}} {
		if key.source == "" {
			c.Fail("status."+key.name, "must be a condition over the answer, such as '%s'", example)
		}
	}
	for _, r := range []struct {
		name   string
		state  encoders.State
		source string
	}{
		{"unknown", encoders.StateUnknown, s.Unknown},
		{"failed", encoders.StateFailed, s.Failed},
		{"reconnecting", encoders.StateStalled, s.Reconnecting},
		{"stopping", encoders.StateStopping, s.Stopping},
		{"starting", encoders.StateStarting, s.Starting},
		{"live", encoders.StatePublishing, s.Live},
		{"stopped", encoders.StateStopped, s.Stopped},
	} {
		if r.source != "" {
			out.states = append(out.states, stateRule{r.name, r.state, c.Condition(l, "status."+r.name, r.source)})
		}
	}
	measure := func(name, source string) Rule { return c.Expression(l, "status."+name, source) }
	out.ended = measure("ended", s.Ended)
	out.bitrate, out.fps, out.frames = measure("bitrate", s.Bitrate), measure("fps", s.FPS), measure("frames", s.Frames)
	out.dropped, out.bytes = measure("dropped", s.Dropped), measure("bytes", s.Bytes)
	out.congestion = measure("congestion", s.Congestion)
	out.duration, out.progressOf = measure("duration", s.Duration), measure("progress", s.Progress)
	return out
}

// Reading is what the box itself says, without what the driver remembers.
type Reading struct {
	At       time.Time
	State    encoders.State
	Text     string // what went wrong, in words
	Ended    string // stopped: why, as the box says; it matters only if nobody has stopped it
	Health   *encoders.Health
	Running  time.Duration // since the start; 0 when the box does not say
	Progress string        // "" when the box does not say
	Refused  bool          // the box refuses our password
	Answered bool          // the box has said something, if not what was expected
}

// Judge makes a reading of the facts. answer shows what the box said, and said is what it says went
// wrong, "" for nothing.
func (r *StateRules) Judge(facts any, mask *secret.Masker, answer, said string) Reading {
	l := Reading{At: time.Now(), State: encoders.StateUnknown, Answered: true}
	for _, s := range r.states {
		holds, err := s.rule.Holds(facts)
		if err != nil {
			l.Text = fmt.Sprintf("status: the rule %s cannot judge the answer (%s): %s",
				s.name, Excerpt(mask, err.Error()), answer)
			return l
		}
		if holds {
			l.State = s.state
			break
		}
	}
	why := func(otherwise string) string { return cmp.Or(Excerpt(mask, said), otherwise+": "+answer) }
	switch l.State {
	case encoders.StateUnknown:
		l.Text = why("status: no rule fits the answer")
	case encoders.StateFailed:
		l.Text = why("the box says that it has failed")
	case encoders.StateStalled:
		l.Text = why("the box is on, but does not deliver")
	case encoders.StateStopped:
		l.Ended = Excerpt(mask, r.ended.Text(facts))
	case encoders.StatePublishing:
		r.measure(&l, facts)
	}
	return l
}

func (r *StateRules) measure(l *Reading, facts any) {
	h := encoders.Health{
		BitrateBPS: r.bitrate.Number(facts), FPS: r.fps.Number(facts), Frames: whole(r.frames.Number(facts)),
		Dropped: whole(r.dropped.Number(facts)), Bytes: whole(r.bytes.Number(facts)),
		Congestion: r.congestion.Number(facts),
	}
	if h != (encoders.Health{}) {
		l.Health = &h
	}
	if n := r.duration.Number(facts); n != nil && *n > 0 && *n < 1e9 {
		l.Running = time.Duration(*n * float64(time.Second))
	}
	l.Progress = r.progressOf.Text(facts)
}

func whole(n *float64) *int64 {
	if n == nil || *n < 0 || *n >= 1<<63 {
		return nil
	}
	i := int64(*n)
	return &i
}

// Silent is the reading of a box that has not answered, or not so that it could be read.
func Silent(err error, refused bool) Reading {
	return Reading{At: time.Now(), State: encoders.StateUnknown, Text: err.Error(), Refused: refused}
}
