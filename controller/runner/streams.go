package runner

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
)

// stream finds the stream, and makes it when the configuration has it; else nil. It is nil, too,
// when its pattern has as many streams as it may, and all of them are needed.
func (c *Controller) stream(account, name string) *stream {
	if s := c.lookUp(controller.JoinID(account, name)); s != nil {
		return s
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[controller.JoinID(account, name)]; s != nil {
		return s
	}
	spec := c.specOf(account, name)
	if spec == nil || !c.room(spec) {
		return nil
	}
	s := newStream(c, spec)
	c.enlist(s)
	return s
}

func (c *Controller) lookUp(id controller.StreamID) *stream {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.streams[id]
}

func (c *Controller) all() []*stream {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := make([]*stream, 0, len(c.streams))
	for _, s := range c.streams {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *stream) int { return cmp.Compare(a.id, b.id) })
	return all
}

// specOf finds what the configuration says of a stream, by name or by pattern; nil when it says
// nothing. The caller holds mu.
func (c *Controller) specOf(account, name string) *StreamSpec {
	if spec := c.exact[controller.JoinID(account, name)]; spec != nil {
		return spec
	}
	if spec, ok := c.cfg.Find(account, name); ok {
		return &spec
	}
	return nil
}

// enlist makes the stream the one of its id. The caller holds mu.
func (c *Controller) enlist(s *stream) {
	c.streams[s.id] = s
	if pattern := s.spec.Policy.Pattern; pattern != "" {
		if c.names[pattern] == nil {
			c.names[pattern] = map[controller.StreamID]*stream{}
		}
		c.names[pattern][s.id] = s
	}
}

// room reports whether one more stream may be made of the spec's pattern; the one that has been
// idle for longest makes way. The caller holds mu.
func (c *Controller) room(spec *StreamSpec) bool {
	pattern, most := spec.Policy.Pattern, spec.Policy.MaxInstances
	if pattern == "" || most <= 0 || len(c.names[pattern]) < most {
		return true
	}
	var oldest *stream
	var since time.Time
	for _, s := range c.names[pattern] {
		p := s.published()
		if p.spec == nil || s.evicted || !p.state.Disposable(&p.spec.Policy) {
			continue
		}
		if oldest == nil || p.state.Since.Before(since) {
			oldest, since = s, p.state.Since
		}
	}
	if oldest != nil {
		oldest.evicted = true
		oldest.postItem(item{evict: true})
		return true
	}
	if now := c.cfg.Clock.Now(); c.full[pattern].IsZero() || now.Sub(c.full[pattern]) >= fullAgain {
		c.full[pattern] = now
		c.notify(controller.Notice{Kind: "pattern_full", Account: spec.Account, At: now,
			Text: fmt.Sprintf("%d names of the pattern %s are in use, as many as max_instances allows; %s is not started",
				most, pattern, spec.ID())})
	}
	return false
}

// fullAgain is how long people are not told again that a pattern is full.
const fullAgain = 10 * time.Minute

// forget removes the stream, with its row and, for one of a pattern, with the files of its
// encoders. Its history stays. What comes for it meanwhile keeps it. The caller is the stream's
// worker.
func (c *Controller) forget(s *stream, spec *StreamSpec) {
	for at, cl := range s.callers {
		delete(s.callers, at)
		cl.dev.removeUser(s)
		c.devices.put(cl.dev)
	}
	if spec.Policy.Pattern != "" && c.cfg.Discard != nil {
		for e := range s.published().state.All() {
			c.cfg.Discard(e.Instance)
		}
	}
	if err := c.cfg.Store.ForgetStream(context.Background(), s.id); err != nil {
		c.cfg.Log.Error("a stream that nobody needs any more is not forgotten", "stream", s.id, "error", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.evicted = false
	if len(s.inbox) > 0 {
		s.unsaved = true
		return
	}
	s.gone, s.unsaved = true, false
	delete(c.streams, s.id)
	delete(c.names[s.spec.Policy.Pattern], s.id)
	c.alarms.set(s, time.Time{})
}

// index makes the index of the configuration's streams, and counts their devices.
func (c *Controller) index() (devices int) {
	c.exact = make(map[controller.StreamID]*StreamSpec, len(c.cfg.Streams))
	uses := map[string]int{}
	for i := range c.cfg.Streams {
		spec := &c.cfg.Streams[i]
		c.exact[spec.ID()] = spec
		if spec.Policy.Helper {
			continue
		}
		for e := range spec.Policy.All() {
			uses[e.Device]++
		}
	}
	for i := range c.cfg.Streams {
		for e := range c.cfg.Streams[i].Policy.All() {
			e.Shared = uses[e.Device] > 1
		}
	}
	return len(uses)
}

// Reload takes a new configuration. Timers and running encoders are kept; a stream that is gone
// from it is drained.
func (c *Controller) Reload(cfg Config) error {
	c.mu.Lock()
	c.cfg.Find, c.cfg.Streams, c.cfg.Accounts = cfg.Find, cfg.Streams, cfg.Accounts
	c.cfg.Limits, c.cfg.Defaults = cfg.Limits, cfg.Defaults
	devices := c.index()
	c.noteKnown()
	c.mu.Unlock()
	c.claims.setLimits(cfg.Limits, devices)
	for _, s := range c.all() {
		c.mu.RLock()
		spec := c.specOf(s.account, s.name)
		c.mu.RUnlock()
		if spec == nil {
			_, hears := cfg.Accounts[s.account]
			s.post(machine.Drained{Deaf: !hears && s.account != controller.HelperAccount})
			continue
		}
		c.mu.Lock()
		if was := s.spec.Policy.Pattern; was != spec.Policy.Pattern {
			delete(c.names[was], s.id)
		}
		s.mu.Lock()
		elsewhere := spec.publishesElsewhere(s.spec)
		s.spec = spec
		s.mu.Unlock()
		if !s.gone {
			c.enlist(s)
		}
		c.mu.Unlock()
		s.post(machine.Reloaded{})
		if elsewhere {
			s.post(machine.TokenChanged{})
		}
	}
	return c.addJobs()
}

// TokenChanged tells a stream, or those of a pattern, that there is another publishing token, or
// that the one there is has become good.
func (c *Controller) TokenChanged(entry string) {
	for _, s := range c.all() {
		s.mu.Lock()
		pattern := s.spec.Policy.Pattern
		s.mu.Unlock()
		if pattern == entry || s.id == controller.StreamID(entry) {
			s.post(machine.TokenChanged{})
		}
	}
}
