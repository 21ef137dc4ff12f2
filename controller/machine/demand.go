package machine

import (
	"fmt"
	"slices"
	"time"

	"github.com/oncue/oncue/controller"
)

// demand is what is wanted of a stream now, and for how long if nothing else happens.
type demand struct {
	on      bool
	empty   bool      // on, though nobody watches: idle_timeout or min_uptime is not over
	ordered bool      // by a person or the schedule: not capped, and no viewer is needed
	why     string    // plain words, for on and off alike
	until   time.Time // when it ends by itself; zero: it does not
	ends    string    // what happens at until
	wake    time.Time // off: when it turns on by itself; zero: it does not
	ask     bool      // off for idleness: the platform is asked before the stop
	capped  bool      // off, because max_uptime is reached
	limit   string    // on, but this limit forbids a start until wake
}

// demanded works out what is wanted from facts, holds, schedule, policy and the time. Whether the
// stream is up matters in one way only: some reasons keep it up that would not start it.
func (s *State) demanded(p *Policy, now time.Time) demand {
	if d, ok := s.ordered(); ok {
		return d
	}
	running := !s.Episode.IsZero()
	if p.Helper {
		return s.needed(p, now, running)
	}
	if end := s.capEnd(p); running && !end.IsZero() && !now.Before(end) {
		return demand{why: fmt.Sprintf("max_uptime of %s is reached", short(p.MaxUptime)), capped: true}
	}
	d := s.viewersWant(p, now, running)
	if !d.on && running {
		d = s.lingers(p, now)
	}
	if d.on {
		if end := s.capEnd(p); running && !end.IsZero() && (d.until.IsZero() || end.Before(d.until)) {
			d.until, d.ends = end, "stop"
		}
		return d
	}
	if running {
		d.why, d.ask = s.whyStop(p), true
	}
	return d
}

// ordered is what a person or the schedule has ordered.
func (s *State) ordered() (demand, bool) {
	switch s.Hold.Mode {
	case controller.ModeOff:
		return demand{why: "held off" + s.Hold.words()}, true
	case controller.ModeOn:
		return demand{on: true, ordered: true, why: "held on" + s.Hold.words(),
			until: s.Hold.Until, ends: "return to auto"}, true
	}
	switch s.Window.Do {
	case controller.ModeOff:
		return demand{why: "the schedule says off"}, true
	case controller.ModeOn:
		return demand{on: true, ordered: true, why: "the schedule says on",
			until: s.Window.Until, ends: "end of the scheduled window"}, true
	}
	return demand{}, false
}

// MayStart reports whether anything could start the stream: it is neither held off nor in a window
// that keeps it off, and stays in the configuration. While nothing can, nothing is kept ready.
func (s *State) MayStart() bool {
	d, ordered := s.ordered()
	return !s.Draining && (!ordered || d.on)
}

func (h Hold) words() string {
	text := ""
	if h.By != "" {
		text += " by " + h.By
	}
	if h.Why != "" {
		text += ": " + h.Why
	}
	return text
}

func (s *State) capEnd(p *Policy) time.Time {
	from := s.FirstLive
	if present, _ := s.audience(p); present && from.IsZero() && s.Cover.Name != "" { // it is the cover that they watch
		from = s.Episode
	}
	if p.MaxUptime <= 0 || from.IsZero() {
		return time.Time{}
	}
	return later(from, s.IdleFrom).Add(p.MaxUptime) // IdleFrom: a hold or a window has ended, and was not capped
}

// viewersWant is the demand of viewers, and of those who ask for the stream as viewers do: somebody
// watches, waits, or is about to join.
func (s *State) viewersWant(p *Policy, now time.Time, running bool) demand {
	live := running && s.live()
	if present, _ := s.audience(p); present && (running || s.anyOn() || s.Cover.On() || s.stranded()) {
		return demand{on: true, why: "somebody is watching"}
	}
	asked := s.asked(p, now, running, live)
	if !now.Before(asked.until) {
		return demand{why: "no viewer"}
	}
	if running {
		return asked
	}
	if cool := later(s.GoneAt, s.SpentAt).Add(p.Cooldown); p.Cooldown > 0 && now.Before(cool) {
		d := demand{why: fmt.Sprintf("cooling down: viewers are ignored for %s after a stop", short(p.Cooldown))}
		if cool.Before(asked.until) {
			d.wake = cool
		}
		return d
	}
	if free := s.wakeFree(p, now); free.After(now) {
		asked.ends, asked.wake = "give up", free
		asked.limit = fmt.Sprintf("the limit of %d starts an hour", p.MaxStartsPerHour)
	}
	return asked
}

// asked is the demand of those who ask for the stream and do not watch it: a viewer who found it
// off, one who is about to join, or the longest lease. It may be over. A lease does not ask for
// what somebody else publishes already.
func (s *State) asked(p *Policy, now time.Time, running, live bool) demand {
	d := demand{on: true, why: "a viewer is waiting", ends: "stop"}
	switch {
	case running && now.Before(s.JoinUntil):
		d.until = s.JoinUntil
		if live {
			d.why = "live, and waiting for the first viewer to join"
		}
	case !live && s.attemptCounts() && (s.FirstLive.IsZero() || s.unanswered()):
		d.until = s.Facts.Attempt.Seen.Add(p.AttemptHold)
	}
	if !running && !s.anyOn() && s.liveElsewhere(p) && !s.stranded() {
		return d
	}
	for _, l := range s.Leases {
		if l.Until.After(d.until) {
			d.until, d.why, d.ends = l.Until, "wanted by "+l.By, leaseEnds
		}
	}
	return d
}

// leaseEnds is what happens at the end of a lease.
const leaseEnds = "end of somebody's demand"

// attemptCounts reports whether the latest attempt asks for a start: it came after our last stop,
// and nobody else's broadcast is in its way.
func (s *State) attemptCounts() bool {
	a := s.Facts.Attempt
	return !a.At.IsZero() && !a.Seen.Before(s.SpentAt) && s.blockedBy(a) == nil
}

// unanswered reports whether the platform has not said since the attempt that nobody watches: the
// viewer who tried may still get in.
func (s *State) unanswered() bool {
	f := &s.Facts
	return f.Attempt.At.After(f.NoViewers.At) || f.someoneIn()
}

// reorderWindow: an attempt and the start of a feed that are this close do not contradict each
// other. Hooks are stamped when they are sent, not when the thing happened.
const reorderWindow = time.Second

// blockedBy is somebody else's feed that was up before the viewer tried. An attempt means that the
// stream is off, so one of the two hooks misleads: the hook of the feed's end was lost, or the
// platform also sends attempts of viewers that it refuses (nobody knows whether it does). The feed
// is believed, because a guess must not cut a broadcast, but not for ever: see contradicted.
func (s *State) blockedBy(a Mark) *FeedFact {
	if !s.Episode.IsZero() || s.anyOn() {
		return nil
	}
	for i := range s.Facts.Feeds {
		f := &s.Facts.Feeds[i]
		old := !s.GoneAt.IsZero() && !f.Seen.After(s.GoneAt) || s.Cover.Name != "" && f.Of == s.Cover.Name
		if f.Open() && !old && !f.Told.IsZero() && f.Told.Add(reorderWindow).Before(a.At) {
			return f
		}
	}
	return nil
}

// someoneIn reports whether by the latest hook somebody watches.
func (f *Facts) someoneIn() bool { return !f.First.At.IsZero() && !f.NoViewers.At.After(f.First.At) }

// hookDelay is the longest time that a hook about a viewer may take to arrive.
const hookDelay = 10 * time.Second

// stranded reports whether a viewer got in while the stream was being stopped, and sees no picture
// now: a player that was in does not try again, so no attempt will come.
func (s *State) stranded() bool {
	first, gone := s.Facts.First.Seen, later(s.GoneAt, s.Cover.GoneAt)
	return !gone.IsZero() && first.After(gone) && first.Sub(gone) < hookDelay
}

// live reports whether an encoder of ours is confirmed live and not being stopped.
func (s *State) live() bool {
	return slices.ContainsFunc(s.Encoders, func(e Encoder) bool { return e.Step == StepOn })
}

// wakeFree is when a viewer may start the stream again under max_starts_per_hour.
func (s *State) wakeFree(p *Policy, now time.Time) time.Time {
	if p.MaxStartsPerHour <= 0 {
		return now
	}
	recent := s.Wakes
	for len(recent) > 0 && now.Sub(recent[0]) >= time.Hour {
		recent = recent[1:]
	}
	if len(recent) < p.MaxStartsPerHour {
		return now
	}
	return recent[len(recent)-p.MaxStartsPerHour].Add(time.Hour)
}

// lingers is what keeps a running stream up though nobody watches.
func (s *State) lingers(p *Policy, now time.Time) demand {
	d := demand{}
	if s.FirstLive.IsZero() {
		if _, empty := s.audience(p); s.Cover.Name != "" && now.Before(empty) { // of those who watched the cover
			d = demand{on: true, empty: true, why: "nobody is counted any more", until: empty, ends: "stop"}
		}
		return d
	}
	if p.KeepElsewhere && !s.SpentAt.After(s.FirstLive) { // after it: a person has stopped the encoder
		return demand{on: true, why: "nobody is watching here; viewers_elsewhere: keep holds it up"}
	}
	keep := func(end time.Time, why string) {
		if now.Before(end) && end.After(d.until) {
			d = demand{on: true, empty: true, why: why, until: end, ends: "stop"}
		}
	}
	keep(s.FirstLive.Add(p.MinUptime), fmt.Sprintf("nobody is watching; min_uptime of %s is not over", short(p.MinUptime)))
	from := s.idleFrom()
	if _, empty := s.audience(p); empty.After(s.Episode.Add(-p.AttemptHold)) || s.Joined {
		from = later(from, empty)
	}
	if !from.IsZero() {
		keep(from.Add(p.IdleTimeout), "nobody is watching")
	}
	return d
}

// idleFrom is when something other than a viewer ceased to keep the stream up; zero: nothing did.
func (s *State) idleFrom() time.Time {
	if s.LeaseEnd.After(s.FirstLive) {
		return later(s.IdleFrom, s.LeaseEnd)
	}
	return s.IdleFrom
}

func (s *State) whyStop(p *Policy) string {
	switch {
	case s.FirstLive.IsZero():
		return "nobody is waiting any more"
	case !s.Joined && s.idleFrom().IsZero():
		return fmt.Sprintf("nobody joined within %s", short(p.JoinTimeout))
	default:
		return fmt.Sprintf("nobody has watched for %s", short(p.IdleTimeout))
	}
}

// short prints a duration without trailing zero units: 1m, 90s as 1m30s, 2h.
func short(d time.Duration) string {
	if d <= 0 {
		return "0s"
	}
	text := d.Round(time.Millisecond).String()
	for _, tail := range []string{"m0s", "h0m"} {
		if n := len(text) - len(tail); n >= 0 && text[n:] == tail {
			text = text[:n+1]
		}
	}
	return text
}
