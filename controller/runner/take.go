package runner

import (
	"context"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
	"time"
)

// Knows reports whether the configuration has a stream for the name.
func (c *Controller) Knows(account, name string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	id := account + "/" + name
	if s := c.streams[id]; s != nil || c.exact[id] != nil {
		return true
	}
	return c.look(account, name) != nil
}

// Take stores a hook and acts on it, unless it is a duplicate; r is the hook as the journal keeps it, and the result is the store's. Hooks may come in any order.
// An error has changed nothing, but when ctx has ended the hook may be stored all the same: Deliver it once that is known.
func (c *Controller) Take(ctx context.Context, r controller.Record, h controller.Hook) (seq int64, duplicate bool, err error) {
	if s := c.stream(h.Account, h.Name); s != nil {
		if spec, ok := s.enter(); ok {
			defer s.leave()
			seq, duplicate, err = s.take(ctx, r, h, spec)
			if err == nil && !duplicate {
				c.heard(h)
			}
			return seq, duplicate, err
		}
	}
	seq, duplicate, err = c.cfg.Store.Append(ctx, r)
	if err == nil && !duplicate {
		c.Deliver(h)
	}
	return seq, duplicate, err
}

// Deliver hands a hook that is stored to its stream. It never blocks. A hook for a stream that the configuration does not have is dropped.
func (c *Controller) Deliver(h controller.Hook) {
	for {
		s := c.stream(h.Account, h.Name)
		if s == nil || s.put(posted{ev: notAfter(h, c.cfg.Clock.Now())}) {
			break
		}
	}
	c.heard(h)
}

// heard is a sign that the platform's hooks arrive.
func (c *Controller) heard(h controller.Hook) {
	if p := c.poller(h.Account); p != nil {
		p.hooked(notAfter(h, c.cfg.Clock.Now()).Received)
	}
}

// notAfter is the hook as received now, if its time is in the future: a clock was set back meanwhile.
func notAfter(h controller.Hook, now time.Time) controller.Hook {
	if h.Received.After(now) {
		h.Received = now
	}
	return h
}

// enter makes the caller the one at work on a stream that has nothing to do, and returns its configuration. It calls leave when done.
func (s *stream) enter() (spec *StreamSpec, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.atWork || s.gone || len(s.inbox) > 0 || s.c.closing.Load() {
		return nil, false
	}
	s.atWork = true
	return s.spec, true
}

// leave hands what came meanwhile to a worker.
func (s *stream) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.inbox) > 0 {
		s.c.workers.run(s)
		return
	}
	s.atWork = false
	s.idle.Broadcast()
}

// take is a step for one hook that is not stored yet: the hook and the state that it leads to are one commit, and an encoder starts one commit after the hook
// came, not two. What the store refuses, or has already, has changed nothing. The caller has entered the stream.
func (s *stream) take(ctx context.Context, r controller.Record, h controller.Hook, spec *StreamSpec) (seq int64, duplicate bool, err error) {
	s.c.clockMu.RLock()
	defer s.c.clockMu.RUnlock()
	now := s.c.cfg.Clock.Now()
	before, behind, moved := s.state, s.unsaved, s.c.moved
	acts := s.decide(notAfter(h, now), spec, now, nil)
	story, work := s.split(acts)
	due := s.due(now, acts)
	var saved controller.Saved
	if due {
		saved, err = s.encoded(now)
	}
	if err == nil {
		s.c.clockMu.RUnlock() // a disk that hangs holds nobody else up
		if due {
			seq, duplicate, err = s.c.cfg.Store.AppendWith(ctx, r, saved, story)
		} else {
			seq, duplicate, err = s.c.cfg.Store.Append(ctx, r)
		}
		s.c.clockMu.RLock()
		now = s.c.cfg.Clock.Now()
	}
	if err != nil || duplicate {
		if by := s.c.moved - moved; by != 0 {
			before = before.Clone()
			before.Shift(by)
		}
		s.undo(before)
		s.unsaved = behind // and the alarm stands
		if ctx.Err() != nil && !behind {
			s.unsaved = true // it may be stored all the same
			s.c.alarms.set(s, s.wakeAt(now, spec))
		}
		return seq, duplicate, err
	}
	if due {
		s.unsaved, s.savedAt = false, now
	}
	s.c.alarms.set(s, s.wakeAt(now, spec))
	s.tell(story)
	s.publish(spec, now)
	s.do(work, spec)
	if len(story) > 0 && s.state.Over() {
		s.put(posted{}) // a worker settles: that may take time, and the caller has a hook to answer
	}
	return seq, false, nil
}

// undo goes back to a state from before a decision that nobody has acted on.
func (s *stream) undo(before machine.State) {
	s.state = before
	s.settleClaims()
}
