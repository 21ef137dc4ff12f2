package controller

import (
	"slices"
	"strings"
	"time"
)

// published is what readers get of a stream, with what the figures that grow by themselves are made from.
type published struct {
	view    StreamView
	live    time.Time // since when it is live; zero: it is not
	running int       // encoders that run
	watched bool
	totals  Totals
	matters bool // the platform's word may matter to it now
}

// publish makes the view that readers get, and tells those who watch.
func (s *stream) publish(spec *StreamSpec, now time.Time) {
	p := &published{view: viewOf(&s.state, spec), live: s.state.LiveSince, totals: s.state.Totals}
	for i := range s.state.Encoders {
		if s.state.Encoders[i].on() {
			p.running++
		}
	}
	present, _ := s.state.audience(&spec.Policy)
	p.watched = present && !s.state.LiveSince.IsZero()
	p.matters = s.state.Phase != PhaseIdle || s.state.Facts.Poll.Live || len(p.view.Feeds) > 0
	old := s.view.Swap(p)
	if f := s.c.cfg.Observe.AttemptToLive; f != nil && s.state.ForViewers && !p.live.IsZero() && s.state.Facts.Attempt.Seen.After(s.lived) {
		s.lived = s.state.Facts.Attempt.Seen
		if d := p.live.Sub(s.lived); d >= 0 {
			f(d)
		}
	}
	v := p.at(now)
	if old != nil && old.same(p) {
		return
	}
	s.c.hub.publish(Change{Stream: &v})
}

// same reports whether nothing changed that a reader could not work out by himself.
func (p *published) same(q *published) bool {
	a, b := p.view, q.view
	if !slices.EqualFunc(a.Feeds, b.Feeds, func(x, y Feed) bool { return x.ID == y.ID }) || !slices.EqualFunc(a.Encoders, b.Encoders, func(x, y EncoderView) bool {
		return x.State == y.State && x.Wanted == y.Wanted && x.Restarts == y.Restarts && equal(x.Error, y.Error) && equal(x.PID, y.PID) && x.Health == y.Health
	}) {
		return false
	}
	return a.Phase == b.Phase && a.Mode == b.Mode && a.Reason == b.Reason && a.Wanted == b.Wanted && a.Managed == b.Managed && a.Starts == b.Starts &&
		equal(a.Deadline, b.Deadline) && equal(a.Viewers, b.Viewers) && equal(a.ModeUntil, b.ModeUntil) && equal(a.LastAttempt, b.LastAttempt)
}

func equal[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

// at brings the figures up to now.
func (p *published) at(now time.Time) StreamView {
	v := p.view
	v.Feeds, v.Encoders = slices.Clone(v.Feeds), slices.Clone(v.Encoders)
	if !p.live.IsZero() {
		v.UptimeS = seconds(now.Sub(p.live))
	}
	t := p.totals
	if d := now.Sub(t.At); d > 0 && !t.At.IsZero() {
		t.Run += time.Duration(p.running) * d
		if p.watched {
			t.Watched += d
		}
	}
	if !t.From.IsZero() {
		all := time.Duration(len(v.Encoders)) * now.Sub(t.From)
		v.Savings = Savings{Since: Time{t.From}, RunS: seconds(t.Run), WatchedS: seconds(t.Watched), AvoidedS: seconds(max(all-t.Run, 0)), Wasted: t.Wasted}
	}
	return v
}

func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

func viewOf(s *State, spec *StreamSpec) StreamView {
	v := StreamView{
		ID: spec.ID(), Account: spec.Account, Name: spec.Name, Phase: s.Phase, Mode: ModeAuto, Wanted: s.Wanted, Managed: s.Managed, Reason: s.Reason,
		Since: Time{s.Since}, Deadline: timeOrNil(s.Deadline), Unconfirmed: s.Unconfirmed, Feeds: []Feed{}, Starts: s.Starts,
		LastAttempt: timeOrNil(s.Facts.Attempt.Seen), Draining: s.Draining, Encoders: []EncoderView{},
	}
	if s.Phase == "" {
		v.Phase, v.Reason, v.Managed = PhaseIdle, "nobody has asked for it yet", true
	}
	if !s.Deadline.IsZero() {
		v.DeadlineDoes = &s.Does
	}
	if h := s.Hold; h.Mode != "" {
		v.Mode, v.ModeUntil, v.ModeBy, v.ModeWhy = h.Mode, timeOrNil(h.Until), textOrNil(h.By), textOrNil(h.Why)
	}
	if poll := s.Facts.Poll; !poll.Asked.IsZero() {
		n := poll.Viewers
		v.Viewers = &n
	}
	for i := range s.Facts.Feeds {
		if f := &s.Facts.Feeds[i]; f.open() {
			v.Feeds = append(v.Feeds, f.Feed)
		}
	}
	for i := range s.Encoders {
		v.Encoders = append(v.Encoders, viewOfEncoder(s, &s.Encoders[i], spec))
		if e := &s.Encoders[i]; e.Step == StepWaiting {
			v.WaitsFor = textOrNil(e.Holder)
		}
	}
	if len(s.Encoders) == 0 {
		for _, e := range spec.Encoders {
			v.Encoders = append(v.Encoders, EncoderView{Name: e.Name, Driver: e.Driver, State: "stopped"})
		}
	}
	return v
}

// viewOfEncoder shows the machine's word where it knows more than the driver's last look: a start or stop in flight, a failure that is being retried.
func viewOfEncoder(s *State, e *Enc, spec *StreamSpec) EncoderView {
	es, _ := spec.encoder(e.Name)
	v := EncoderView{Name: e.Name, Driver: es.Driver, State: e.Seen.State, Since: timeOrNil(e.Since), Restarts: e.Restarts, Error: textOrNil(e.Seen.Error), Health: e.Seen.Health}
	v.Wanted = s.Wanted && (e.on() && e.Step != StepStopping || e.Step == StepBackoff || e.Step == StepFailed || e.Step == StepWaiting)
	switch e.Step {
	case StepStarting:
		if v.State != "publishing" && v.State != "stalled" {
			v.State = "starting"
		}
	case StepOn:
		if v.State == "" {
			v.State = "unknown"
		}
	case StepStopping:
		v.State = "stopping"
		if e.Alarmed {
			v.Error = textOrNil(e.Error)
		}
	case StepBackoff, StepFailed:
		v.State, v.Error = "failed", textOrNil(e.Error)
	case StepOff, StepWaiting:
		if v.State == "" {
			v.State = "stopped"
		}
	}
	if e.Seen.PID > 0 {
		pid := e.Seen.PID
		v.PID = &pid
	}
	return v
}

// Streams lists every stream of the configuration that has no pattern, every stream made from one, and those being drained, ordered by id.
func (c *Controller) Streams() []StreamView {
	now := c.cfg.Clock.Now()
	c.mu.RLock()
	views := make([]StreamView, 0, len(c.cfg.Streams)+len(c.streams))
	for i := range c.cfg.Streams {
		if spec := &c.cfg.Streams[i]; c.streams[spec.ID()] == nil {
			views = append(views, viewOf(&State{}, spec))
		}
	}
	for _, s := range c.streams {
		views = append(views, s.now(now))
	}
	c.mu.RUnlock()
	slices.SortFunc(views, func(a, b StreamView) int { return strings.Compare(a.ID, b.ID) })
	return views
}

// now is the stream's view; one that has not worked yet shows its configuration.
func (s *stream) now(now time.Time) StreamView {
	if p := s.view.Load(); p != nil {
		return p.at(now)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return viewOf(&State{}, &s.spec)
}

// Stream is one of Streams.
func (c *Controller) Stream(id string) (StreamView, bool) {
	if s := c.known(id); s != nil {
		return s.now(c.cfg.Clock.Now()), true
	}
	account, name, _ := SplitID(id)
	c.mu.RLock()
	defer c.mu.RUnlock()
	for i := range c.cfg.Streams {
		if spec := &c.cfg.Streams[i]; spec.Account == account && spec.Name == name {
			return viewOf(&State{}, spec), true
		}
	}
	return StreamView{}, false
}

func timeOrNil(t time.Time) *Time {
	if t.IsZero() {
		return nil
	}
	return &Time{t}
}

func textOrNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
