package machine

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/encoders"
)

// Decide is the machine: from the state of one stream, what happened, what the configuration says
// and what time it is, it makes the next state and the actions to take. It is pure: same input,
// same output. roll is in [0,1) and only spreads retries. The caller saves the state before it
// acts.
func Decide(s State, ev Event, p *Policy, now time.Time, roll float64) (State, []Action) {
	m := &machine{State: s.Clone(), p: p, now: now, roll: roll, label: ev.Label()}
	m.fit(p)
	m.count()
	before := m.Phase
	m.merge(ev)
	m.settle()
	if m.Phase != before {
		m.tell(before, "", m.Reason)
	} else if m.lease != "" && !m.claiming { // a claim that is granted changes the phase
		m.tell(before, "", m.lease)
	}
	if _, ok := ev.(Reloaded); ok {
		m.tellRemoved(m.Phase != before)
	}
	for i, a := range m.acts {
		if t, ok := a.(Tell); ok && !m.Deadline.IsZero() {
			t.Deadline = &controller.Time{Time: m.Deadline}
			m.acts[i] = t
		}
	}
	return m.State, m.acts
}

// The platform is asked before a stop for idleness. While it does not answer, the encoder is kept
// up, but not for ever: a hook has said that nobody watches.
const (
	askAgain    = 5 * time.Second
	askPatience = 15 * time.Minute
	askTimeout  = 30 * time.Second // after this the answer is lost; who asks gives up sooner
	// A feed that another one of the same source replaces may end a moment before that one starts.
	takeOver = 3 * time.Second
)

type machine struct {
	State
	p        *Policy
	now      time.Time
	roll     float64
	label    string
	lease    string // what the event says of a lease, for the history
	acts     []Action
	claiming bool
	demand   demand
}

func (m *machine) do(a Action) { m.acts = append(m.acts, a) }

// tell adds a line to the history.
func (m *machine) tell(from controller.Phase, encoder, reason string) {
	m.do(Tell{controller.Transition{
		At: controller.Time{Time: m.now}, From: from, To: m.Phase, Event: m.label, Reason: reason, Encoder: encoder,
	}})
}

// warn adds a line to the history that is a warning in the log.
func (m *machine) warn(encoder, reason string) {
	m.do(Tell{controller.Transition{
		At: controller.Time{Time: m.now}, From: m.Phase, To: m.Phase, Event: m.label, Reason: reason, Encoder: encoder,
		Warning: true,
	}})
}

// count brings the sums up to now.
func (m *machine) count() {
	if t := &m.Totals; t.From.IsZero() {
		t.From, t.At = m.now, m.now
	}
	m.Totals = m.TotalsAt(m.p, m.now)
}

// merge takes the event into the facts.
func (m *machine) merge(ev Event) {
	switch ev := ev.(type) {
	case controller.Hook:
		before := m.Facts.Attempt
		m.Facts.hook(ev)
		if i, found := m.Facts.find(ev.Feed.ID); found && ev.Again {
			m.Facts.Feeds[i].Again = m.now
		}
		m.hooked(ev, before)
	case Polled:
		back := m.backSince()
		if m.LiveSince.IsZero() && m.anyOn() && !m.Cover.MayRun() {
			back = m.now // the answer may be the first sign of it
		}
		m.Facts.polled(ev, back, m.p.uncounted(), func(f *FeedFact) bool { return m.leftover(m.p, f) })
		m.answered(ev, back)
	case AskFailed:
		m.noAnswer(ev)
	case EncoderSeen:
		if e := m.Encoder(ev.Encoder); e != nil && e.Instance == ev.Instance {
			if e.Version == "" && e.MayRun() {
				e.Version = ev.Version
				m.tellKept(e)
			}
			m.seen(e, ev.Status)
		}
	case Leftover:
		m.leftRunning(ev)
	case StartDone:
		if e := m.Encoder(ev.Encoder); e != nil && e.Run == ev.Run {
			m.startDone(e, ev)
		}
	case StopDone:
		if e := m.Encoder(ev.Encoder); e != nil && e.Run == ev.Run {
			m.stopDone(e, ev)
		}
	case Claimed:
		if e := m.Encoder(ev.Encoder); e != nil {
			e.Claimed, e.Holder = ev.OK, ev.Holder
		}
	case Freed:
		for e := range m.All() {
			if e.Device == ev.Device {
				e.Holder = ""
			}
		}
	case HelperSeen:
		m.helperSeen(ev)
	case Needed:
		m.neededBy(ev)
	case Yield:
		m.yield(ev)
	case Contended:
		m.Contended = ev
	case ModeSet:
		m.setMode(ev)
	case Leased:
		m.leased(Lease(ev))
	case Booted:
		m.boot()
	case Reloaded:
		m.Draining, m.DeafSince = false, time.Time{}
		m.forgive(false)
		for e := range m.All() {
			m.tellKept(e)
		}
	case TokenChanged:
		m.retryNow()
	case Drained:
		m.Draining = true
		if ev.Deaf && m.DeafSince.IsZero() {
			m.DeafSince = m.now
		}
	}
	m.Facts.forget(m.now)
	m.attribute()
	m.Unheard = slices.DeleteFunc(m.Unheard, func(r PastRun) bool { return m.now.Sub(r.GoneAt) >= hookDelay })
}

// tellKept reports an encoder that runs with other settings than the configuration has now.
func (m *machine) tellKept(e *Encoder) {
	if now := m.p.Encoder(e.Name); now != nil && e.MayRun() && e.Outdated(now) {
		m.tell(m.Phase, e.Name, "goes on as it was started; what the configuration says now counts from its next start on")
	}
}

// tellRemoved reports encoders that are stopped because the stream no longer has them, unless the
// change of phase has just reported one.
func (m *machine) tellRemoved(phaseTold bool) {
	for i := range m.Encoders {
		e := &m.Encoders[i]
		if e.MayRun() && m.p.Encoder(e.Name) == nil && !(phaseTold && m.Reason == e.Name+" "+removed) {
			m.tell(m.Phase, e.Name, removed)
		}
	}
}

const removed = "is no longer an encoder of this stream"

func (m *machine) hooked(h controller.Hook, before Mark) {
	switch h.Kind {
	case controller.HookAttempt:
		if m.Facts.Attempt != before && m.blockedBy(m.Facts.Attempt) != nil {
			m.contradicted(before)
		}
		if !m.FirstLive.IsZero() && m.attemptCounts() && m.unanswered() && m.Facts.Attempt.Seen.Equal(h.Received) {
			m.JoinUntil = later(m.JoinUntil, h.Received.Add(m.p.JoinTimeout))
		}
	case controller.HookNoViewers:
		left := m.Facts.NoViewers
		if !m.Episode.IsZero() && !left.Seen.Before(m.Episode) && left.At.After(m.Facts.Attempt.At) {
			m.Joined, m.JoinUntil = true, time.Time{} // they left, so they had come, whatever was lost
		}
	}
}

// contradicted handles a viewer who finds the stream off while somebody else's feed seems to be
// open. The platform is asked; where that is not possible, viewers are believed once they have kept
// trying for attempt_hold.
func (m *machine) contradicted(before Mark) {
	if m.Blocked.IsZero() || m.now.Sub(before.Seen) > 2*m.p.AttemptHold {
		m.Blocked = m.now
	}
	if m.p.CanAsk && m.Asking.Why == "" {
		m.Asking = Question{"blocked", m.now}
		m.do(Ask{})
	} else if !m.p.CanAsk && m.now.Sub(m.Blocked) >= m.p.AttemptHold {
		m.unblock("viewers keep finding it off")
	}
}

// unblock counts the feeds that viewers contradict as closed.
func (m *machine) unblock(why string) {
	for f := m.blockedBy(m.Facts.Attempt); f != nil; f = m.blockedBy(m.Facts.Attempt) {
		f.close(m.now)
		m.warn("", fmt.Sprintf("feed %s counts as closed: %s", f.ID, why))
	}
	m.Blocked = time.Time{}
}

func (m *machine) setMode(ev ModeSet) {
	was := m.Hold.Mode
	m.Hold = Hold(ev)
	if ev.Mode == controller.ModeAuto {
		m.Hold = Hold{}
	}
	if was == controller.ModeOn && ev.Mode == controller.ModeAuto {
		m.IdleFrom = m.now
	}
	if ev.Mode == controller.ModeOn {
		m.forgive(true)
	}
}

// leased takes a lease in, in the place of the one with its name.
func (m *machine) leased(l Lease) {
	at, found := slices.BinarySearchFunc(m.Leases, l.By, func(x Lease, by string) int { return cmp.Compare(x.By, by) })
	switch {
	case !m.now.Before(l.Until):
		if found {
			m.Leases = slices.Delete(m.Leases, at, at+1)
			m.LeaseEnd, m.lease = m.now, "no longer wanted by "+l.By
		}
	case found:
		m.Leases[at].Until = l.Until
	case len(m.Leases) < LeaseLimit:
		l.Asked = m.now
		m.Leases = slices.Insert(m.Leases, at, l)
		m.lease = fmt.Sprintf("wanted by %s, for %s", l.By, short(l.Until.Sub(m.now)))
	}
}

// endLeases drops the leases whose time is over.
func (m *machine) endLeases() {
	m.Leases = slices.DeleteFunc(m.Leases, func(l Lease) bool {
		over := !m.now.Before(l.Until)
		if over {
			m.LeaseEnd = later(m.LeaseEnd, l.Until)
		}
		return over
	})
}

// forgive lets encoders that were given up try again, and with hurry those that wait for a retry,
// too.
func (m *machine) forgive(hurry bool) {
	for e := range m.All() {
		if e.Step == StepFailed || hurry && e.Step == StepBackoff {
			e.Step, e.Since, e.Failures, e.RetryAt = StepOff, m.now, 0, time.Time{}
		}
	}
}

// retryNow ends the wait of encoders that have failed. Their failures still count: one that fails
// again waits as long as it would have.
func (m *machine) retryNow() {
	for e := range m.All() {
		switch {
		case e.Step == StepFailed:
			e.Step, e.Since = StepBackoff, m.now
		case e.Step == StepStopping && e.Then == StepFailed:
			e.Then = StepBackoff
		}
		if e.Step == StepBackoff || e.Then == StepBackoff {
			e.RetryAt = m.now
		}
	}
}

func (m *machine) boot() {
	m.Asking, m.AskedStop, m.StopOK, m.Contended = Question{}, time.Time{}, time.Time{}, Contended{}
	m.Helped = nil
	for e := range m.All() {
		e.Known, e.Busy, e.Ended, e.Calling, e.Boot, e.Holder, e.Seen = false, false, "", false, false, "", encoders.Status{}
		switch e.Step {
		case StepStarting, StepOn:
			e.Boot = true
		case StepStopping:
			e.Calling = true
			m.do(StopEncoder{e.Name, e.Instance, e.Run})
		case StepWaiting:
			e.Step, e.Since = StepOff, m.now
		case StepHelpers: // what has begun for it goes on
			e.NeedSince = m.now
		}
	}
}

// settle closes the gap between what is wanted and what is seen.
func (m *machine) settle() {
	if u := m.Hold.Until; !u.IsZero() && !m.now.Before(u) {
		if m.Hold.Mode == controller.ModeOn {
			m.IdleFrom = m.now
		}
		m.Hold = Hold{}
	}
	m.endLeases()
	was := m.Window.Do
	m.Window = m.p.Schedule.At(m.now)
	if was != m.Window.Do && m.label == (Timer{}).Label() {
		m.label = "schedule"
	}
	if was == controller.ModeOn && m.Window.Do != controller.ModeOn && !m.Episode.IsZero() {
		m.IdleFrom = m.now
	}
	if m.Asking.Why != "" && m.now.Sub(m.Asking.Since) > askTimeout {
		m.noAnswer(AskFailed{})
	}
	m.observe()
	m.confirmLive()
	m.watchFeeds()
	m.demand = m.want()
	m.Wanted = m.demand.on
	m.drive()
	m.driveCover()
	m.keepHelpers()
	m.closeFeeds()
	m.derive()
}

// want works out the demand, asks the platform before a stop, gives way to another stream that
// needs the encoder, and begins or ends the episode.
func (m *machine) want() demand {
	d := m.demanded(m.p, m.now)
	if m.Draining && !m.anyOn() {
		d = demand{why: "no longer in the configuration"}
	}
	if end := m.DeafSince.Add(m.p.IdleTimeout); d.on && !d.ordered && !m.DeafSince.IsZero() {
		d.why += "; its account is no longer in the configuration, so nobody will say when that ends"
		if d.until, d.ends = end, "stop"; !m.now.Before(end) {
			d = demand{why: "its account is no longer in the configuration, and nobody says who watches"}
		}
	}
	if c := m.Contended; d.on && c.By != "" && c.Outranked {
		d = demand{why: "makes room for " + c.By + ", which has a better rank"}
	}
	if by := m.Contended.By; d.on && by != "" && (d.empty || m.Contended.First && !d.ordered && !m.Joined) {
		d = demand{why: "given up early for " + by, ask: true}
	}
	if d.on {
		m.AskedStop, m.StopOK = time.Time{}, time.Time{}
	}
	if d.ask && !d.on && m.p.CanAsk && (m.mayBeLive() || !m.AskedStop.IsZero() && m.restarts()) {
		if kept, ok := m.askBeforeStop(d); ok {
			return kept
		}
	}
	if d.on && m.Episode.IsZero() && d.limit == "" {
		m.beginEpisode(d)
	}
	if !d.on && !m.Episode.IsZero() {
		m.endEpisode(d)
	}
	return d
}

func (m *machine) beginEpisode(d demand) {
	m.Episode, m.ForViewers, m.Blocked = m.now, !d.ordered, time.Time{}
	m.FirstLive, m.Joined, m.JoinUntil, m.IdleFrom = time.Time{}, false, time.Time{}, time.Time{}
	m.LeaseEnd = time.Time{}
	if !m.live() { // a stand-in of the last episode may still be stopping
		m.LiveSince, m.Unconfirmed = time.Time{}, false
	}
	if !d.ordered {
		m.wait()
		m.Totals.Wakes++
		m.Wakes = slices.DeleteFunc(append(m.Wakes, m.now), func(t time.Time) bool { return m.now.Sub(t) >= time.Hour })
	}
	for e := range m.All() {
		e.Deaths, e.Restarts = 0, 0
		if e.Step == StepFailed {
			e.Step, e.Since = StepOff, m.now
		}
	}
}

// endEpisode ends the episode. Earlier attempts and viewers no longer count.
func (m *machine) endEpisode(d demand) {
	if d.capped {
		m.do(Notify{"max_uptime", d.why})
		m.Leases = nil // who still wants the stream asks again, as a viewer does
	}
	if !m.Joined && m.ForViewers && !m.ProofAfter.Before(m.Episode) { // it was started for viewers, and none came
		m.Totals.Wasted++
	}
	m.Episode, m.FirstLive, m.SpentAt = time.Time{}, time.Time{}, m.now
	m.Joined, m.JoinUntil, m.IdleFrom, m.LeaseEnd = false, time.Time{}, time.Time{}, time.Time{}
	m.InUse, m.Contended, m.Asking = "", Contended{}, Question{}
}

// mayBeLive reports whether an encoder is live, or may be without our knowing it: hooks get lost.
// The cover is as good: somebody may watch it.
func (m *machine) mayBeLive() bool {
	for e := range m.All() {
		if e.Step == StepOn || e.Step == StepStarting {
			return true
		}
	}
	return false
}

// restarts reports whether an encoder has failed and is to start again. Its viewers see no picture,
// and are not counted.
func (m *machine) restarts() bool {
	return slices.ContainsFunc(m.Encoders, func(e Encoder) bool {
		return e.Step == StepBackoff || e.Step == StepStopping && e.Then == StepBackoff
	})
}

// askBeforeStop asks the platform before a stop for idleness. ok: the stream is kept up until then.
func (m *machine) askBeforeStop(d demand) (kept demand, ok bool) {
	if m.AskedStop.IsZero() {
		m.AskedStop = m.now
	}
	if !m.StopOK.IsZero() && !m.StopOK.Before(m.AskedStop) || m.now.Sub(m.AskedStop) >= askPatience {
		return demand{}, false
	}
	if counted := m.backSince().Add(m.p.uncounted()); m.now.Before(counted) {
		why := d.why + "; it has only just gone live, and viewers who come back are not counted yet"
		return demand{on: true, empty: true, why: why, until: counted, ends: "ask the platform"}, true
	}
	if m.Asking.Why == "" && !m.now.Before(m.Asking.Since) {
		m.Asking = Question{"stop", m.now}
		m.do(Ask{})
	}
	kept = demand{on: true, empty: true, why: d.why + "; asking the platform before the stop"}
	if m.Asking.Why == "" {
		kept.why = d.why + "; oncue cannot ask the platform, so it stays on"
		kept.until, kept.ends = m.Asking.Since, "ask again"
	}
	return kept, true
}

// answered takes what the platform's API says, to our question or to the regular poll, of a stream
// that has been live since back.
func (m *machine) answered(a Polled, back time.Time) {
	nobody := !a.Live || a.Viewers == 0 && a.Asked.Sub(back) >= m.p.uncounted()
	if !m.AskedStop.IsZero() && !a.Asked.Before(m.AskedStop) && nobody {
		m.StopOK = m.now
	}
	if m.Asking.Why == "start" && !a.Asked.Before(m.Asking.Since) && !a.Live {
		m.startTimedOut("not live at the platform")
	}
	if m.Asking.Why == "blocked" && !a.Asked.Before(m.Asking.Since) && !a.Live {
		m.unblock("the platform says that the stream is off")
	}
	if !a.Asked.Before(m.Asking.Since) {
		m.Asking = Question{}
	}
}

// noAnswer takes that the API did not answer our question.
func (m *machine) noAnswer(a AskFailed) {
	if m.Asking.Why == "" {
		return
	}
	switch why := m.Asking.Why; why {
	case "start", "blocked":
		m.Asking = Question{}
		if why == "start" {
			m.evidence()
		} else if m.now.Sub(m.Blocked) >= m.p.AttemptHold {
			m.unblock("viewers keep finding it off, and oncue cannot ask the platform")
		}
		return
	}
	m.Asking = Question{Since: m.now.Add(askAgain)}
	if a.Refused || !m.live() || m.Contended.By != "" { // keep up only what is live and blocks nobody
		m.StopOK = m.now
	}
}

// derive names the phase and the next moment at which something may change by itself.
func (m *machine) derive() {
	phase, reason := m.phase()
	reason += m.coverShown(phase)
	m.noteOnAir()
	if m.claiming { // the claim is answered before anything is saved
		return
	}
	if phase != m.Phase {
		m.Since = m.now
	}
	m.Phase, m.Reason = phase, reason
	m.Deadline, m.Does = m.next()
}

func (m *machine) phase() (controller.Phase, string) {
	d := m.demand
	m.Managed = true
	var on, starting, stopping, waiting, helpers, backoff, failed *Encoder
	for i := range m.Encoders {
		e := &m.Encoders[i]
		switch e.Step {
		case StepOn:
			on = cmp.Or(on, e)
		case StepStarting:
			starting = cmp.Or(starting, e)
		case StepStopping:
			stopping = cmp.Or(stopping, e)
		case StepWaiting:
			waiting = cmp.Or(waiting, e)
		case StepHelpers:
			helpers = cmp.Or(helpers, e)
		case StepBackoff:
			backoff = cmp.Or(backoff, e)
		case StepFailed:
			failed = cmp.Or(failed, e)
		}
	}
	switch {
	case on != nil && d.empty:
		return controller.PhaseLingering, d.why
	case on != nil:
		why := d.why
		if !slices.ContainsFunc(m.Encoders, func(e Encoder) bool { return m.shows(m.p, &e) }) {
			why = "the feed ended; waiting a moment for another to take over"
		} else if m.Unconfirmed {
			why += "; not confirmed by the platform, but the encoder delivers"
		}
		return controller.PhaseLive, why
	case starting != nil && d.empty && m.AskedStop.IsZero():
		return controller.PhaseStarting, d.why + "; it starts again in case a viewer comes back"
	case starting != nil:
		return controller.PhaseStarting, d.why
	case stopping != nil && stopping.Alarmed:
		return controller.PhaseStopping, fmt.Sprintf("%s does not stop: %s", stopping.Name, stopping.Error)
	case stopping != nil:
		why := d.why
		if m.p.Encoder(stopping.Name) == nil {
			why = stopping.Name + " " + removed
		} else if d.on {
			why = "wanted again: starts as soon as the old run is gone"
			if stopping.Then == StepBackoff {
				why = "restarting: " + stopping.Error
			}
		}
		return controller.PhaseStopping, why
	case d.on && helpers != nil:
		return controller.PhaseStarting, fmt.Sprintf("%s; %s waits for %s", d.why, helpers.Name, m.awaited(helpers).Helper)
	case m.p.Helper && m.foreign():
		m.Managed = false
		return controller.PhaseLive, d.why + "; somebody else has switched it on, and it is left alone"
	case d.on && m.foreign():
		m.Managed = false
		return controller.PhaseLive, d.why + "; the broadcast was started by somebody else and is left alone"
	case d.on && m.takenByHand() != nil:
		return controller.PhaseWaiting, fmt.Sprintf("%s; %s was started by somebody else and is left alone",
			d.why, m.takenByHand().Name)
	case d.on && d.limit != "":
		return controller.PhaseWaiting, d.why + "; " + d.limit + " is reached"
	case d.on && waiting != nil:
		return controller.PhaseWaiting, fmt.Sprintf("%s; %s is held by %s", d.why, waiting.Name, waiting.Holder)
	case d.on && backoff != nil:
		return controller.PhaseBackoff, fmt.Sprintf("%s; %s failed: %s", d.why, backoff.Name, backoff.Error)
	case d.on && failed != nil:
		return controller.PhaseFailed, fmt.Sprintf("%s; %s is given up: %s", d.why, failed.Name, failed.Error)
	case d.on:
		return controller.PhaseStarting, d.why
	case m.foreign() || m.liveElsewhere(m.p):
		m.Managed = false
		why := "somebody else's broadcast, left alone"
		if m.blockedBy(m.Facts.Attempt) != nil && !m.Blocked.IsZero() {
			why += "; viewers find the stream off, though"
		}
		return controller.PhaseLive, why
	case m.feedPending():
		return controller.PhaseStopping, "the encoder is gone; waiting for the platform to close its feed"
	}
	return controller.PhaseIdle, cmp.Or(d.why, "no viewer")
}

// foreign reports whether an encoder of this stream alone runs at somebody else's word.
func (m *machine) foreign() bool {
	return slices.ContainsFunc(m.Encoders, func(e Encoder) bool { return e.Foreign() && !m.shared(&e) })
}

// takenByHand is an encoder of several streams that runs at somebody else's word, or nil: nobody
// can say for which stream it does.
func (m *machine) takenByHand() *Encoder {
	for i := range m.Encoders {
		if e := &m.Encoders[i]; e.Foreign() && m.shared(e) {
			return e
		}
	}
	return nil
}

func (m *machine) shared(e *Encoder) bool {
	spec := m.p.Encoder(e.Name)
	return spec != nil && spec.Shared
}

// liveElsewhere reports whether the platform shows the stream live while nothing of ours is.
func (s *State) liveElsewhere(p *Policy) bool {
	if s.openFeed(p) != nil {
		return true
	}
	if s.Cover.MayRun() {
		return false // what is seen may be the cover
	}
	f := &s.Facts
	if f.First.At.After(f.NoViewers.At) && !f.First.Seen.Before(s.SpentAt) &&
		f.First.Seen.After(f.lastEnd()) && f.Poll.OfflineSince.IsZero() {
		return true
	}
	// The API has been seen to call a stream live that had just stopped: two answers, and the time
	// that a stop may take.
	gone := later(s.GoneAt, s.Cover.GoneAt)
	return f.Poll.Live && f.Poll.Asked.After(f.Poll.LiveSince) && f.Poll.LiveSince.After(gone.Add(p.StopTimeout))
}

// feedPending reports whether a feed of the run that is over is still open.
func (m *machine) feedPending() bool {
	return slices.ContainsFunc(m.Facts.Feeds, func(f FeedFact) bool {
		return f.Open() && m.leftover(m.p, &f) && !m.ofCover(m.p, &f)
	})
}

// next is the first moment at which something may change by itself.
func (m *machine) next() (at time.Time, does string) {
	soonest := func(t time.Time, what string) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at, does = t, what
		}
	}
	d := m.demand
	soonest(d.wake, "start")
	soonest(d.until, cmp.Or(d.ends, "stop"))
	soonest(m.Hold.Until, "return to auto")
	for _, l := range m.Leases {
		soonest(l.Until, leaseEnds)
	}
	if m.Window.Do != "" {
		soonest(m.Window.Until, "end of the scheduled window")
	} else {
		soonest(m.Window.Until, "begin of a scheduled window")
	}
	if m.Asking.Why != "" {
		soonest(m.Asking.Since.Add(askTimeout+time.Second), "go on without the platform")
	}
	for i := range m.Facts.Feeds {
		if f := &m.Facts.Feeds[i]; f.Open() && m.leftover(m.p, f) {
			soonest(m.goneAt(m.p, f).Add(m.p.StopTimeout), "count the old feed as closed")
		}
	}
	for i := range m.Encoders {
		e := &m.Encoders[i]
		switch e.Step {
		case StepStarting:
			if m.Asking.Why != "start" && !m.tooEarlyToJudge(e) && !m.hides(e) {
				soonest(e.StartedAt.Add(m.p.StartTimeout), "retry")
			}
		case StepHelpers:
			soonest(e.NeedSince.Add(m.awaited(e).Within), "retry")
		case StepOn:
			if !e.FeedLost.IsZero() {
				soonest(e.FeedLost.Add(m.grace()), "restart")
			}
		case StepBackoff:
			if d.on && m.wants(i) && !m.leftAlone(e) {
				soonest(later(e.RetryAt, m.clearAt(e)), "retry")
			}
		case StepStopping:
			if !e.Calling {
				soonest(e.StopNext, "retry the stop")
			} else if !e.Alarmed {
				soonest(e.StopAt.Add(m.p.StopTimeout), "raise an alarm")
			}
		}
	}
	if t, what := m.coverNext(); what != "" {
		soonest(t, what)
	}
	return at, does
}
