package controller

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/oncue/oncue/encoders"
)

// stream is one stream at work. Whoever posts an event to an idle one starts its goroutine; the goroutine alone owns the state, works until nothing
// is left in the inbox, and ends: a stream that waits for a deadline or a hook costs none. Who brings a hook to an idle one does its first step (take.go).
type stream struct {
	c             *Controller
	id            string
	account, name string

	mu     sync.Mutex
	inbox  []posted
	atWork bool
	spec   *StreamSpec // never changed, replaced by a reload
	idle   *sync.Cond  // signalled when the goroutine ends

	// owned by the goroutine at work
	state   State
	boxes   map[string]*box
	unsaved bool      // the store has an older state
	savedAt time.Time // when it was saved last
	started time.Time // attempt that metrics have counted a start for, and a live
	lived   time.Time

	alarm *alarm // owned by alarms

	viewMu  sync.Mutex
	view    published
	figures map[string]encoders.Status // the latest looks of encoders that went past the machine
}

type posted struct {
	ev   Event           // nil: nothing but settle
	done chan<- struct{} // closed when the event is decided, saved and published
}

// lazySave is how long facts that change nothing may stay out of the store; the journal has their hooks until then.
const lazySave = 5 * time.Second

func newStream(c *Controller, spec *StreamSpec) *stream {
	s := &stream{c: c, id: spec.ID(), account: spec.Account, name: spec.Name, spec: spec, boxes: map[string]*box{}}
	s.idle = sync.NewCond(&s.mu)
	return s
}

// post hands an event over. It never blocks.
func (s *stream) post(ev Event) { s.put(posted{ev: ev}) }

func (s *stream) put(p posted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.c.closing.Load() {
		if p.done != nil {
			close(p.done)
		}
		return
	}
	s.inbox = append(s.inbox, p)
	s.begin()
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
	var acts []Action
	for _, p := range batch {
		if p.ev != nil {
			acts = s.decide(p.ev, spec, now, acts)
		}
	}
	story, work := s.split(acts)
	s.c.alarms.set(s, s.wakeAt(now))
	if s.due(now, acts) {
		s.tell(story)
		s.save(now, story)
	}
	s.publish(spec, now)
	for _, p := range batch {
		if p.done != nil {
			close(p.done)
		}
	}
	s.do(work, spec)
	s.c.settle(s, spec)
}

// do acts, and watches what runs. It does not block.
func (s *stream) do(work []Action, spec *StreamSpec) {
	for _, a := range work {
		s.act(a, spec)
	}
	s.tend(spec)
}

// decide runs the machine on one event, and on the answers to the claims that it makes.
func (s *stream) decide(ev Event, spec *StreamSpec, now time.Time, acts []Action) []Action {
	next, more := Decide(s.state, ev, &spec.Policy, now, rand.Float64())
	s.state, s.unsaved = next, true
	for _, a := range more {
		claim, ok := a.(Claim)
		if !ok {
			acts = append(acts, a)
			continue
		}
		e, _ := spec.encoder(claim.Encoder)
		granted, holder := s.c.claims.claim(e.Device, s.id, claim.Encoder, ev.Label())
		acts = s.decide(Claimed{Encoder: claim.Encoder, OK: granted, Holder: holder, For: ev.Label()}, spec, now, acts)
	}
	return acts
}

// saw hands a look over, past the machine when it tells nothing new but figures: of a thousand encoders that run, five hundred do so every second.
func (s *stream) saw(encoder string, status encoders.Status) {
	if !s.tookFigures(encoder, status) {
		s.post(EncoderSeen{Encoder: encoder, Status: status})
	} else if s.c.hub.watched() {
		s.c.hub.publish(told{stream: s.published(), at: s.c.cfg.Clock.Now()})
	}
}

// tookFigures keeps a look for readers if it tells the machine nothing. While the stream is at work nobody can say so.
func (s *stream) tookFigures(encoder string, status encoders.Status) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.atWork || s.c.closing.Load() {
		return false
	}
	s.viewMu.Lock()
	defer s.viewMu.Unlock()
	e := s.view.state.enc(encoder)
	if e == nil || !e.Known || !alike(e.Seen, status) {
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
func (s *stream) wakeAt(now time.Time) time.Time {
	at := s.state.Deadline
	if lazy := now.Add(lazySave); s.unsaved && (at.IsZero() || lazy.Before(at)) {
		at = lazy
	}
	return at
}

func (s *stream) split(acts []Action) (story []Transition, work []Action) {
	for _, a := range acts {
		if t, ok := a.(Tell); ok {
			t.Stream = s.id
			story = append(story, t.Transition)
		} else {
			work = append(work, a)
		}
	}
	return story, work
}

// due reports whether the state has to be saved now.
func (s *stream) due(now time.Time, acts []Action) bool {
	return len(acts) > 0 || s.unsaved && now.Sub(s.savedAt) >= lazySave
}

// tell lets metrics and the log have the story.
func (s *stream) tell(story []Transition) {
	for _, t := range story {
		if f := s.c.cfg.Observe.Story; f != nil {
			f(t)
		}
		level := slog.LevelInfo
		if t.Warning {
			level = slog.LevelWarn
		}
		s.c.cfg.Log.Log(context.Background(), level, t.Reason, "stream", s.id, "from", t.From, "to", t.To, "event", t.Event, "encoder", t.Encoder)
	}
}

// encoded is the state as it is stored.
func (s *stream) encoded(now time.Time) (Saved, error) {
	s.state.Anchor = s.c.cfg.Clock.Anchor()
	data, err := json.Marshal(s.state)
	return Saved{ID: s.id, At: now, State: data}, err
}

// save stores the state. When the store cannot take it the machine goes on from memory: encoders must not depend on a disk. It is tried again soon.
func (s *stream) save(now time.Time, story []Transition) {
	saved, err := s.encoded(now)
	if err == nil {
		err = s.c.cfg.Store.SaveStream(context.Background(), saved, story)
	}
	if err != nil {
		s.c.cfg.Log.Error("the state of a stream is not saved; going on from memory", "stream", s.id, "error", err)
		s.savedAt = now
		s.c.alarms.set(s, s.wakeAt(now))
		return
	}
	s.unsaved, s.savedAt = false, now
	s.c.alarms.set(s, s.wakeAt(now))
}

// act begins one action. What takes time runs aside and comes back as an event.
func (s *stream) act(a Action, spec *StreamSpec) {
	switch a := a.(type) {
	case StartEncoder:
		s.countStart()
		s.box(a.Encoder, spec).start(s.job(a.Run, spec), spec.Policy.StartTimeout)
	case StopEncoder:
		s.box(a.Encoder, spec).stop(s.job(a.Run, spec), spec.Policy.StopTimeout)
	case Release:
		if e, ok := spec.encoder(a.Encoder); ok {
			s.c.claims.release(e.Device, s.id)
		} else if b := s.boxes[a.Encoder]; b != nil {
			s.c.claims.release(b.spec.Device, s.id)
		}
	case Ask:
		s.c.ask(s)
	case Disconnect:
		s.c.disconnect(s)
	case Notify:
		if a.Kind == "stop_unconfirmed" && s.c.cfg.Observe.Unconfirmed != nil {
			s.c.cfg.Observe.Unconfirmed()
		}
		s.c.notify(Notice{Kind: a.Kind, Account: s.account, Stream: s.id, At: s.c.cfg.Clock.Now(), Text: a.Text})
	}
}

// job is what an encoder is told to publish.
func (s *stream) job(run string, spec *StreamSpec) encoders.Job {
	j := encoders.Job{Account: s.account, Name: s.name, Matches: spec.Matches, Run: run, Grace: spec.Policy.StopTimeout}
	j.Publish = j.FillSecret(spec.Publish)
	return j
}

func (s *stream) box(encoder string, spec *StreamSpec) *box {
	b := s.boxes[encoder]
	e, ok := spec.encoder(encoder)
	if b != nil && (!ok || b.spec.Device == e.Device) {
		return b
	}
	b = &box{s: s, spec: e, slot: make(chan struct{}, 1)}
	s.boxes[encoder] = b
	return b
}

// tend watches the encoders that run, and those that people may switch on by hand.
func (s *stream) tend(spec *StreamSpec) {
	for i := range s.state.Encoders {
		e := &s.state.Encoders[i]
		es, ok := spec.encoder(e.Name)
		if want := e.on() || ok && es.ByHand && !s.c.shared(es.Device); want {
			s.box(e.Name, spec).watch(s.job(e.Run, spec))
		} else if b := s.boxes[e.Name]; b != nil {
			b.rest()
		}
	}
	for name, b := range s.boxes {
		if s.state.enc(name) == nil { // gone from the configuration, and off
			b.rest()
			delete(s.boxes, name)
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
