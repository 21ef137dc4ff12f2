package machine

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/encoders"
)

// This file moves encoders: what a look at one means, when a start is confirmed live, and how each
// is brought from what is seen to what is wanted.

// seen takes what a look at an encoder found. A look that is older than the call in flight says
// nothing.
func (m *machine) seen(e *Encoder, st encoders.Status) {
	wasForeign := e.Foreign()
	if e.Calling && st.State.Gone() && (e.Step == StepStarting || e.Step == StepOn) {
		return
	}
	if st.Run != "" && st.Run == e.Ended && !st.State.Gone() {
		return // it was looked at before the stop, and told after it
	}
	if st.Stream != "" && controller.StreamID(st.Stream) != m.p.Stream { // to this stream it is off
		other := st.Stream
		st = encoders.Status{State: encoders.StateStopped, At: st.At, Standby: st.Standby, Warning: st.Warning}
		if e.On() {
			st.Error = "it serves " + other
		}
	}
	e.Seen, e.Known = st, true
	if st.State.Gone() {
		e.Busy = false
	}
	if e.On() && !st.State.Gone() && st.State != encoders.StateUnknown {
		e.Shown, e.Begun = true, e.Begun || st.State == encoders.StatePublishing
	}
	if wasForeign && st.State.Gone() && !e.On() && st.ByHand && !m.shared(e) && !m.IsCover(e) {
		m.SpentAt = m.now // the person who had started it has stopped it: what viewers asked for before is answered
	}
}

// leftRunning takes over what an earlier process left running for this stream and the store does
// not know.
func (m *machine) leftRunning(ev Leftover) {
	e := m.Encoder(ev.Encoder)
	switch {
	case e != nil && e.Instance == ev.Instance:
		m.seen(e, ev.Status)
		return
	case e != nil && m.IsCover(e) && !e.MayRun():
		*e = Encoder{Name: ev.Encoder, Instance: ev.Instance, Step: StepOff, GoneAt: e.GoneAt}
		m.seen(e, ev.Status)
		return
	case e != nil && e.MayRun(): // and of the same name: the runner stops it by itself
		return
	case e != nil:
		*e = Encoder{Name: ev.Encoder, Instance: ev.Instance, Step: StepOff}
	default:
		m.Encoders = append(m.Encoders, Encoder{Name: ev.Encoder, Instance: ev.Instance, Step: StepOff})
		e = &m.Encoders[len(m.Encoders)-1]
	}
	m.seen(e, ev.Status)
	m.takeOver(e)
}

// observe compares each encoder's step with what was seen of it.
func (m *machine) observe() {
	for i := range m.Encoders {
		e := &m.Encoders[i]
		if !e.Known {
			continue
		}
		switch e.Step {
		case StepStarting, StepOn:
			m.observeRunning(e)
		case StepOff, StepBackoff, StepFailed, StepWaiting, StepHelpers:
			m.observeIdle(e)
		}
	}
}

func (m *machine) observeRunning(e *Encoder) {
	st := &e.Seen
	other := st.Run != "" && st.Run != e.Run
	switch {
	case e.Calling:
	case e.Boot && st.State == encoders.StateUnknown:
	case e.Boot && st.State.Gone():
		e.Boot = false
		if e.Step == StepOn && st.State == encoders.StateFailed && !other {
			m.fail(e, cmp.Or(st.Error, "it ended"), st.Permanent, false)
			return
		}
		m.gone(e)
		m.tell(m.Phase, e.Name, "found off when the controller came back")
	case st.State == encoders.StateStalled:
		e.Boot = false
		m.fail(e, cmp.Or(st.Error, "it runs, but does not deliver"), false, true)
	case !st.State.Gone():
		e.Boot = false
	case other: // the last words of an earlier run
	case st.ByHand && m.p.Unmanaged == Observe && m.Hold.Mode != controller.ModeOn && !m.IsCover(e):
		m.SpentAt, m.JoinUntil, m.IdleFrom, m.Leases = m.now, time.Time{}, time.Time{}, nil
		m.gone(e)
		m.tell(m.Phase, e.Name, "stopped at the encoder by a person; "+m.spendNeeds())
	case st.State == encoders.StateFailed:
		m.fail(e, cmp.Or(st.Error, "it ended"), st.Permanent, false)
	case e.Step == StepOn && (e.Shown || !m.now.Before(e.StartedAt.Add(m.p.StartTimeout))):
		// A box that was just told to start may say "stopped" for a while, even after the platform has
		// its feed. One that was seen on may not.
		m.fail(e, cmp.Or(st.Error, "it was found off"), false, false)
	}
}

func (m *machine) observeIdle(e *Encoder) {
	if !e.Foreign() {
		return
	}
	if ours := e.Seen.Run != ""; ours { // the driver knows its own children
		m.takeOver(e)
		return
	}
	if m.adopts() && !e.Busy && m.Hold.Mode != controller.ModeOff && !m.shared(e) {
		m.takeOver(e)
		m.call(e, true) // so that the driver knows whose it is
	}
}

// adopts reports whether what somebody else has started becomes ours. A hold does not make it ours:
// when the hold ended, the broadcast would end with it.
func (m *machine) adopts() bool { return m.p.Unmanaged == Adopt }

// leftAlone reports whether somebody else started the encoder, and it is not to be taken over.
func (m *machine) leftAlone(e *Encoder) bool { return e.Foreign() && (e.Busy || !m.adopts()) }

// takeOver makes what the encoder does now a run of this stream.
func (m *machine) takeOver(e *Encoder) {
	e.Step, e.Since, e.StartedAt, e.Boot, e.Shown = StepStarting, m.now, m.now, false, true
	m.GoneAt, e.GoneAt = time.Time{}, time.Time{} // what is open now is its feed
	e.Run = e.Seen.Run
	if m.Episode.IsZero() {
		m.Episode, m.FirstLive, m.Joined, m.ForViewers = m.now, m.now, false, false
	}
	m.IdleFrom = m.now
	if m.openFeed(m.p) == nil {
		m.ProofAfter = m.now
	}
	m.tell(m.Phase, e.Name, "found running and taken over")
}

// confirmLive marks the encoders as live that the platform or, with confirm: encoder, they
// themselves say are live; and the stream as joined once somebody watches.
func (m *machine) confirmLive() {
	proof := m.proof()
	for i := range m.Encoders {
		e := &m.Encoders[i]
		if e.Step != StepStarting || e.Boot || e.Calling && !proof {
			continue
		}
		delivers := e.Seen.State == encoders.StatePublishing && e.Known
		own := m.p.Confirm == ConfirmSwitch || m.p.Confirm == ConfirmEncoder && !e.Seen.ConfigOnly
		own = own && delivers && !e.Calling
		if own || m.confirms(e, proof, delivers) {
			m.markLive(e)
		}
	}
	if m.Unconfirmed && proof {
		m.Unconfirmed = false
	}
	if present, _ := m.audience(m.p); present && !m.LiveSince.IsZero() && !m.Episode.IsZero() {
		if !m.Joined {
			m.tell(m.Phase, "", "the first viewer is in")
			m.waited(controller.WaitViewer)
		}
		m.Joined, m.JoinUntil = true, time.Time{}
	}
}

// confirms reports whether the platform's signs that the stream is live are about this encoder. Its
// own feed is one. A viewer who watches is one unless another encoder may be what the viewer sees.
func (m *machine) confirms(e *Encoder, proof, delivers bool) bool {
	if m.distinct(m.p, e) {
		if m.feedOf(m.p, e) != nil {
			return true
		}
		proof = proof && !m.othersShown(m.p, e)
	}
	alone := len(m.p.Encoders) == 1 || m.p.Several == Failover
	return proof && (alone || delivers || e.Seen.State == encoders.StateUnknown)
}

// proof reports whether the platform has said that the present run is live. Four things say so:
//
//   - An open feed that is not left over from an earlier run.
//   - A first viewer who got in during this run: not before the demand was spent (SpentAt), not
//     before the run began (ProofAfter), and after the last feed ended.
//   - The same hook when it overtook the attempt that caused the start and so seems to come before
//     the run: it was sent after the attempt, no feed has ended, and it is not about a viewer of
//     the run that has just ended (hookDelay).
//   - The API says live, asked after the run began and after the last feed ended.
//
// Where the cover may be what a viewer or the API saw, they say nothing of the run.
func (m *machine) proof() bool {
	if m.openFeed(m.p) != nil {
		return true
	}
	f := &m.Facts
	first, end := f.First, f.lastEnd()
	if !first.At.IsZero() && !first.Seen.Before(m.SpentAt) && !m.sawCover(first.Seen, hookDelay) {
		if first.Seen.After(end) && !first.Seen.Before(m.ProofAfter) {
			return true
		}
		late := !m.GoneAt.IsZero() && first.Seen.Sub(m.GoneAt) < hookDelay
		caused := !f.Attempt.Seen.Before(m.Episode.Add(-m.p.AttemptHold))
		if caused && first.At.After(f.Attempt.At) && end.IsZero() && !late {
			return true
		}
	}
	return f.Poll.Live && f.Poll.Asked.After(m.ProofAfter) && f.Poll.Asked.After(end) && !m.sawCover(f.Poll.Asked, 0)
}

func (m *machine) markLive(e *Encoder) {
	e.Step, e.Since, e.OnSince, e.Boot = StepOn, m.now, m.now, false
	if e.Failures > 0 && !m.p.Helper {
		m.do(Notify{"recovered", fmt.Sprintf("%s is live again", e.Name)})
	}
	e.Trouble = Failing{}
	if !m.LiveSince.IsZero() {
		return
	}
	m.LiveSince = m.now
	m.waited(controller.WaitLive)
	if m.FirstLive.IsZero() {
		m.FirstLive = m.now
		if m.attemptCounts() && m.unanswered() {
			m.JoinUntil = later(m.now, m.Facts.Attempt.Seen).Add(m.p.JoinTimeout)
		}
	}
}

// tooEarlyToJudge reports whether start_timeout does not count yet: the start is from before a
// restart of the controller, and the encoder has not been looked at since.
func (m *machine) tooEarlyToJudge(e *Encoder) bool { return e.Boot && !e.Known }

// watchFeeds handles feeds that end while their encoder runs, and starts that take too long.
func (m *machine) watchFeeds() {
	m.lostFeed()
	for i := range m.Encoders {
		e := &m.Encoders[i]
		if !m.overdue(e) || m.Asking.Why == "start" || m.hides(e) {
			continue
		}
		asked := m.Facts.Poll.Asked
		fresh := !asked.Before(e.StartedAt.Add(m.p.StartTimeout)) && !asked.Before(m.Cover.GoneAt)
		if m.p.CanAsk && m.LiveSince.IsZero() && !fresh {
			m.Asking = Question{"start", m.now}
			m.do(Ask{})
			continue
		}
		m.evidence()
	}
}

// overdue reports whether the encoder's start has taken start_timeout, and can be judged.
func (m *machine) overdue(e *Encoder) bool {
	return e.Step == StepStarting && !m.now.Before(e.StartedAt.Add(m.p.StartTimeout)) && !m.tooEarlyToJudge(e)
}

// evidence decides about overdue starts by what the encoders themselves say.
func (m *machine) evidence() {
	for i := range m.Encoders {
		e := &m.Encoders[i]
		if !m.overdue(e) {
			continue
		}
		if e.Known && e.Seen.State == encoders.StatePublishing && !e.Seen.ConfigOnly {
			m.Unconfirmed = !m.proof()
			m.markLive(e)
			m.warn(e.Name, "counts as live: the encoder delivers, but the platform has not reported the feed "+
				"(are feed webhooks enabled?)")
			continue
		}
		overdue := fmt.Sprintf("not live within start_timeout of %s", short(m.p.StartTimeout))
		if m.p.Helper {
			overdue = fmt.Sprintf("not ready within ready_timeout of %s", short(m.p.StartTimeout))
		}
		m.fail(e, cmp.Or(e.Seen.Error, overdue), false, true)
	}
}

func (m *machine) startTimedOut(why string) {
	for i := range m.Encoders {
		e := &m.Encoders[i]
		if m.overdue(e) {
			why := fmt.Sprintf("%s after start_timeout of %s", why, short(m.p.StartTimeout))
			m.fail(e, cmp.Or(e.Seen.Error, why), false, true)
		}
	}
}

func (m *machine) grace() time.Duration { return min(takeOver, m.p.StartTimeout) }

// lostFeed restarts encoders that believe to publish while the platform has lost them.
func (m *machine) lostFeed() {
	why := make([]string, len(m.Encoders))
	for i := range m.Encoders {
		e := &m.Encoders[i]
		if e.Step == StepOn {
			why[i] = m.lost(e)
		}
		switch {
		case why[i] == "":
			e.FeedLost = time.Time{}
		case e.FeedLost.IsZero():
			e.FeedLost = m.now
		}
	}
	for i := range m.Encoders { // when all is known: a failure changes what belongs to whom
		e := &m.Encoders[i]
		if !e.FeedLost.IsZero() && !m.now.Before(e.FeedLost.Add(m.grace())) {
			e.FeedLost = time.Time{}
			m.fail(e, why[i], false, true)
		}
	}
}

// lost says that the encoder had a feed in this run and has none now, if nothing says that it is
// seen all the same; "" when all is well. The qualities of one picture have a feed each, and the
// loss of one is a loss: they come from one process, which alone can publish it again.
func (m *machine) lost(e *Encoder) string {
	since, distinct := m.ProofAfter, m.distinct(m.p, e)
	if distinct {
		since = later(since, e.StartedAt)
	}
	parts, c := []string{""}, m.contribution(m.p, e)
	apart := c != nil && len(c.More) > 0
	if apart {
		parts = append([]string{c.Source}, c.More...)
	}
	open, ended := map[string]bool{}, map[string]time.Time{} // by part
	for i := range m.Facts.Feeds {
		f, part := &m.Facts.Feeds[i], ""
		if apart {
			part = f.SourceID
		}
		switch {
		case !m.has(m.p, e, f) || m.leftover(m.p, f):
		case distinct && (f.Of != e.Name || f.beganBy().Before(e.StartedAt) || m.maybeBefore(e, f)): // of another run
		case f.Open():
			open[part] = true
		case !f.EndSeen.Before(since):
			ended[part] = later(ended[part], f.EndSeen)
		}
	}
	why, end := "", time.Time{}
	for _, part := range parts {
		switch at, had := ended[part]; {
		case !had || open[part]:
		case apart:
			why, end = "the platform lost its feed with sourceId "+part, later(end, at)
		default:
			why, end = "the platform lost its feed", at
		}
	}
	first, poll := m.Facts.First.Seen, m.Facts.Poll
	seen := first.After(end) && !m.sawCover(first, hookDelay) ||
		poll.Live && poll.Asked.After(end) && !m.sawCover(poll.Asked, 0)
	if seen && len(open) == 0 && !m.othersShown(m.p, e) {
		return ""
	}
	return why
}

// maybeBefore reports whether a feed may be that of whoever published this contribution before: its
// end was told when the encoder had just gone live, and its start never, or when both could be.
func (m *machine) maybeBefore(e *Encoder, f *FeedFact) bool {
	return (f.Unsure || f.Told.IsZero()) && f.EndSeen.Before(e.OnSince.Add(hookDelay))
}

// wants reports whether the encoder at i takes part.
func (m *machine) wants(i int) bool {
	if i >= len(m.p.Encoders) {
		return false
	}
	return m.p.Several != Failover || i == m.active()
}

// active is the place of the encoder that failover has come to.
func (m *machine) active() int {
	return max(slices.IndexFunc(m.p.Encoders, func(e EncoderSpec) bool { return e.Name == m.InUse }), 0)
}

// drive moves each encoder one step towards what is wanted.
func (m *machine) drive() {
	for i := range m.Encoders {
		e := &m.Encoders[i]
		m.overdueStop(e)
		if e.On() && !e.Claimed && e.Holder == "" {
			m.claim(e)
		}
		if m.demand.on && m.demand.limit == "" && m.wants(i) {
			m.driveOn(e)
		} else {
			m.driveOff(e)
		}
	}
}

// claim asks for the sole use of the encoder. The answer comes before anything is saved, and is
// decided then.
func (m *machine) claim(e *Encoder) {
	m.claiming = true
	m.do(Claim{e.Name, e.On()})
}

func (m *machine) driveOn(e *Encoder) {
	spec := m.p.Encoder(e.Name)
	if e.Doubt && !e.On() && (spec.Instance != e.Instance || !e.Publishes.equal(spec.Publishes)) {
		m.stop(e, StepOff) // the configuration has changed; this one may have heard its start
		return
	}
	switch e.Step {
	case StepBackoff:
		if m.now.Before(e.RetryAt) {
			return
		}
	case StepOff, StepWaiting, StepHelpers:
	default:
		return
	}
	if m.leftAlone(e) {
		return
	}
	if o := m.inPlaceOf(e); o != nil {
		if e.Step != StepWaiting {
			e.Step, e.Since = StepWaiting, m.now
			e.Error = fmt.Sprintf("waits until %s ends its run, which has the source and priority that the "+
				"configuration now gives to %s", o.Name, e.Name)
			m.tell(m.Phase, e.Name, e.Error)
		}
		return
	}
	if m.othersInTheWay(e) {
		return
	}
	if !e.Claimed {
		if e.Holder == "" {
			m.claim(e)
			return
		}
		if e.Step != StepWaiting {
			e.Step, e.Since = StepWaiting, m.now
		}
		return
	}
	if m.helped(e) {
		m.start(e)
	}
}

// othersInTheWay reports whether an encoder may still publish that failover or the configuration
// has left behind.
func (m *machine) othersInTheWay(e *Encoder) bool { return m.now.Before(m.clearAt(e)) }

// clearAt is when no other encoder is in the way of this one any more. One that cannot be confirmed
// gone holds the next one up for stop_timeout, not for ever: a box that has died silently must not
// take its stand-in with it. One whose feed would be replaced holds it up as long as viewers have a
// picture all the same.
func (m *machine) clearAt(e *Encoder) (at time.Time) {
	for i := range m.Encoders {
		o := &m.Encoders[i]
		failedOver := m.p.Several == Failover && !m.beside(m.p, e, o)
		replaces := o.Step == StepStopping && m.givenAway(m.p, e, o)
		if o.Name == e.Name || !o.On() || !failedOver && !replaces && m.p.Encoder(o.Name) != nil {
			continue
		}
		began := m.now // of its stop, which comes in this step
		if o.Step == StepStopping && !(replaces && m.anyShown()) {
			began = o.StopAt
		}
		at = later(at, began.Add(m.p.StopTimeout))
	}
	return later(at, m.coverGives(e))
}

// inPlaceOf is an encoder that is to go on publishing, and whose feed this one's would replace: a
// reload has given a place away that is in use until that run ends. Nil: there is none.
func (m *machine) inPlaceOf(e *Encoder) *Encoder {
	for i := range m.Encoders {
		o := &m.Encoders[i]
		if o.Name != e.Name && m.wants(i) && o.MayRun() && o.Step != StepStopping && m.givenAway(m.p, e, o) {
			return o
		}
	}
	return nil
}

func (m *machine) driveOff(e *Encoder) {
	switch e.Step {
	case StepStarting, StepOn:
		m.stop(e, StepOff)
	case StepStopping:
		if !m.demand.on {
			e.Then = StepOff
		}
	case StepBackoff, StepFailed:
		if e.Doubt {
			m.stop(e, cmp.Or(e.Then, StepOff))
		} else if !m.demand.on {
			e.Step, e.Since, e.RetryAt, e.Failures = StepOff, m.now, time.Time{}, 0
		}
	case StepWaiting, StepHelpers:
		e.Step, e.Since = StepOff, m.now
	}
	if !e.On() {
		e.Claimed, e.Holder = false, ""
	}
}

func (m *machine) start(e *Encoder) {
	if !m.IsCover(e) {
		if !m.anyOn() {
			m.ProofAfter = m.now
		}
		m.Starts++
		m.waited(controller.WaitStart)
	}
	if e.Failures > 0 || e.Deaths > 0 {
		e.Restarts++
	}
	e.Step, e.Since, e.StartedAt, e.OnSince = StepStarting, m.now, m.now, time.Time{}
	e.Boot, e.Holder, e.Doubt, e.Shown, e.Begun = false, "", false, false, false
	e.Seen = encoders.Status{}
	m.call(e, m.adopts())
}

// call begins the Start of a new run.
func (m *machine) call(e *Encoder, adopt bool) {
	e.Calling, e.Matches, e.Version, e.Publishes = true, m.p.Matches, "", nil
	if spec := m.p.Encoder(e.Name); spec != nil && spec.Instance == e.Instance {
		e.Version, e.Publishes = spec.Version, spec.Publishes
	}
	e.Run = strconv.FormatInt(m.now.UnixMilli(), 36) + "x" + strconv.Itoa(m.Starts)
	if m.IsCover(e) { // its starts are not counted, and the run of another may begin at the same time
		e.Run += "c"
	}
	m.do(StartEncoder{e.Name, e.Instance, e.Run, adopt})
}

func (m *machine) startDone(e *Encoder, ev StartDone) {
	if e.Step != StepStarting && e.Step != StepOn {
		return
	}
	e.Calling = false
	if ev.Busy {
		m.busy(e, ev.Err)
		return
	}
	if ev.Err != "" {
		e.Doubt = ev.Doubt
		m.fail(e, ev.Err, ev.Permanent, e.looksOn())
	}
}

// busy leaves an encoder alone that a start has found on at somebody else's word. That is no
// failure: nothing was done, and nothing of ours is gone. It counts as on until a look says
// otherwise.
func (m *machine) busy(e *Encoder, why string) {
	e.Step, e.Since, e.RetryAt = StepBackoff, m.now, m.now.Add(m.p.Restart.Delay(1, m.roll))
	e.Claimed, e.Busy, e.Error = false, true, why
	if e.Seen.State.Gone() || e.Seen.State == "" {
		e.Seen = encoders.Status{State: encoders.StatePublishing, ByHand: true}
	}
	if !m.anyOn() {
		m.LiveSince, m.Unconfirmed = time.Time{}, false
	}
	m.tell(m.Phase, e.Name, "not started: "+why)
}

func (m *machine) stop(e *Encoder, then Step) {
	e.Step, e.Since, e.StopAt, e.Calling, e.Then, e.Alarmed, e.Boot = StepStopping, m.now, m.now, true, then, false, false
	if then == StepOff {
		e.Error = ""
	}
	m.do(StopEncoder{e.Name, e.Instance, e.Run})
}

// overdueStop tries a stop again that was not confirmed, and raises the alarm once.
func (m *machine) overdueStop(e *Encoder) {
	if e.Step != StepStopping {
		return
	}
	if !e.Alarmed && !m.now.Before(e.StopAt.Add(m.p.StopTimeout)) {
		e.Alarmed = true
		e.Error = cmp.Or(e.Error, "no confirmation")
		m.do(Notify{"stop_unconfirmed", fmt.Sprintf("%s is not confirmed stopped after %s: %s",
			e.Name, short(m.now.Sub(e.StopAt)), e.Error)})
		m.warn(e.Name, "the stop is not confirmed; trying on")
	}
	if !e.Calling && !m.now.Before(e.StopNext) {
		e.Calling = true
		m.do(StopEncoder{e.Name, e.Instance, e.Run})
	}
}

func (m *machine) stopDone(e *Encoder, ev StopDone) {
	if e.Step != StepStopping {
		return
	}
	e.Calling = false
	if ev.Hopeless {
		m.do(Notify{"stop_unconfirmed", fmt.Sprintf("%s cannot be stopped any more: %s", e.Name, ev.Err)})
		m.warn(e.Name, "given up, as it cannot be stopped any more: "+ev.Err)
		m.gone(e)
		return
	}
	if ev.Err != "" {
		e.Error = ev.Err
		e.StopNext = m.now.Add(max(min(m.p.StopTimeout, 5*time.Second), 100*time.Millisecond))
		return
	}
	then, alarmed := e.Then, e.Alarmed
	m.gone(e)
	e.Ended = e.Run
	if alarmed {
		m.do(Notify{"recovered", e.Name + " is confirmed stopped"})
	}
	e.Step = cmp.Or(then, StepOff)
}

// gone marks an encoder that is known not to publish.
func (m *machine) gone(e *Encoder) {
	m.noteUnheard(e)
	e.Step, e.Since, e.OnSince, e.Boot, e.Doubt = StepOff, m.now, time.Time{}, false, false
	e.StopAt, e.StopNext, e.Then, e.Alarmed = time.Time{}, time.Time{}, "", false
	e.GoneAt, e.FeedLost = m.now, time.Time{}
	e.Seen.State, e.Seen.PID, e.Seen.Health = encoders.StateStopped, 0, nil
	if m.IsCover(e) {
		e.Claimed = false // each start asks anew, after those of others
	} else if !m.anyOn() {
		m.GoneAt, m.LiveSince, m.Unconfirmed = m.now, time.Time{}, false
	}
}

// fail takes note of a failure and plans what follows: a retry after a while, the next encoder, or
// giving up. An encoder that may still run is stopped first.
func (m *machine) fail(e *Encoder, why string, permanent, running bool) {
	wasOn := e.Step == StepOn
	if wasOn && m.p.Restart.ResetAfter > 0 && m.now.Sub(e.OnSince) >= m.p.Restart.ResetAfter {
		e.Failures = 0
	}
	e.Failures++
	if wasOn {
		e.Deaths++
	}
	r := m.p.Restart
	e.RetryAt = m.now.Add(r.Delay(e.Failures, m.roll))
	giveUp := permanent || r.GiveUpAfter > 0 && e.Failures >= r.GiveUpAfter
	if (e.Failures == 1 || giveUp) && !m.IsCover(e) && !m.p.Helper { // who needs a helper tells of it
		m.do(Notify{"failed", fmt.Sprintf("%s: %s", e.Name, why)})
	}
	m.warn(e.Name, "failed: "+why)
	m.failover(e, wasOn, giveUp)
	then, doubt := StepBackoff, e.Doubt
	if giveUp {
		then = StepFailed
	}
	e.Error = why
	if e.Trouble.Count == 0 {
		e.Trouble.Since = m.now
	}
	e.Trouble.Count, e.Trouble.Last, e.Trouble.Text = e.Trouble.Count+1, m.now, why
	if running {
		m.stop(e, then)
		return
	}
	m.gone(e)
	e.Step, e.Doubt = then, doubt
}

// failover hands the stream to the next encoder when this one has had its chances.
func (m *machine) failover(e *Encoder, wasOn, giveUp bool) {
	n, at := len(m.p.Encoders), m.active()
	if m.p.Several != Failover || n < 2 || m.p.Encoders[at].Name != e.Name {
		return
	}
	if wasOn && !giveUp && e.Deaths < m.p.FailoverAfter {
		return
	}
	e.Deaths = 0
	for i := range n - 1 {
		if next := &m.Encoders[(at+1+i)%n]; next.Step != StepFailed {
			m.InUse = next.Name
			m.tell(m.Phase, next.Name, fmt.Sprintf("%s takes over from %s", next.Name, e.Name))
			return
		}
	} // all others are given up: it stays with this one
}

// closeFeeds ends feeds that outlive their encoder: the word of their end was lost.
func (m *machine) closeFeeds() {
	for i := range m.Facts.Feeds {
		f := &m.Facts.Feeds[i]
		if !f.Open() || !m.leftover(m.p, f) || m.now.Before(m.goneAt(m.p, f).Add(m.p.StopTimeout)) {
			continue
		}
		f.close(m.now)
		m.warn("", "feed "+f.ID+" counts as closed: its encoder is gone, and the platform has not reported the end")
		if m.p.ForceStop && !m.anyOn() && !m.Cover.MayRun() {
			m.do(Disconnect{})
		}
	}
}
