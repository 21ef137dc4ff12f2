package machine

import (
	"fmt"
	"slices"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/encoders"
)

// This file is about helpers: things that have to be on for an encoder, such as the plug that gives
// it power. A helper has a machine of its own, which is that of a stream: what makes it wanted are
// the encoders that need it, and what makes it live is its own word that it is ready. So it is
// started, tried again, stopped, confirmed and taken over after a crash by the same rules.
//
// Whoever needs a helper says so in its own state, which is saved before the helper hears of it.
// The runner passes needs on, and back what has come of them.

// helped reports whether all helpers of an encoder are ready. It begins to need them one after the
// other, each when the one before is ready.
func (m *machine) helped(e *Encoder) bool {
	for _, need := range m.p.Needs[e.Name] {
		if e.Step != StepHelpers {
			e.Step, e.Since, e.Needs = StepHelpers, m.now, nil
		}
		if !slices.Contains(e.Needs, need.Helper) {
			e.Needs, e.NeedSince = append(slices.Clip(e.Needs), need.Helper), m.now
		}
		h := m.helper(need.Helper)
		switch {
		case h.Ready:
			continue
		case h.Error != "":
			m.fail(e, fmt.Sprintf("its helper %s failed: %s", need.Helper, h.Error), false, false)
		case !m.now.Before(e.NeedSince.Add(need.Within)):
			late := short(m.now.Sub(e.NeedSince))
			m.fail(e, fmt.Sprintf("its helper %s is not ready after %s", need.Helper, late), false, false)
		}
		return false
	}
	return true
}

// awaited is the first helper of an encoder that is not ready.
func (m *machine) awaited(e *Encoder) Need {
	for _, need := range m.p.Needs[e.Name] {
		if !m.helper(need.Helper).Ready {
			return need
		}
	}
	return Need{}
}

func (m *machine) helper(name string) HelperSeen {
	i := slices.IndexFunc(m.Helped, func(h HelperSeen) bool { return h.Helper == name })
	if i < 0 {
		return HelperSeen{}
	}
	return m.Helped[i]
}

// helperSeen takes what a helper says, unless nobody here needs it any more.
func (m *machine) helperSeen(ev HelperSeen) {
	m.Helped = slices.DeleteFunc(m.Helped, func(h HelperSeen) bool { return h.Helper == ev.Helper })
	if slices.Contains(m.Needs(), ev.Helper) {
		m.Helped = append(m.Helped, ev)
	}
}

// keepHelpers says which helpers each encoder keeps on: those of a start that waits for them, and
// all of a run until it is known to be over. A run that does not end keeps none for longer than
// stop_timeout: to take its power is a way to end it. Nor does an encoder that has failed: it asks
// anew when it is tried again, and has them at once as long as they linger.
func (m *machine) keepHelpers() {
	for e := range m.All() {
		switch {
		case e.Step == StepHelpers:
		case e.MayRun() && !e.Alarmed:
			if spec := m.p.Encoder(e.Name); spec != nil && spec.Instance == e.Instance && e.Step != StepStopping {
				for _, need := range m.p.Needs[e.Name] { // of a run that was taken over, or after a reload
					if !slices.Contains(e.Needs, need.Helper) {
						e.Needs = append(slices.Clip(e.Needs), need.Helper)
					}
				}
			}
		default:
			e.Needs, e.NeedSince = nil, time.Time{}
		}
	}
	needs := m.Needs()
	m.Helped = slices.DeleteFunc(m.Helped, func(h HelperSeen) bool { return !slices.Contains(needs, h.Helper) })
}

// Needs are the helpers that the stream needs now.
func (s *State) Needs() (helpers []string) {
	for e := range s.All() {
		for _, h := range e.Needs {
			if !slices.Contains(helpers, h) {
				helpers = append(helpers, h)
			}
		}
	}
	return helpers
}

// Keeps are the helpers that are to stay on if they are on: those of an encoder that somebody else
// has switched on, and, of a helper that may be on, those that were started before it.
func (s *State) Keeps(p *Policy) (helpers []string) {
	for e := range s.All() {
		if e.Foreign() {
			for _, need := range p.Needs[e.Name] {
				helpers = append(helpers, need.Helper)
			}
		}
		if e.Foreign() || e.MayRun() && !e.Alarmed {
			helpers = append(helpers, p.Keeps...)
		}
	}
	return helpers
}

// neededBy takes who needs this helper.
func (m *machine) neededBy(ev Needed) {
	before := m.asks()
	m.Needed = ev
	if before > 0 && m.asks() == 0 {
		m.NeedEnd = m.now
	}
}

// asks is how many needs ask for this helper.
func (s *State) asks() (n int) {
	for _, by := range s.Needed.By {
		if by.Number > s.Spent {
			n++
		}
	}
	return n
}

// spendNeeds has those who need this helper now ask for it no more, as a person has switched it
// off, and says what starts it again.
func (m *machine) spendNeeds() string {
	if !m.p.Helper {
		return "viewers who come later start it again"
	}
	for _, by := range m.Needed.By {
		m.Spent = max(m.Spent, by.Number)
	}
	return "a start that needs it later starts it again"
}

// needed is the demand for a helper.
func (s *State) needed(p *Policy, now time.Time, running bool) demand {
	if n := s.asks(); n > 0 {
		i := slices.IndexFunc(s.Needed.By, func(by Needer) bool { return by.Number > s.Spent })
		why := "needed by " + string(s.Needed.By[i].ID)
		if n > 1 {
			why += fmt.Sprintf(" and %d more", n-1)
		}
		return demand{on: true, why: why}
	}
	d := demand{}
	for _, l := range s.Leases {
		if l.Until.After(d.until) {
			d = demand{on: true, why: "wanted by " + l.By, until: l.Until, ends: leaseEnds}
		}
	}
	if d.on {
		return d
	}
	lingers := later(later(s.NeedEnd, s.LeaseEnd), s.IdleFrom).Add(p.IdleTimeout)
	switch {
	case !running || s.FirstLive.IsZero() && len(s.Needed.Kept) == 0:
	case now.Before(lingers) && !s.FirstLive.IsZero():
		return demand{on: true, empty: true, why: "no longer needed", until: lingers, ends: "stop"}
	case len(s.Needed.Kept) > 0:
		return demand{on: true, empty: true, why: fmt.Sprintf("kept on until %s is off", s.Needed.Kept[0])}
	}
	return demand{why: "not needed"}
}

// Seen is what a helper tells those who need it.
func (s *State) Seen(name string) HelperSeen {
	seen := HelperSeen{Helper: name}
	for i := range s.Encoders {
		e := &s.Encoders[i]
		failed := func(s Step) bool { return s == StepBackoff || s == StepFailed }
		// One that cannot be asked now was on when it was seen last. What was saved before a restart
		// says nothing yet.
		on := e.Known && !e.Boot && (e.Seen.State == encoders.StatePublishing || e.Seen.State == encoders.StateUnknown)
		switch {
		case on && (e.Step == StepOn || e.Foreign()):
			seen.Ready = true
		case failed(e.Step), e.Step == StepStopping && failed(e.Then):
			seen.Error = e.Error
		case s.Hold.Mode == controller.ModeOff:
			seen.Error = "held off" + s.Hold.words()
		}
	}
	return seen
}
