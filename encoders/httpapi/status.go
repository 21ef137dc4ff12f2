package httpapi

import (
	"context"
	"errors"
	"time"

	"github.com/oncue/oncue/encoders"
)

// seen is what earlier looks have shown.
type seen struct {
	state    encoders.State
	since    time.Time // when state began; zero: before the first look
	lost     bool      // the box could not be asked at the last look
	progress string
	moved    time.Time // when progress last changed
}

// Status reads the box's state.
func (e *Encoder) Status(ctx context.Context, job encoders.Job) (encoders.Status, error) {
	s, _, err := e.status(ctx, job)
	return s, err
}

// status is Status, with what the box itself said.
func (e *Encoder) status(ctx context.Context, job encoders.Job) (encoders.Status, look, error) {
	c := e.call(job, "status")
	for range 3 {
		l, number, err := c.look(ctx)
		if err != nil {
			return encoders.Status{}, look{}, err
		}
		// What was seen before we acted says nothing about now.
		if s, ok := e.interpret(l, number); ok {
			return s, l, nil
		}
	}
	return encoders.Status{State: encoders.StateUnknown, At: time.Now(), Error: "the box is being started and stopped all the time"}, look{}, nil
}

// look reads the box. A box that cannot be asked is no error but a look that says so; the error is for ctx alone. Number tells how many
// of our acts it has seen.
func (c *call) look(ctx context.Context) (look, int, error) {
	host, leave, err := c.turn(ctx)
	_, number := c.e.claimed()
	if err != nil {
		return look{at: time.Now(), state: encoders.StateUnknown, text: err.Error()}, number, ctx.Err()
	}
	defer leave()
	l := c.lookInTurn(ctx, host)
	if l.answer == nil && ctx.Err() != nil {
		return look{}, number, ctx.Err()
	}
	return l, number, nil
}

// lookInTurn is look for those who hold the box's turn.
func (c *call) lookInTurn(ctx context.Context, host string) look {
	defer c.during("status")()
	a, err := c.send(ctx, host, c.plan.status.request, nil)
	if err != nil {
		return look{at: time.Now(), state: encoders.StateUnknown, text: err.Error(), refused: encoders.IsPermanent(err) || errors.Is(err, errLogin)}
	}
	return c.plan.status.read(a, c.values)
}

// interpret puts together what the box says and what we remember, and remembers more. ok is false when we have acted since the look.
func (e *Encoder) interpret(l look, number int) (s encoders.Status, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if number != e.steps {
		return s, false
	}
	c := e.claim
	s = encoders.Status{State: l.state, At: l.at, Run: c.Run, Stream: c.Stream, Error: l.text, Health: l.health}
	switch {
	case l.state == encoders.StateUnknown:
		e.seen.lost = true
		e.note(&s, l)
		return s, true
	case c.Stopping:
	case l.state == encoders.StateStopped:
		c = e.foundOff(&s, c)
	case l.state == encoders.StateFailed:
		if c.Stream != "" {
			c.Live, c.Ended, c.Why = true, byItself, l.text
		}
	default:
		c = foundOn(&s, c)
	}
	if l.state == encoders.StatePublishing {
		s.ConfigOnly = e.plan.settings.StatusIsConfigOnly
		e.stall(&s, l)
	}
	e.seen.lost = false
	if err := e.keep(c); err != nil {
		e.env.Log.Warn("cannot note what the box does", "err", err)
	}
	e.note(&s, l)
	return s, true
}

// foundOff judges a box that says stopped while nobody of us is stopping it.
func (e *Encoder) foundOff(s *encoders.Status, c claim) claim {
	switch {
	case c.Stream == "":
	case c.Ended == byHand:
		s.ByHand = true
	case c.Ended == byItself:
		s.State, s.Error = encoders.StateFailed, c.Why
	case c.pending(e.plan.settings.Settle):
		s.State = encoders.StateStarting
	case !c.Live:
		c.Ended, c.Why = byItself, "the box took the start, and is still stopped"
		s.State, s.Error = encoders.StateFailed, c.Why
	case e.seen.lost:
		c.Ended, c.Why = byItself, "the box was found stopped after it could not be asked for a while; was it restarted?"
		s.State, s.Error = encoders.StateFailed, c.Why
	case e.plan.settings.FoundOff == "failure":
		c.Ended, c.Why = byItself, "the box was found stopped"
		s.State, s.Error = encoders.StateFailed, c.Why
	default:
		c.Ended = byHand
		s.ByHand = true
	}
	return c
}

// foundOn judges a box that is on, or about to be.
func foundOn(s *encoders.Status, c claim) claim {
	switch {
	case c.Stream == "", c.Ended == byHand:
		s.ByHand, s.Run, s.Stream = true, "", ""
		return claim{}
	case s.State != encoders.StateStopping:
		c.Live, c.Ended, c.Why = true, notEnded, ""
	}
	return c
}

// stall turns a box that is on and does not get on into a stalled one.
func (e *Encoder) stall(s *encoders.Status, l look) {
	if l.progress == "" {
		return
	}
	if l.progress != e.seen.progress || e.seen.state != encoders.StatePublishing && e.seen.state != encoders.StateStalled {
		e.seen.progress, e.seen.moved = l.progress, l.at
		return
	}
	if after := e.plan.settings.Status.StallAfter; after > 0 && l.at.Sub(e.seen.moved) >= after {
		s.State, s.Error = encoders.StateStalled, "the box says that it is on, but has sent nothing for "+l.at.Sub(e.seen.moved).Round(time.Second).String()
	}
}

// note keeps when the state began.
func (e *Encoder) note(s *encoders.Status, l look) {
	if s.State != e.seen.state {
		if e.seen.state != "" {
			e.seen.since = l.at
		}
		e.seen.state = s.State
	}
	s.Since = e.seen.since
	if l.running > 0 && s.State == encoders.StatePublishing {
		s.Since = l.at.Add(-l.running)
	}
}
