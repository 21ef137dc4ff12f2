package runner

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
	"github.com/oncue/oncue/encoders"
)

// stream is one stream at work. Whoever posts an event to an idle one starts its goroutine, which works until nothing is
// left in the inbox, and ends: a stream that waits for a deadline or a hook costs none. Who brings a hook to an idle one
// does its first step (take.go). The state belongs to whoever is at work; atWork says that somebody is.
type stream struct {
	c             *Controller
	id            string
	account, name string

	mu     sync.Mutex
	inbox  []posted
	atWork bool
	gone   bool        // forgotten: what comes for its name is another stream's
	spec   *StreamSpec // never changed, replaced by a reload
	idle   *sync.Cond  // signalled when the goroutine ends

	// owned by whoever is at work
	state   machine.State
	boxes   map[machine.Instance]*box
	asked   map[string]bool // devices that were claimed and may be held or waited for
	unsaved bool            // the store has an older state
	savedAt time.Time       // when it was saved last
	started time.Time       // attempt that metrics have counted a start for, and a live
	lived   time.Time

	alarm   *alarm // owned by alarms
	evicted bool   // told to make way; guarded by Controller.mu

	viewMu  sync.Mutex
	view    published
	figures map[string]encoders.Status // the latest looks of encoders that went past the machine
}

type posted struct {
	ev    machine.Event   // nil: nothing but settle
	done  chan<- struct{} // closed when the event is decided, saved and published
	evict bool            // forget the stream now if nobody needs it: there are too many of its pattern
	save  bool            // the store may have lost the state
}

// lazySave is how long facts that change nothing may stay out of the store; the journal has their hooks until then.
const lazySave = 5 * time.Second

func newStream(c *Controller, spec *StreamSpec) *stream {
	s := &stream{c: c, id: spec.ID(), account: spec.Account, name: spec.Name, spec: spec, boxes: map[machine.Instance]*box{}}
	s.idle = sync.NewCond(&s.mu)
	return s
}

// post hands an event over. It never blocks.
func (s *stream) post(ev machine.Event) { s.put(posted{ev: ev}) }

// put reports whether the stream is still there to be handed something.
func (s *stream) put(p posted) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return false
	}
	if s.c.closing.Load() {
		if p.done != nil {
			close(p.done)
		}
		return true
	}
	s.inbox = append(s.inbox, p)
	s.begin()
	return true
}

// begin sets the stream to work unless it is. The caller holds mu.
func (s *stream) begin() {
	if !s.atWork {
		s.atWork = true
		s.c.workers.run(s)
	}
}

// resume sets a stream to work that has something in its inbox.
func (s *stream) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.inbox) > 0 && !s.c.closing.Load() {
		s.begin()
	}
}

func (s *stream) work() {
	for {
		s.mu.Lock()
		batch := s.inbox
		s.inbox = nil
		spec := s.spec
		if len(batch) == 0 {
			s.atWork = false
			s.idle.Broadcast()
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		s.step(batch, spec)
	}
}

// settled waits until the goroutine has nothing to do.
func (s *stream) settled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.atWork {
		s.idle.Wait()
	}
}

// step decides a batch of events, saves what came of it, publishes it, and then acts.
func (s *stream) step(batch []posted, spec *StreamSpec) {
	s.c.clockMu.RLock() // nobody moves the clock under a step
	defer s.c.clockMu.RUnlock()
	now := s.c.cfg.Clock.Now()
	var acts []machine.Action
	evict := false
	for _, p := range batch {
		evict = evict || p.evict
		if p.save {
			s.unsaved, s.savedAt = true, time.Time{}
		}
		if p.ev != nil {
			acts = s.decide(p.ev, spec, now, acts)
		}
	}
	story, work := s.split(acts)
	s.c.alarms.set(s, s.wakeAt(now, spec))
	if s.due(now, acts) {
		s.tell(story)
		s.save(now, story, spec)
	}
	now = s.c.cfg.Clock.Now()
	s.publish(spec, now)
	for _, p := range batch {
		if p.done != nil {
			close(p.done)
		}
	}
	s.do(work, spec)
	s.c.settle(s, spec, now, evict)
}

// do acts, gives back what the state does not claim any more, and watches what runs. It does not block.
func (s *stream) do(work []machine.Action, spec *StreamSpec) {
	for _, a := range work {
		s.act(a, spec)
	}
	s.settleClaims()
	s.tend(spec)
}

func (s *stream) askedFor(device string) {
	if s.asked == nil {
		s.asked = map[string]bool{}
	}
	s.asked[device] = true
}

// settleClaims makes the stream's claims those of its state.
func (s *stream) settleClaims() {
	for device := range s.asked {
		if !slices.ContainsFunc(s.state.Encoders, func(e machine.Encoder) bool { return e.Device == device && (e.Claimed || e.Holder != "") }) {
			s.c.claims.release(device, s.id)
			delete(s.asked, device)
		}
	}
}

// decide runs the machine on one event, and on the answers to the claims that it makes.
func (s *stream) decide(ev machine.Event, spec *StreamSpec, now time.Time, acts []machine.Action) []machine.Action {
	next, more := machine.Decide(s.state, ev, &spec.Policy, now, rand.Float64())
	s.state, s.unsaved = next, true
	for _, a := range more {
		claim, ok := a.(machine.Claim)
		if !ok {
			acts = append(acts, a)
			continue
		}
		device := s.state.Encoder(claim.Encoder).Device
		s.askedFor(device)
		granted, holder := s.c.claims.claim(device, claimer{s.id, spec.Policy.Pattern != ""}, claim.Running)
		acts = s.decide(machine.Claimed{Encoder: claim.Encoder, OK: granted, Holder: holder, For: ev.Label()}, spec, now, acts)
	}
	return acts
}

// saw hands a look over, past the machine when it tells nothing new but figures: of a thousand encoders that run, five hundred do so every second.
func (s *stream) saw(ev machine.EncoderSeen) {
	if !s.tookFigures(ev.Encoder, ev.Instance, ev.Status) {
		s.post(ev)
	} else if s.c.hub.watched() {
		s.c.hub.publish(told{stream: s.published(), at: s.c.cfg.Clock.Now()})
	}
}

// tookFigures keeps a look for readers if it tells the machine nothing. While the stream is at work nobody can say so.
func (s *stream) tookFigures(encoder string, at machine.Instance, status encoders.Status) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.atWork || s.c.closing.Load() {
		return false
	}
	s.viewMu.Lock()
	defer s.viewMu.Unlock()
	e := s.view.state.Encoder(encoder)
	if e == nil || e.Instance != at || !e.Known || !alike(e.Seen, status) {
		return false
	}
	if s.figures == nil {
		s.figures = map[string]encoders.Status{}
	}
	s.figures[encoder] = status
	return true
}

// alike reports whether two looks say the same but for figures.
func alike(a, b encoders.Status) bool {
	a.Health, a.At, b.Health, b.At = nil, time.Time{}, nil, time.Time{}
	return a == b
}

// wakeAt is when the stream has to be woken: at its deadline, or to bring the store up to date.
func (s *stream) wakeAt(now time.Time, spec *StreamSpec) time.Time {
	at := s.state.Deadline
	forget := s.state.ForgetAt(&spec.Policy)
	if s.c.swept.Load() && !forget.IsZero() && (at.IsZero() || forget.Before(at)) { // before, it cannot be forgotten
		at = forget
	}
	if lazy := now.Add(lazySave); s.unsaved && (at.IsZero() || lazy.Before(at)) {
		at = lazy
	}
	return at
}

func (s *stream) split(acts []machine.Action) (story []controller.Transition, work []machine.Action) {
	for _, a := range acts {
		if t, ok := a.(machine.Tell); ok {
			t.Stream = s.id
			story = append(story, t.Transition)
		} else {
			work = append(work, a)
		}
	}
	return story, work
}

// due reports whether the state has to be saved now.
func (s *stream) due(now time.Time, acts []machine.Action) bool {
	return len(acts) > 0 || s.unsaved && now.Sub(s.savedAt) >= lazySave
}

// tell lets metrics and the log have the story.
func (s *stream) tell(story []controller.Transition) {
	for _, t := range story {
		if f := s.c.cfg.Observe.Story; f != nil {
			f(t)
		}
		level := slog.LevelInfo
		if t.Warning || t.From != t.To && (t.To == controller.PhaseBackoff || t.To == controller.PhaseFailed) {
			level = slog.LevelWarn
		}
		s.c.cfg.Log.Log(context.Background(), level, t.Reason, "stream", s.id, "from", t.From, "to", t.To, "event", t.Event, "encoder", t.Encoder)
	}
}

// encoded is the state as it is stored.
func (s *stream) encoded(now time.Time) (controller.Saved, error) {
	s.state.Anchor = s.c.cfg.Clock.Anchor()
	data, err := json.Marshal(s.state)
	return controller.Saved{ID: s.id, At: now, State: data}, err
}

// save stores the state; the caller holds clockMu, which is let go meanwhile. When the store cannot take it the machine
// goes on from memory: encoders must not depend on a disk. It is tried again soon.
func (s *stream) save(now time.Time, story []controller.Transition, spec *StreamSpec) {
	saved, err := s.encoded(now)
	if err == nil {
		s.c.clockMu.RUnlock() // a disk that hangs holds nobody else up
		err = s.c.cfg.Store.SaveStream(context.Background(), saved, story)
		s.c.clockMu.RLock()
		now = s.c.cfg.Clock.Now()
	}
	if err != nil {
		s.c.cfg.Log.Error("the state of a stream is not saved; going on from memory", "stream", s.id, "error", err)
		s.savedAt = now
		s.c.alarms.set(s, s.wakeAt(now, spec))
		return
	}
	s.unsaved, s.savedAt = false, now
	s.c.alarms.set(s, s.wakeAt(now, spec))
}

// act begins one action. What takes time runs aside and comes back as an event.
func (s *stream) act(a machine.Action, spec *StreamSpec) {
	switch a := a.(type) {
	case machine.StartEncoder:
		s.countStart()
		es, job := s.handle(a.Encoder, a.Instance, spec)
		job.Run, job.Adopt = a.Run, a.Adopt
		s.box(a.Instance).start(es, job, spec.Policy.StartTimeout)
	case machine.StopEncoder:
		es, job := s.handle(a.Encoder, a.Instance, spec)
		job.Run = a.Run
		s.box(a.Instance).stop(es, job, spec.Policy.StopTimeout)
	case machine.Ask:
		s.c.ask(s)
	case machine.Disconnect:
		s.c.disconnect(s)
	case machine.Notify:
		if a.Kind == "stop_unconfirmed" && s.c.cfg.Observe.Unconfirmed != nil {
			s.c.cfg.Observe.Unconfirmed()
		}
		s.c.notify(controller.Notice{Kind: a.Kind, Account: s.account, Stream: s.id, At: s.c.cfg.Clock.Now(), Text: a.Text})
	}
}

// handle is what an encoder is opened with, and what it is told to publish: of the run, when it may run.
func (s *stream) handle(name string, at machine.Instance, spec *StreamSpec) (machine.EncoderSpec, encoders.Job) {
	es := machine.EncoderSpec{Name: name, Instance: at}
	if now := spec.Policy.Encoder(name); now != nil && now.Instance == at {
		es = *now
	}
	j := encoders.Job{Account: s.account, Name: s.name, Matches: spec.Policy.Matches, Grace: spec.Policy.StopTimeout}
	if e := s.state.Encoder(name); e != nil && e.Instance == at {
		j.Run = e.Run
		if e.MayRun() {
			es.Version, j.Matches = e.Version, e.Matches
		}
	}
	if spec.Publish != nil {
		j.Publish = j.FillSecret(spec.Publish(name))
	}
	return es, j
}

func (s *stream) box(at machine.Instance) *box {
	b := s.boxes[at]
	if b == nil {
		b = &box{s: s, dev: s.c.devices.get(at), slot: make(chan struct{}, 1)}
		s.boxes[at] = b
	}
	return b
}

// drop lets go of an encoder that is off.
func (s *stream) drop(b *box) {
	b.dev.untell(s)
	s.c.devices.put(b.dev)
}

// tend has the encoders watched that run, and those that people may switch on by hand.
func (s *stream) tend(spec *StreamSpec) {
	for i := range s.state.Encoders {
		e := &s.state.Encoders[i]
		es, job := s.handle(e.Name, e.Instance, spec)
		if e.On() || e.Foreign() || es.Watched {
			s.box(e.Instance).dev.tell(s, user{es, job, e.On()})
		} else if b := s.boxes[e.Instance]; b != nil {
			b.dev.untell(s)
		}
	}
	for at, b := range s.boxes {
		if !slices.ContainsFunc(s.state.Encoders, func(e machine.Encoder) bool { return e.Instance == at }) { // gone from the configuration, and off
			s.drop(b)
			delete(s.boxes, at)
		}
	}
}

// countStart feeds the metrics: how long a viewer waited for the start that he caused.
func (s *stream) countStart() {
	seen := s.state.Facts.Attempt.Seen
	if f := s.c.cfg.Observe.AttemptToStart; f != nil && s.state.ForViewers && seen.After(s.started) {
		s.started = seen
		f(s.c.cfg.Clock.Now().Sub(seen))
	}
}
