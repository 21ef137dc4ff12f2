package obs

import "time"

// streamStatus is the answer to GetStreamStatus.
type streamStatus struct {
	Active       bool    `json:"outputActive"` // false while OBS is starting
	Reconnecting bool    `json:"outputReconnecting"`
	DurationMS   int64   `json:"outputDuration"`
	Bytes        int64   `json:"outputBytes"`
	Frames       int64   `json:"outputTotalFrames"`
	Skipped      int64   `json:"outputSkippedFrames"`
	Congestion   float64 `json:"outputCongestion"`
}

// stats is the part of the answer to GetStats that is used.
type stats struct {
	FPS      float64 `json:"activeFps"`
	Rendered int64   `json:"renderTotalFrames"`
}

// reading is one poll: both answers, and when they were asked for.
type reading struct {
	stream streamStatus
	stats  stats
	asked  time.Time
}

// polled follows one poll. Events are believed first. A poll overrules only events and requests
// that are older than overruleAge: then one was missed.
func (o *output) polled(r reading, now time.Time) {
	active, newer, overrules := r.stream.Active, r.asked.After(o.moved), r.asked.Sub(o.moved) >= overruleAge
	o.rendered, o.counted = r.stats.Rendered, r.asked
	switch o.phase {
	case phaseStarting:
		switch {
		case active && newer:
			o.begun(now)
		case !active && !now.Before(o.deadline):
			o.startExpired(now)
		}
	case phaseStopped:
		switch {
		case active && overrules:
			o.begun(now)
		case !active && newer:
			o.closing = false
		}
	case phaseLive, phaseReconnecting, phaseStopping:
		if overrules {
			o.overrule(r.stream, now)
		}
	}
	o.meter.measure(r, o.phase == phaseLive && !r.stream.Reconnecting, now)
}

// overrule corrects the phase of an output that was on.
func (o *output) overrule(st streamStatus, now time.Time) {
	switch {
	case !st.Active:
		o.stopped(now)
	case o.phase == phaseLive && st.Reconnecting:
		o.move(phaseReconnecting, now)
	case o.phase == phaseReconnecting && !st.Reconnecting:
		o.move(phaseLive, now)
	}
}

// startExpired ends a start of which OBS has told nothing until the deadline.
func (o *output) startExpired(now time.Time) {
	failure := startSilent
	if o.asked {
		failure = ""
	}
	o.end(failure, now)
}

// reconnected follows the first poll of a new connection. We did not ask for what changed
// meanwhile.
func (o *output) reconnected(r reading, now time.Time) {
	st := r.stream
	restarted := o.wasRestarted(r)
	before := o.phase
	if restarted && before == phaseStarting {
		before = phaseLive // the start ended with the old process
	}
	o.exiting, o.rendered, o.counted = false, r.stats.Rendered, r.asked
	switch {
	case !st.Active && before == phaseStarting && now.Before(o.deadline):
		o.moved = now // it may still be starting
	case !st.Active:
		o.endedUnseen(before, restarted, now)
		o.clear = now.Add(o.quiet)
	default:
		o.beganUnseen(before, restarted, now.Add(-time.Duration(st.DurationMS)*time.Millisecond), now)
		if st.Reconnecting {
			o.move(phaseReconnecting, now)
		}
	}
	o.meter = meter{}
	o.meter.measure(r, false, now)
	o.meter.advanced = now
}

// wasRestarted reports whether this OBS is another process than the one before. OBS counts the
// frames that it renders or should have rendered. A process that has begun since the last poll has
// at most those of the time since, and the old process has all its earlier ones as well. One second
// is left for clocks and rounding.
func (o *output) wasRestarted(r reading) bool {
	since := r.stats.FPS * (r.asked.Sub(o.counted).Seconds() - 1)
	return o.exiting || r.stats.Rendered < o.rendered ||
		o.rendered > 0 && float64(r.stats.Rendered) < since+float64(o.rendered)/2
}

// endedUnseen follows an output that is off, and was in the phase before when the connection was
// lost.
func (o *output) endedUnseen(before phase, restarted bool, now time.Time) {
	wasOn := before == phaseLive || before == phaseReconnecting
	switch {
	case o.asked || before == phaseStopping:
		o.end("", now)
	case wasOn && restarted:
		o.end(obsGone, now)
	case before == phaseReconnecting, before == phaseStarting:
		o.end(endedItself, now)
	default:
		o.byHand = wasOn || o.byHand
		o.end("", now)
	}
}

// beganUnseen follows an output that is on, since about begun, and was in the phase before when the
// connection was lost.
func (o *output) beganUnseen(before phase, restarted bool, begun, now time.Time) {
	switch {
	case before == phaseUnseen && o.owner.Stream != "" && begun.After(o.owner.At.Add(-clockSlack)):
		// the start that the file remembers
	case before == phaseUnseen:
		o.owner, o.byHand = started{}, o.remembers
	case before == phaseStopped || restarted:
		o.newRun(started{}, true)
	case before == phaseStopping:
		o.stopDue = o.asked // that stop was lost: it is sent again
	}
	o.move(phaseLive, now)
}
