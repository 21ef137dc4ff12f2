package runner

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
)

// lazySave is how long facts that change nothing may stay out of the store; the journal has their
// hooks until then.
const lazySave = 5 * time.Second

// decision is what a batch of events leads to. Nobody sees it before it is committed.
type decision struct {
	state       machine.State
	transitions []controller.Transition
	work        []machine.Action // what else is to be done
	changed     bool             // there was an event
	more        bool             // and not only hooks that led to nothing
	said        bool             // by one who was answered that it holds
	due         bool             // the state has to be saved now
	saved       bool             // it is
}

// step is the one way for an event, whoever brings it: decide, commit, then publish and act, and at
// last answer those who wait. A batch is all that was in the inbox; its hooks and the state that
// they lead to are one commit, so one sync of the disk lies between a viewer and the encoder.
func (s *stream) step(batch []item, spec *StreamSpec) {
	s.c.clockMu.RLock() // nobody moves the clock under a step
	evict := false
	for _, it := range batch {
		evict = evict || it.evict
		if it.save {
			s.unsaved, s.savedAt = true, time.Time{}
		}
	}
	var err error
	for done := false; !done; {
		var d decision
		s.decide(&d, batch, spec)
		stored := batch
		if err == nil { // else the store has just refused it: go on from memory
			stored, err = s.commit(&d, batch)
		}
		switch done = true; {
		case len(stored) == len(batch):
			s.accept(&d, batch, spec, err)
		case len(stored) == 0: // nothing has happened
			s.releaseClaims()
		default:
			batch, done = stored, false
		}
	}
	s.renewDrivers(spec)
	forget := s.forgettable(spec, evict)
	s.c.clockMu.RUnlock()
	if forget {
		s.c.forget(s, spec)
	}
}

// decide runs the machine on a batch of events.
func (s *stream) decide(d *decision, batch []item, spec *StreamSpec) {
	now := s.c.cfg.Clock.Now()
	d.state = s.state
	for _, it := range batch {
		ev := it.ev
		if ev == nil {
			continue
		}
		switch said := ev.(type) {
		case controller.Hook:
			ev = notAfter(said, now)
		case machine.ModeSet, machine.Leased:
			d.said, d.more = true, true
		default:
			d.more = true
		}
		d.changed = true
		s.decideOne(d, ev, spec, now)
	}
	acted := d.said || len(d.transitions)+len(d.work) > 0 || !slices.Equal(d.state.Needs(), s.state.Needs())
	d.more = d.more || acted
	d.due = acted || (s.unsaved || d.changed) && now.Sub(s.savedAt) >= lazySave
}

// decideOne runs the machine on one event, and on the answers to the claims that it makes. What is
// claimed here is given back by releaseClaims, if no state comes to have it.
func (s *stream) decideOne(d *decision, ev machine.Event, spec *StreamSpec, now time.Time) {
	next, acts := machine.Decide(d.state, ev, &spec.Policy, now, rand.Float64())
	d.state = next
	for _, a := range acts {
		switch a := a.(type) {
		case machine.Claim:
			e := d.state.Encoder(a.Encoder)
			s.noteRequest(e.Device)
			granted, holder := s.c.claims.claim(e.Device, s.claimer(spec, &d.state, e), a.Running)
			s.decideOne(d, machine.Claimed{Encoder: a.Encoder, OK: granted, Holder: holder, For: ev.Label()}, spec, now)
		case machine.Tell:
			a.Stream = s.id
			d.transitions = append(d.transitions, a.Transition)
		default:
			d.work = append(d.work, a)
		}
	}
}

// commit stores the hooks of a batch, and the state that it leads to if that is due. Hooks that the
// store refuses or has already are answered, and left out of the batch that it returns: then the
// decision does not hold, and has to be made anew without them. clockMu is let go meanwhile: a disk
// that hangs holds up nobody else.
func (s *stream) commit(d *decision, batch []item) (stored []item, err error) {
	c := controller.Commit{Transitions: d.transitions}
	for _, it := range batch {
		if it.record != nil {
			c.Records = append(c.Records, *it.record)
		}
	}
	if d.due {
		d.state.Anchor = s.c.cfg.Clock.Anchor()
		data, err := json.Marshal(d.state)
		if err != nil {
			return answerRefused(batch, nil, err), err
		}
		c.Saved = &controller.Saved{ID: s.id, At: s.c.cfg.Clock.Now(), State: data}
	}
	if len(c.Records) == 0 && c.Saved == nil {
		return batch, nil
	}
	moved := s.c.moved
	s.c.clockMu.RUnlock()
	receipts, err := s.c.cfg.Store.Commit(context.Background(), c)
	s.c.clockMu.RLock()
	if by := s.c.moved - moved; by != 0 {
		state := d.state.Clone() // readers may have the one before
		state.Shift(by)
		d.state = state
		for i := range batch {
			batch[i].ev = machine.Shifted(batch[i].ev, by)
		}
	}
	d.saved = err == nil && c.Saved != nil
	return answerRefused(batch, receipts, err), err
}

// answerRefused answers hooks that the store does not take, and returns the rest of the batch.
func answerRefused(batch []item, receipts []controller.Receipt, err error) (rest []item) {
	rest = batch[:0]
	for _, it := range batch {
		if it.record != nil {
			if it.receipt = (controller.Receipt{Err: err}); err == nil {
				it.receipt, receipts = receipts[0], receipts[1:]
			}
			if it.receipt.Err != nil || it.receipt.Duplicate {
				it.answer <- it.receipt
				continue
			}
			it.record = nil
		}
		rest = append(rest, it)
	}
	return rest
}

// accept makes the decision true: readers see it, encoders follow it, and whoever waits is
// answered. err is why it is not saved: encoders must not depend on a disk, so it holds all the
// same, and is saved later.
func (s *stream) accept(d *decision, batch []item, spec *StreamSpec, err error) {
	now := s.c.cfg.Clock.Now()
	watched := !d.more && s.view.spec == spec && d.state.MayStart() == s.state.MayStart()
	s.state = d.state
	s.unsaved = (s.unsaved || d.changed) && !d.saved
	if d.due {
		s.savedAt = now
	}
	if err != nil {
		s.c.cfg.Log.Error("the state of a stream is not saved; going on from memory", "stream", s.id, "error", err)
	}
	s.c.alarms.set(s, s.wakeAt(spec))
	s.report(d.transitions)
	s.publish(spec, now)
	for _, a := range d.work {
		s.act(a, spec)
	}
	s.releaseClaims()
	s.passNeeds(spec)
	if !watched { // most hooks of a flood change nothing of that
		s.updateWatches(spec)
	}
	for _, it := range batch {
		if it.answer != nil {
			it.answer <- it.receipt
		}
	}
}

// wakeAt is when the stream has to be woken: at its deadline, to be forgotten, or to bring the
// store up to date.
func (s *stream) wakeAt(spec *StreamSpec) time.Time {
	at := s.state.Deadline
	forget := s.state.ForgetAt(&spec.Policy)
	if s.c.swept.Load() && !forget.IsZero() && (at.IsZero() || forget.Before(at)) { // before, it cannot be forgotten
		at = forget
	}
	if lazy := s.savedAt.Add(lazySave); s.unsaved && (at.IsZero() || lazy.Before(at)) {
		at = lazy
	}
	return at
}

// report gives transitions to metrics and the log.
func (s *stream) report(transitions []controller.Transition) {
	for _, t := range transitions {
		if f := s.c.cfg.Observe.Transition; f != nil {
			f(t)
		}
		level := slog.LevelInfo
		if t.Warning || t.From != t.To && (t.To == controller.PhaseBackoff || t.To == controller.PhaseFailed) {
			level = slog.LevelWarn
		}
		s.c.cfg.Log.Log(context.Background(), level, t.Reason,
			"stream", s.id, "from", t.From, "to", t.To, "event", t.Event, "encoder", t.Encoder)
	}
}

// act begins one action. What takes time runs in the background and comes back as an event.
func (s *stream) act(a machine.Action, spec *StreamSpec) {
	switch a := a.(type) {
	case machine.StartEncoder:
		s.countStart()
		es, job := s.jobOf(a.Encoder, a.Instance, spec)
		job.Run, job.Adopt = a.Run, a.Adopt
		s.caller(a.Instance).start(es, withPublish(job, spec, a.Encoder), spec.Policy.StartTimeout)
	case machine.StopEncoder:
		es, job := s.jobOf(a.Encoder, a.Instance, spec)
		job.Run = a.Run
		s.caller(a.Instance).stop(es, withPublish(job, spec, a.Encoder), spec.Policy.StopTimeout)
	case machine.Waited:
		if f := s.c.cfg.Observe.Waited; f != nil && !spec.Policy.Helper {
			id := s.id
			if p := spec.Policy.Pattern; p != "" {
				id = controller.StreamID(p)
			}
			account, name, _ := id.Split()
			f(account, name, a.Until, a.Took)
		}
	case machine.Ask:
		s.c.ask(s)
	case machine.Disconnect:
		s.c.disconnect(s)
	case machine.Notify:
		if a.Kind == "stop_unconfirmed" && s.c.cfg.Observe.Unconfirmed != nil {
			s.c.cfg.Observe.Unconfirmed()
		}
		s.c.notify(controller.Notice{
			Kind: a.Kind, Account: s.account, Stream: s.id, At: s.c.cfg.Clock.Now(), Text: a.Text,
		})
	}
}

// countStart tells metrics how long a viewer waited for the start that the viewer caused.
func (s *stream) countStart() {
	seen := s.state.Facts.Attempt.Seen
	if f := s.c.cfg.Observe.AttemptToStart; f != nil && s.state.ForViewers && seen.After(s.started) {
		s.started = seen
		f(s.c.cfg.Clock.Now().Sub(seen))
	}
}

func (s *stream) noteRequest(device string) {
	if s.requested == nil {
		s.requested = map[string]bool{}
	}
	s.requested[device] = true
}

// releaseClaims gives back what the state does not claim.
func (s *stream) releaseClaims() {
	for device := range s.requested {
		claimed := false
		for e := range s.state.All() {
			claimed = claimed || e.Device == device && (e.Claimed || e.Holder != "")
		}
		if !claimed {
			s.c.claims.release(device, s.id)
			delete(s.requested, device)
		}
	}
}

// saveUnsaved saves what is not saved yet. No worker has the stream any more.
func (s *stream) saveUnsaved() {
	if !s.unsaved {
		return
	}
	s.c.clockMu.RLock()
	defer s.c.clockMu.RUnlock()
	d := decision{state: s.state, due: true}
	if _, err := s.commit(&d, nil); err != nil {
		s.c.cfg.Log.Error("the state of a stream is not saved", "stream", s.id, "error", err)
		return
	}
	s.unsaved = false
}

// renewDrivers has drivers with old settings opened anew where nothing of this stream runs.
func (s *stream) renewDrivers(spec *StreamSpec) {
	if !s.state.Over() {
		return
	}
	for at, cl := range s.callers {
		e := s.state.ByInstance(at)
		if e == nil || e.MayRun() {
			continue
		}
		if es := spec.Policy.Encoder(e.Name); es != nil && es.Instance == at && cl.dev.outdated(es.Version) {
			s.c.calls.Go(func() { cl.dev.renewIdle(*es) })
		}
	}
}

// forgettable reports whether the stream can be forgotten now: it is off, and has left the
// configuration, or is one of a pattern that nobody can need any more.
func (s *stream) forgettable(spec *StreamSpec, evict bool) bool {
	if !s.state.Over() || !s.c.swept.Load() { // before the sweep, something may run in its folder
		return false
	}
	at := s.state.ForgetAt(&spec.Policy)
	return s.state.Draining && s.state.Phase == controller.PhaseIdle ||
		evict && s.state.Disposable(&spec.Policy) ||
		!at.IsZero() && !s.c.cfg.Clock.Now().Before(at)
}
