package boxes

import (
	"context"
	"fmt"
	"time"

	"github.com/oncue/oncue/encoders"
)

// seen is what earlier readings have shown.
type seen struct {
	state    encoders.State
	since    time.Time // when state began; zero before the first reading
	at       time.Time // when the latest reading was made
	lost     bool      // the box did not answer at the last reading
	progress string
	moved    time.Time // when progress last changed
}

// Status reads the box's state.
func (e *Life) Status(ctx context.Context, job encoders.Job) (encoders.Status, error) {
	s, _, err := e.status(ctx, job)
	return s, err
}

// status is Status, with what the box itself said.
func (e *Life) status(ctx context.Context, job encoders.Job) (encoders.Status, Reading, error) {
	c := e.call(job, Read)
	for range 3 {
		l, number, err := c.read(ctx)
		if err != nil {
			return encoders.Status{}, Reading{}, err
		}
		// A reading from before we acted says nothing about now.
		if s, ok := e.interpret(l, number); ok {
			return s, l, nil
		}
	}
	const why = "the box is being started and stopped all the time"
	return encoders.Status{State: encoders.StateUnknown, At: time.Now(), Error: why}, Reading{}, nil
}

// read reads the state of the box. A box that does not answer is no error: the reading says so. The
// error is only for the end of ctx. acts is how often we had acted by then.
func (c *call) read(ctx context.Context) (l Reading, acts int, err error) {
	leave, err := c.Turn(ctx)
	_, acts = c.e.remembered()
	if err != nil {
		return Silent(err, false), acts, Ended(ctx)
	}
	defer leave()
	l = c.Read(ctx)
	if err := Ended(ctx); !l.Answered && err != nil {
		return Reading{}, acts, err
	}
	return l, acts, nil
}

// Ended is ctx.Err, also in the moment in which the deadline has passed and ctx does not know it
// yet: a connection gives up by the same time.
func Ended(ctx context.Context) error {
	if end, ok := ctx.Deadline(); ok && ctx.Err() == nil && !time.Now().Before(end) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// interpret combines what the box says with what we remember, and remembers the result. ok is false
// when we have acted since the reading, or a later one has been interpreted: a caller that was held
// up with "stopped" would make a run that has begun meanwhile look ended by hand.
func (e *Life) interpret(l Reading, number int) (s encoders.Status, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if number != e.acts || l.At.Before(e.seen.at) {
		return s, false
	}
	e.seen.at = l.At
	c := e.started
	s = encoders.Status{State: l.State, At: l.At, Run: c.Run, Stream: c.Stream, Error: l.Text, Health: l.Health}
	switch {
	case l.State == encoders.StateUnknown:
		e.seen.lost = true
		e.note(&s, l)
		return s, true
	case c.Stopping:
	case l.State == encoders.StateStopped:
		c = e.foundOff(&s, c, l)
	case l.State == encoders.StateFailed:
		if c.Stream != "" {
			c.Live, c.Ended, c.Why = true, byItself, l.Text
		}
	default:
		c = foundOn(&s, c)
	}
	if l.State == encoders.StatePublishing {
		s.ConfigOnly = e.manners.StatusIsConfigOnly
		e.stall(&s, l)
	}
	e.seen.lost = false
	if err := e.save(c); err != nil {
		e.env.Log.Warn("what the box does cannot be saved", "err", err)
	}
	e.note(&s, l)
	return s, true
}

// foundOff judges a box that says stopped while we are not stopping it.
func (e *Life) foundOff(s *encoders.Status, c Started, l Reading) Started {
	because := func(why string) string {
		if l.Ended != "" {
			why += ": " + l.Ended
		}
		return why
	}
	switch {
	case c.Stream == "":
	case c.Ended == byHand:
		s.ByHand = true
	case c.Ended == byItself:
		s.State, s.Error = encoders.StateFailed, c.Why
	case c.pending(e.manners.Settle):
		s.State = encoders.StateStarting
	case !c.Live:
		c.Ended, c.Why = byItself, because("the box accepted the start, and is still stopped")
		s.State, s.Error = encoders.StateFailed, c.Why
	case e.seen.lost:
		c.Ended, c.Why = byItself, "the box was found stopped after it had not answered for a while; was it restarted?"
		s.State, s.Error = encoders.StateFailed, c.Why
	case e.manners.FoundOff == "failure":
		c.Ended, c.Why = byItself, because("the box was found stopped")
		s.State, s.Error = encoders.StateFailed, c.Why
	default:
		c.Ended = byHand
		s.ByHand = true
	}
	return c
}

// foundOn judges a box that is on, or changing.
func foundOn(s *encoders.Status, c Started) Started {
	switch {
	case c.Stream == "", c.Ended == byHand:
		s.ByHand, s.Run, s.Stream = true, "", ""
		return Started{}
	case s.State != encoders.StateStopping:
		c.Live, c.Ended, c.Why = true, notEnded, ""
	}
	return c
}

// stall reports a box as stalled that is on and makes no progress.
func (e *Life) stall(s *encoders.Status, l Reading) {
	if l.Progress == "" {
		return
	}
	if l.Progress != e.seen.progress || e.seen.state != encoders.StatePublishing &&
		e.seen.state != encoders.StateStalled {
		e.seen.progress, e.seen.moved = l.Progress, l.At
		return
	}
	if after := e.stallAfter; after > 0 && l.At.Sub(e.seen.moved) >= after {
		silent := l.At.Sub(e.seen.moved).Round(time.Second)
		s.State, s.Error = encoders.StateStalled,
			fmt.Sprintf("the box says that it is on, but has sent nothing for %v", silent)
	}
}

// note remembers when the state began.
func (e *Life) note(s *encoders.Status, l Reading) {
	if s.State != e.seen.state {
		if e.seen.state != "" {
			e.seen.since = l.At
		}
		e.seen.state = s.State
	}
	s.Since = e.seen.since
	if l.Running > 0 && s.State == encoders.StatePublishing {
		s.Since = l.At.Add(-l.Running)
	}
}
