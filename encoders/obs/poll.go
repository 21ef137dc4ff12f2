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

// stats is the answer to GetStats, as far as it is of use.
type stats struct {
	FPS      float64 `json:"activeFps"`
	Rendered int64   `json:"renderTotalFrames"`
}

// look is one poll: both answers, and when they were asked for.
type look struct {
	stream streamStatus
	stats  stats
	asked  time.Time
}

// looked takes a poll in. Events are believed first; a poll corrects them when they are older than settle, which is when one was missed.
func (o *output) looked(l look, now time.Time) {
	st := l.stream
	settled := l.asked.Sub(o.moved) >= settle
	o.rendered, o.counted = l.stats.Rendered, l.asked
	switch {
	case o.phase == phaseStarting && st.Active && l.asked.After(o.moved):
		o.begun(now)
	case o.phase == phaseStarting && !st.Active && !now.Before(o.deadline):
		failure := startSilent
		if o.asked {
			failure = ""
		}
		o.end(failure, now)
	case o.phase == phaseStopped && !st.Active && l.asked.After(o.moved):
		o.closing = false
	case o.phase == phaseStopped && st.Active && settled:
		o.begun(now)
	case (o.on() || o.phase == phaseStopping) && !st.Active && settled:
		o.stopped(now)
	case o.phase == phaseLive && st.Reconnecting && settled:
		o.move(phaseReconnecting, now)
	case o.phase == phaseReconnecting && st.Active && !st.Reconnecting && settled:
		o.move(phaseLive, now)
	}
	o.meter.measure(l, o.phase == phaseLive && !st.Reconnecting, now)
}

// returned takes in the first poll of a new connection. What changed meanwhile was not asked for by us.
func (o *output) returned(l look, now time.Time) {
	st := l.stream
	fresh := o.isFresh(l)
	before := o.phase
	if fresh && before == phaseStarting {
		before = phaseLive // whatever was under way died with the old process
	}
	o.exiting, o.rendered, o.counted = false, l.stats.Rendered, l.asked
	switch {
	case !st.Active && before == phaseStarting && now.Before(o.deadline):
		o.moved = now // still starting, for all we know
	case !st.Active:
		o.endedUnseen(before, fresh, now)
		o.clear = now.Add(o.quiet)
	default:
		o.onUnseen(before, fresh, now.Add(-time.Duration(st.DurationMS)*time.Millisecond), now)
		if st.Reconnecting {
			o.move(phaseReconnecting, now)
		}
	}
	o.meter = meter{}
	o.meter.measure(l, false, now)
	o.meter.advanced = now
}

// isFresh reports whether this OBS is another process than the one before. OBS counts the frames it renders, also those it should have; a
// process that has begun since has at most those of the time since, and the old one all of its earlier ones besides. A second's worth is left
// for clocks and rounding.
func (o *output) isFresh(l look) bool {
	since := l.stats.FPS * (l.asked.Sub(o.counted).Seconds() - 1)
	return o.exiting || l.stats.Rendered < o.rendered || o.rendered > 0 && float64(l.stats.Rendered) < since+float64(o.rendered)/2
}

// endedUnseen: it is off now.
func (o *output) endedUnseen(before phase, fresh bool, now time.Time) {
	wasOn := before == phaseLive || before == phaseReconnecting
	switch {
	case o.asked || before == phaseStopping:
		o.end("", now)
	case wasOn && fresh:
		o.end(obsGone, now)
	case before == phaseReconnecting, before == phaseStarting:
		o.end(endedItself, now)
	default:
		o.byHand = wasOn || o.byHand
		o.end("", now)
	}
}

// onUnseen: it is on now, since about begun.
func (o *output) onUnseen(before phase, fresh bool, begun, now time.Time) {
	switch {
	case before == phaseUnseen && o.owner.Stream != "" && begun.After(o.owner.At.Add(-clockSlack)):
		// our start of an earlier life
	case before == phaseUnseen:
		o.owner, o.byHand = claim{}, o.remembers
	case before == phaseStopped || fresh:
		o.owner, o.failure, o.byHand, o.asked, o.stopDue = claim{}, "", true, false, false
	case before == phaseStopping:
		o.stopDue = o.asked // that stop was lost: it is sent again
	}
	o.move(phaseLive, now)
}
