package machine

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/encoders"
)

// This file moves the cover: an encoder that shows a slate while none of the stream's own is live
// and somebody waits or watches. It stands apart from them in the state, and what it does is none
// of theirs: it begins no run, ends none, confirms no start and changes no phase. Viewers who get
// in while it alone is on are demand, and no sign that the stream is live.

// coverOverlap is how long the cover stays on after another encoder is confirmed. The platform
// shows that one from then on, for its priority is higher; a confirmation by the encoder's word
// alone may come before its feed is there.
const coverOverlap = 2 * time.Second

// IsCover reports whether the encoder, one of All, is the cover.
func (s *State) IsCover(e *Encoder) bool { return e == &s.Cover }

// fitCover makes the cover that of the policy. One that may run is kept until it is off; so is
// another encoder of the new one's name.
func (s *State) fitCover(p *Policy) {
	spec, c := p.Cover, &s.Cover
	if c.MayRun() || spec != nil && c.Name == spec.Name && c.Instance == spec.Instance {
		return
	}
	if c.Name != "" {
		s.Facts.left([]Encoder{*c}, nil)
		*c = Encoder{}
	}
	if spec != nil && !slices.ContainsFunc(s.Encoders, func(e Encoder) bool { return e.Name == spec.Name }) {
		*c = Encoder{Name: spec.Name, Instance: spec.Instance, Step: StepOff}
	}
}

// ofCover reports whether a feed is the cover's. The configuration gives it a priority of its own.
// Should the platform tell none, the first feed of the cover's run counts as the cover's.
func (s *State) ofCover(p *Policy, f *FeedFact) bool {
	c := &s.Cover
	switch {
	case f.Of != "":
		return f.Of == c.Name && c.Name != ""
	case c.Name == "" || !f.Over.IsZero():
		return false
	}
	mine := s.contribution(p, c)
	if c.StartedAt.IsZero() || f.beganBy().Before(c.StartedAt) || mine == nil || !mine.fits(f) {
		return false
	}
	if f.Priority != nil || mine.Priority == nil {
		return mine.Same(&Contribution{Source: f.SourceID, Priority: f.Priority})
	}
	has := func(o FeedFact) bool { return o.Open() && o.Of == c.Name }
	without := func(e EncoderSpec) bool { return e.Publishes == nil || e.Publishes.Priority == nil }
	return c.MayRun() && !slices.ContainsFunc(s.Facts.Feeds, has) && !slices.ContainsFunc(p.Encoders, without)
}

// sawCover reports whether what was seen at a time may have been the cover, and is told late at
// most so much later.
func (s *State) sawCover(at time.Time, late time.Duration) bool {
	c := &s.Cover
	return c.MayRun() || at.Before(c.GoneAt.Add(late))
}

// coverWanted reports whether the cover is to be on. until is when that ends by itself; zero: not
// by time alone, or no sooner than the demand.
func (m *machine) coverWanted() (wanted bool, until time.Time) {
	spec, c := m.p.Cover, &m.Cover
	if spec == nil || spec.Name != c.Name || !m.demand.on || m.demand.limit != "" || m.foreign() || m.inPlaceOfCover() {
		return false, time.Time{}
	}
	if m.live() {
		until = m.confirmedAt().Add(coverOverlap)
		return c.On() && m.now.Before(until), until
	}
	elsewhere := func(f FeedFact) bool { return f.Open() && !m.ours(m.p, &f) }
	if slices.ContainsFunc(m.Facts.Feeds, elsewhere) ||
		slices.ContainsFunc(m.Encoders, func(e Encoder) bool { return m.awaitsVerdict(&e) }) {
		return false, time.Time{}
	}
	present, empty := m.audience(m.p)
	if present || c.On() && !m.AskedStop.IsZero() { // the platform is being asked who watches
		return true, time.Time{}
	}
	until = later(empty, m.asked(m.p, m.now, !m.Episode.IsZero(), false).until)
	return m.now.Before(until), until
}

// confirmedAt is when the first of the encoders that are live now was confirmed.
func (m *machine) confirmedAt() (at time.Time) {
	for i := range m.Encoders {
		if e := &m.Encoders[i]; e.Step == StepOn {
			at = earlier(at, e.OnSince)
		}
	}
	return at
}

// inPlaceOfCover reports whether the cover's feed and that of another encoder would replace each
// other: a reload has given the place of one to the other.
func (m *machine) inPlaceOfCover() bool {
	mine := m.contribution(m.p, &m.Cover)
	for i := range m.Encoders {
		other := m.contribution(m.p, &m.Encoders[i])
		if mine != nil && other != nil && mine.Same(other) {
			return true
		}
	}
	return false
}

// coverGives is until when the cover keeps an encoder from starting that has its name, or its
// contribution, by a reload. It is being stopped.
func (m *machine) coverGives(e *Encoder) time.Time {
	c, spec := &m.Cover, m.p.Encoder(e.Name)
	same := c.Publishes != nil && spec != nil && spec.Publishes != nil && c.Publishes.Same(spec.Publishes)
	if m.IsCover(e) || !c.On() || c.Name != e.Name && !same {
		return time.Time{}
	}
	began := m.now
	if c.Step == StepStopping {
		began = c.StopAt
	}
	return began.Add(m.p.StopTimeout)
}

// awaitsVerdict reports whether an encoder should be live by now, may be, and nobody has said so.
func (m *machine) awaitsVerdict(e *Encoder) bool {
	may := e.Known && e.Seen.State == encoders.StatePublishing || e.Seen.State == encoders.StateUnknown
	return may && m.overdue(e)
}

// hides reports whether the cover keeps the platform from telling whether an overdue encoder is
// live: it is asked when the cover is off. A cover that does not stop is not waited for.
func (m *machine) hides(e *Encoder) bool {
	c := &m.Cover
	stuck := c.Step == StepStopping && !m.now.Before(c.StopAt.Add(m.p.StopTimeout))
	return m.awaitsVerdict(e) && c.On() && !stuck
}

// driveCover moves the cover one step towards what is wanted. It comes after the others: what they
// do decides.
func (m *machine) driveCover() {
	c := &m.Cover
	if c.Name == "" {
		return
	}
	m.observeCover()
	m.overdueStop(c)
	if c.On() && !c.Claimed && c.Holder == "" {
		m.claim(c)
	}
	if wanted, _ := m.coverWanted(); wanted {
		if !m.claiming { // the others' claims are answered first
			m.driveOn(c)
		}
		return
	}
	if c.Step == StepOn && m.live() {
		m.tell(m.Phase, c.Name, "is not needed any more: the stream is live")
	}
	m.driveOff(c)
}

func (m *machine) observeCover() {
	c := &m.Cover
	switch {
	case !c.Known:
	case c.Step == StepStarting || c.Step == StepOn:
		m.observeRunning(c)
	case c.Foreign() && c.Seen.Run != "": // our own, from before a crash
		c.Step, c.Since, c.StartedAt, c.Run, c.Shown = StepStarting, m.now, m.now, c.Seen.Run, true
		m.tell(m.Phase, c.Name, "found running and taken over")
	}
	if c.Step != StepStarting || c.Boot || c.Calling {
		return
	}
	if c.Seen.State == encoders.StatePublishing {
		c.Step, c.Since, c.OnSince, c.Trouble = StepOn, m.now, m.now, Failing{}
		m.tell(m.Phase, c.Name, "is shown until the stream is live")
	} else if c.Seen.State != encoders.StateUnknown && !m.now.Before(c.StartedAt.Add(m.p.StartTimeout)) {
		overdue := fmt.Sprintf("not on within start_timeout of %s", short(m.p.StartTimeout))
		m.fail(c, cmp.Or(c.Seen.Error, overdue), false, true)
	}
}

// yield stops the cover, for an encoder of another stream needs its place.
func (m *machine) yield(ev Yield) {
	if c := &m.Cover; c.Device == ev.Device && (c.Step == StepStarting || c.Step == StepOn) {
		m.tell(m.Phase, c.Name, "makes room for "+ev.To)
		m.stop(c, StepOff)
	}
}

// coverShown is what the reason of a phase says of the cover; "" when it is not shown.
func (m *machine) coverShown(phase controller.Phase) string {
	if m.Cover.Step != StepOn || !m.demand.on || m.live() {
		return ""
	}
	if phase == controller.PhaseStarting {
		for i := range m.Encoders {
			if m.Encoders[i].Step == StepStarting {
				return fmt.Sprintf("; %s is shown while %s starts", m.Cover.Name, m.Encoders[i].Name)
			}
		}
	}
	return fmt.Sprintf("; %s is shown meanwhile", m.Cover.Name)
}

// coverNext is the first moment at which something may change by itself for the cover.
func (m *machine) coverNext() (at time.Time, does string) {
	c := &m.Cover
	wanted, until := m.coverWanted()
	switch c.Step {
	case StepStarting, StepOn:
		if wanted {
			at, does = until, "stop "+c.Name
		}
		if judged := c.Step == StepStarting && !c.Boot && !c.Calling && c.Seen.State != encoders.StateUnknown; judged {
			if due := c.StartedAt.Add(m.p.StartTimeout); at.IsZero() || due.Before(at) {
				at, does = due, "restart "+c.Name
			}
		}
	case StepBackoff:
		if wanted && !m.leftAlone(c) {
			at, does = later(c.RetryAt, m.clearAt(c)), "retry "+c.Name
		}
	case StepStopping:
		if !c.Calling {
			at, does = c.StopNext, "retry the stop of "+c.Name
		} else if !c.Alarmed {
			at, does = c.StopAt.Add(m.p.StopTimeout), "raise an alarm"
		}
	}
	return at, does
}
