package fake

import (
	"cmp"
	"fmt"
	"time"

	"github.com/oncue/oncue/encoders"
)

// state is what the box remembers. What it does at a given time follows from its state and the
// settings, so that nothing has to run in between.
type state struct {
	Stream  string    `json:"stream"`            // stream id of the last start
	Run     string    `json:"run"`               // of the last start, "" when made by hand
	Started time.Time `json:"started,omitzero"`  // when it was switched on last
	Stopped time.Time `json:"stopped,omitzero"`  // when it was switched off since; zero while on
	Died    time.Time `json:"died,omitzero"`     // when it died since; zero when it did not
	Why     string    `json:"why,omitempty"`     // of its death
	Stalled time.Time `json:"stalled,omitzero"`  // when it was made to stall since
	ByHand  bool      `json:"by_hand,omitempty"` // the last change was a press
	Starts  int       `json:"starts"`            // asked for so far, refused ones included
	Stops   int       `json:"stops"`
}

// phase is what the box does at one time.
type phase struct {
	state encoders.State
	since time.Time
	err   string
	next  time.Time // when it changes by itself; zero: not
}

func (st state) at(now time.Time, s Settings) phase {
	if st.Started.IsZero() {
		return phase{state: encoders.StateStopped}
	}
	live := st.Started.Add(s.StartDelay)
	died, why := st.Died, st.Why
	if due := live.Add(s.DieAfter); s.DieAfter > 0 && (died.IsZero() || due.Before(died)) &&
		(st.Stopped.IsZero() || due.Before(st.Stopped)) {
		died, why = due, cmp.Or(s.DieError, fmt.Sprintf("the fake encoder died after %v", s.DieAfter))
	}
	switch {
	case !died.IsZero() && !now.Before(died):
		return phase{state: encoders.StateFailed, since: died, err: why}
	case !st.Stopped.IsZero():
		gone := st.Stopped.Add(s.StopDelay)
		if s.IgnoreStop {
			return phase{state: encoders.StateStopping, since: st.Stopped, next: died}
		}
		if now.Before(gone) {
			return phase{state: encoders.StateStopping, since: st.Stopped, next: gone}
		}
		return phase{state: encoders.StateStopped, since: gone}
	case now.Before(live):
		return phase{state: encoders.StateStarting, since: st.Started, next: live}
	}
	stalled := st.Stalled
	if due := live.Add(s.StallAfter); s.StallAfter > 0 && (stalled.IsZero() || due.Before(stalled)) {
		stalled = due
	}
	if !stalled.IsZero() && !now.Before(stalled) {
		return phase{state: encoders.StateStalled, since: stalled, err: "the fake encoder delivers nothing", next: died}
	}
	return phase{state: encoders.StatePublishing, since: live, next: sooner(stalled, died)}
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// health is what the box measures of a run that has published since live. It points into the
// settings for the figures that are set there.
func (s *Settings) health(live, now time.Time) *encoders.Health {
	run := now.Sub(live).Seconds()
	m := &struct { // one allocation: a thousand boxes are asked again and again
		encoders.Health
		frames, bytes int64
		speed         float64
	}{frames: int64(run * s.FPS), bytes: int64(run * s.BitrateBPS / 8), speed: 1}
	m.Health = encoders.Health{BitrateBPS: &s.BitrateBPS, FPS: &s.FPS, Frames: &m.frames, Dropped: &s.Dropped,
		Bytes: &m.bytes, Congestion: &s.Congestion, Speed: &m.speed}
	return &m.Health
}

const (
	stateFile = "fake.json"
	pressFile = "press"
)
