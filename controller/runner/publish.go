package runner

import (
	"cmp"
	"slices"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
)

// published is what readers get of a stream: a state that nobody changes any more, and what the
// configuration says. The view is made when it is read: hooks come far more often than readers.
type published struct {
	state      machine.State
	spec       *StreamSpec
	knownSince time.Time // since when the stream is known
}

// publish lets readers see the state, and tells those who watch when there is something new to see.
func (s *stream) publish(spec *StreamSpec, now time.Time) {
	s.mu.Lock()
	news := s.view.spec != spec || !same(&s.view.state, &s.state)
	moved := s.view.state.Phase != s.state.Phase
	s.view = published{s.state, spec, s.c.knownSince(s.id)}
	s.mu.Unlock()
	if moved {
		s.c.followers.tell(s.id, s.state.Phase)
	}
	attempt := s.state.Facts.Attempt.Seen
	live := s.state.ForViewers && !s.state.LiveSince.IsZero()
	if f := s.c.cfg.Observe.AttemptToLive; f != nil && live && attempt.After(s.lived) {
		s.lived = attempt
		if d := s.state.LiveSince.Sub(s.lived); d >= 0 {
			f(d)
		}
	}
	if news {
		p := &published{s.state, spec, s.c.knownSince(s.id)}
		if s.c.hub.watched() {
			p = s.published() // with the latest figures
		}
		s.c.hub.publish(entry{stream: p, at: now})
	}
}

// same reports whether a reader sees two states alike, but for figures that grow by themselves and
// the time of the last attempt.
func same(a, b *machine.State) bool {
	return a.Phase == b.Phase && a.Reason == b.Reason && a.Wanted == b.Wanted && a.Managed == b.Managed &&
		a.Hold == b.Hold && slices.Equal(a.Leases, b.Leases) && a.Deadline.Equal(b.Deadline) &&
		a.Starts == b.Starts && slices.Equal(a.Needed.By, b.Needed.By) &&
		a.Unconfirmed == b.Unconfirmed && a.Draining == b.Draining &&
		a.Facts.Poll.Viewers == b.Facts.Poll.Viewers &&
		slices.EqualFunc(a.Facts.Feeds, b.Facts.Feeds, func(x, y machine.FeedFact) bool {
			return x.ID == y.ID && x.Open() == y.Open()
		}) &&
		slices.EqualFunc(a.Encoders, b.Encoders, sameEncoder) && sameEncoder(a.Cover, b.Cover)
}

func sameEncoder(a, b machine.Encoder) bool {
	return a.Name == b.Name && a.Step == b.Step &&
		a.Seen.State == b.Seen.State && a.Seen.Standby.Alike(b.Seen.Standby) &&
		a.Seen.Error == b.Seen.Error && a.Seen.Warning == b.Seen.Warning && a.Seen.PID == b.Seen.PID &&
		a.OnAir == b.OnAir && a.Restarts == b.Restarts && a.Error == b.Error && a.Trouble.Count == b.Trouble.Count
}

// matters reports whether it may matter to the stream now what the platform says.
func (s *stream) matters() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.view
	return p.spec != nil && (p.state.Phase != controller.PhaseIdle || p.state.Facts.Poll.Live || p.state.Facts.AnyOpen())
}

// wasLive reports whether the stream is live by the platform's latest answer or hook.
func (s *stream) wasLive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &s.view.state.Facts
	return f.Poll.Live || f.AnyOpen()
}

// at is the view, with figures brought up to now.
func (p *published) at(now time.Time) controller.StreamView {
	s := &p.state
	v := viewOf(s, p.spec, p.knownSince)
	if !s.LiveSince.IsZero() {
		v.UptimeS = seconds(now.Sub(s.LiveSince))
	}
	t := s.TotalsAt(&p.spec.Policy, now)
	from := t.From
	named := p.spec.Policy.Pattern == ""
	if named && (from.IsZero() || p.knownSince.Before(from)) { // it saves from then on, though no viewer has come
		from = p.knownSince
	}
	if !from.IsZero() {
		n := len(v.Encoders)
		if p.spec.Policy.Cover != nil { // which saves nothing, and is not counted when it runs
			n--
		}
		all := time.Duration(n) * now.Sub(from)
		v.Savings = controller.Savings{
			Since: controller.Time{Time: from}, RunS: seconds(t.Run), WatchedS: seconds(t.Watched),
			AvoidedS: seconds(max(all-t.Run, 0)), Wakes: t.Wakes, Wasted: t.Wasted,
		}
	}
	return v
}

func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

// viewOf is the view; begun is since when a stream has been known, and idle when nothing has
// happened to it.
func viewOf(s *machine.State, spec *StreamSpec, begun time.Time) controller.StreamView {
	v := controller.StreamView{
		ID: spec.ID(), Account: spec.Account, Name: spec.Name, Pattern: spec.Policy.Pattern,
		Phase: s.Phase, Mode: controller.ModeAuto, Wanted: s.Wanted, Managed: s.Managed, Reason: s.Reason,
		Since: controller.Time{Time: s.Since}, Deadline: timeOrNil(s.Deadline), Unconfirmed: s.Unconfirmed,
		Demand: []controller.Lease{}, Feeds: []controller.Feed{}, Starts: s.Starts,
		LastAttempt: timeOrNil(s.Facts.Attempt.Seen), Draining: s.Draining, Encoders: []controller.EncoderView{},
	}
	if s.Phase == "" {
		v.Phase, v.Reason, v.Managed = controller.PhaseIdle, "no viewer yet", true
	}
	if s.Since.IsZero() {
		v.Since = controller.Time{Time: begun}
	}
	v.Savings.Since = v.Since
	if !s.Deadline.IsZero() {
		v.DeadlineDoes = &s.Does
	}
	if h := s.Hold; h.Mode != "" {
		v.Mode, v.ModeUntil, v.ModeBy, v.ModeWhy = h.Mode, timeOrNil(h.Until), textOrNil(h.By), textOrNil(h.Why)
	}
	for _, l := range s.Leases {
		v.Demand = append(v.Demand, controller.Lease{By: l.By, Until: controller.Time{Time: l.Until}})
	}
	if poll := s.Facts.Poll; !poll.Asked.IsZero() {
		n := poll.Viewers
		v.Viewers = &n
	}
	for i := range s.Facts.Feeds {
		if f := &s.Facts.Feeds[i]; f.Open() {
			feed := f.Feed
			feed.Encoder = s.Owner(&spec.Policy, f)
			v.Feeds = append(v.Feeds, feed)
		}
	}
	v.Waits = waitsOf(&s.Waits)
	for i := range s.Encoders {
		v.Encoders = append(v.Encoders, viewOfEncoder(s, &s.Encoders[i], spec))
		if t := troubleOf(&s.Encoders[i]); t != nil && (v.Trouble == nil || t.Last.After(v.Trouble.Last.Time)) {
			v.Trouble = t
		}
		if e := &s.Encoders[i]; e.Step == machine.StepWaiting {
			v.WaitsFor = textOrNil(e.Holder)
		}
	}
	if s.Cover.Name != "" {
		v.Encoders = append(v.Encoders, viewOfEncoder(s, &s.Cover, spec))
	}
	if len(s.Encoders) == 0 {
		for e := range spec.Policy.All() {
			v.Encoders = append(v.Encoders, controller.EncoderView{
				Name: e.Name, Driver: e.Driver, State: "stopped", Cover: e == spec.Policy.Cover,
			})
		}
	}
	return v
}

// waitsOf is how long those waited who asked, or nil when nobody has.
func waitsOf(w *machine.Waits) *controller.Waits {
	if w.Asked.IsZero() {
		return nil
	}
	view := func(took [3]time.Duration) controller.Wait {
		var s [3]*float64
		for i, d := range took {
			if d >= 0 {
				n := seconds(d)
				s[i] = &n
			}
		}
		return controller.Wait{StartS: s[0], LiveS: s[1], ViewerS: s[2]}
	}
	typical, of := w.Typical()
	return &controller.Waits{Last: view(w.Last()), Typical: view(typical), Of: of}
}

// troubleOf is what the encoder fails of, or nil.
func troubleOf(e *machine.Encoder) *controller.Trouble {
	if e.Step == machine.StepStopping && e.Alarmed {
		return &controller.Trouble{
			Encoder: e.Name, Text: "it is not confirmed stopped: " + e.Error, Count: 1,
			Since: controller.Time{Time: e.StopAt}, Last: controller.Time{Time: e.StopAt},
		}
	}
	if t := e.Trouble; t.Count > 0 {
		return &controller.Trouble{
			Encoder: e.Name, Text: t.Text, Count: t.Count,
			Since: controller.Time{Time: t.Since}, Last: controller.Time{Time: t.Last},
		}
	}
	return nil
}

// idleView is the view of a stream to which nothing has happened.
func (c *Controller) idleView(spec *StreamSpec, now time.Time) controller.StreamView {
	return (&published{spec: spec, knownSince: c.knownSince(spec.ID())}).at(now)
}

// viewOfEncoder shows what the machine knows where that is more than the driver's last status: a
// start or stop in flight, a failure that is being retried.
func viewOfEncoder(s *machine.State, e *machine.Encoder, spec *StreamSpec) controller.EncoderView {
	now := spec.Policy.Encoder(e.Name)
	v := controller.EncoderView{
		Name: e.Name, Driver: e.Driver, State: e.Seen.State, Since: timeOrNil(e.Since), Restarts: e.Restarts,
		Error: textOrNil(e.Seen.Error), OnAir: e.OnAir, Cover: s.IsCover(e), Health: e.Seen.Health,
		Warning: e.Seen.Warning, Standby: e.Seen.Standby,
	}
	v.Wanted = s.Wanted && e.Step != machine.StepOff && e.Step != machine.StepStopping
	switch e.Step {
	case machine.StepStarting:
		if v.State != "publishing" && v.State != "stalled" {
			v.State = "starting"
		}
	case machine.StepOn:
		if v.State == "" {
			v.State = "unknown"
		}
	case machine.StepStopping:
		v.State = "stopping"
		if e.Alarmed {
			v.Error = textOrNil(e.Error)
		}
	case machine.StepBackoff, machine.StepFailed:
		v.State, v.Error = "failed", textOrNil(e.Error)
	case machine.StepOff, machine.StepWaiting:
		if v.State == "" {
			v.State = "stopped"
		}
		if e.Step == machine.StepWaiting && e.Holder == "" { // for another of the same stream
			v.Error = textOrNil(e.Error)
		}
	}
	v.Outdated = e.Outdated(now)
	if e.Seen.PID > 0 {
		pid := e.Seen.PID
		v.PID = &pid
	}
	return v
}

// Streams lists every stream of the configuration that has no pattern, every stream made from one,
// and those being drained, ordered by id.
func (c *Controller) Streams() []controller.StreamView {
	now := c.cfg.Clock.Now()
	c.mu.RLock()
	views := make([]controller.StreamView, 0, len(c.cfg.Streams)+len(c.streams))
	for i := range c.cfg.Streams {
		if spec := &c.cfg.Streams[i]; c.streams[spec.ID()] == nil && !spec.Policy.Helper {
			views = append(views, c.idleView(spec, now))
		}
	}
	for _, s := range c.streams {
		if s.account == controller.HelperAccount {
			continue
		}
		views = append(views, s.now(now))
	}
	c.mu.RUnlock()
	slices.SortFunc(views, func(a, b controller.StreamView) int { return cmp.Compare(a.ID, b.ID) })
	return views
}

// Helpers lists the helpers of the configuration in its order, then those being drained.
func (c *Controller) Helpers() []controller.HelperView {
	c.mu.RLock()
	defer c.mu.RUnlock()
	views, listed := []controller.HelperView{}, map[controller.StreamID]bool{}
	for i := range c.cfg.Streams {
		if spec := &c.cfg.Streams[i]; spec.Policy.Helper {
			listed[spec.ID()] = true
			p := &published{spec: spec}
			if s := c.streams[spec.ID()]; s != nil {
				p = s.published()
			}
			views = append(views, p.helper())
		}
	}
	for id, s := range c.streams {
		if p := s.published(); id.Account() == controller.HelperAccount && !listed[id] && p.spec != nil {
			views = append(views, p.helper())
		}
	}
	return views
}

func (p *published) helper() controller.HelperView {
	v := controller.HelperView{
		Name: p.spec.Name, State: controller.HelperOff, Wanted: p.state.Wanted, For: []controller.StreamID{},
		Since: timeOrNil(p.state.Since), Reason: p.state.Reason,
	}
	for e := range p.spec.Policy.All() {
		v.Driver = e.Driver
	}
	for _, by := range p.state.Needed.By {
		v.For = append(v.For, by.ID)
	}
	slices.Sort(v.For)
	for e := range p.state.All() {
		view := viewOfEncoder(&p.state, e, p.spec)
		v.Driver, v.Error = e.Driver, view.Error
	}
	switch p.state.Phase {
	case controller.PhaseStarting, controller.PhaseWaiting:
		v.State = controller.HelperStarting
	case controller.PhaseLive, controller.PhaseLingering:
		v.State = controller.HelperOn
	case controller.PhaseStopping:
		v.State = controller.HelperStopping
	case controller.PhaseBackoff, controller.PhaseFailed:
		v.State = controller.HelperFailed
	}
	return v
}

// published returns what was published last, with the latest figures; its spec is nil when the
// stream has not worked yet.
func (s *stream) published() *published {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.view
	if len(s.figures) > 0 {
		p.state.Encoders = slices.Clone(p.state.Encoders)
		for e := range p.state.All() {
			if f, ok := s.figures[e.Name]; ok && f.At.After(e.Seen.At) && f.Alike(e.Seen) {
				e.Seen = f
			}
		}
	}
	return &p
}

// now is the stream's view; one that has not worked yet shows its configuration.
func (s *stream) now(now time.Time) controller.StreamView {
	if p := s.published(); p.spec != nil {
		return p.at(now)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.c.idleView(s.spec, now)
}

// Stream is one of Streams.
func (c *Controller) Stream(id controller.StreamID) (controller.StreamView, bool) {
	now := c.cfg.Clock.Now()
	if s := c.lookUp(id); s != nil {
		return s.now(now), true
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if spec := c.exact[id]; spec != nil {
		return c.idleView(spec, now), true
	}
	return controller.StreamView{}, false
}

func timeOrNil(t time.Time) *controller.Time {
	if t.IsZero() {
		return nil
	}
	return &controller.Time{Time: t}
}

func textOrNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
