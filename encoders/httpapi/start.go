package httpapi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oncue/oncue/encoders"
)

// Start sends the start, unless the box is on for the stream already.
func (e *Encoder) Start(ctx context.Context, job encoders.Job) error {
	done, err := e.act(ctx)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	defer done()
	defer e.wake()
	c := e.call(job, "start")
	on, err := c.readyToStart(ctx)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if on {
		return c.adopt()
	}
	if err := c.gap(ctx); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	before, _ := e.remembered()
	if err := e.remember(started{Stream: job.ID(), Run: job.Run, At: time.Now()}); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if err := c.run(ctx, e.plan.start, e.plan.settings.StartIdempotent); err != nil {
		var no *refusal
		if errors.As(err, &no) || encoders.IsPermanent(err) { // the box has not accepted it, so nothing has changed
			if forget := e.remember(before); forget != nil {
				err = errors.Join(err, forget)
			}
		}
		return fmt.Errorf("start: %w", err)
	}
	return e.startAccepted()
}

// readyToStart reads the state, because a start could make somebody else's broadcast look like
// ours, and waits for a box that is still stopping. on means that there is nothing to send.
func (c *call) readyToStart(ctx context.Context) (on bool, err error) {
	settings := &c.plan.settings
	for {
		s, l, err := c.e.status(ctx, c.job)
		if err != nil {
			return false, fmt.Errorf("read the state first: %w", err)
		}
		claim, _ := c.e.remembered()
		ours := claim.Stream == c.job.ID()
		switch {
		case l.state == encoders.StateUnknown:
			err := fmt.Errorf("the state could not be read first: %s", s.Error)
			if l.refused {
				err = encoders.Permanent(err)
			}
			return false, err
		case l.state == encoders.StateStopping:
			if err := sleep(ctx, settings.QuickInterval); err != nil {
				return false, fmt.Errorf("the box is still stopping: %w", err)
			}
			continue
		case l.state.Gone():
			return ours && claim.Accepted && claim.pending(settings.Settle) && claim.Run == c.job.Run, nil
		case claim.Stream != "" && !ours:
			return false, fmt.Errorf("the box is on for %s: %w", claim.Stream, encoders.ErrBusy)
		case claim.Stream == "" && !c.job.Adopt:
			return false, fmt.Errorf("the box: %w", encoders.ErrBusy)
		}
		return true, nil
	}
}

// adopt makes what the box already does the job's run.
func (c *call) adopt() error {
	now, _ := c.e.remembered()
	next := started{Stream: c.job.ID(), Run: c.job.Run, At: now.At, Accepted: true, Live: now.Live}
	if now.Stream == "" {
		next.At, next.Live = time.Now(), true
	}
	if err := c.e.remember(next); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	return nil
}

// startAccepted notes that the box has accepted the start. A reading may have noted more in the
// meantime.
func (e *Encoder) startAccepted() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.started
	c.Accepted = true
	if err := e.save(c); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	return nil
}

// gap waits for min_gap since the last stop.
func (c *call) gap(ctx context.Context) error {
	c.e.mu.Lock()
	wait := time.Until(c.e.stopped.Add(c.plan.settings.MinGap))
	c.e.mu.Unlock()
	if wait <= 0 {
		return nil
	}
	if err := sleep(ctx, wait); err != nil {
		return fmt.Errorf("the box needs %s between a stop and a start: %w", c.plan.settings.MinGap, err)
	}
	return nil
}

// run sends the requests of a start or stop, one after the other.
func (c *call) run(ctx context.Context, steps []*request, idempotent bool) error {
	host, leave, err := c.turn(ctx)
	if err != nil {
		return err
	}
	defer leave()
	for _, r := range steps {
		if wanted, err := c.wants(r); err != nil {
			return encoders.Permanent(err)
		} else if !wanted {
			continue
		}
		if err := sleep(ctx, r.delay); err != nil {
			return err
		}
		var once func(context.Context) error
		if !idempotent {
			once = func(ctx context.Context) error { return c.beforeRepeat(ctx, host) }
		}
		a, err := c.send(ctx, host, r, once)
		if errors.Is(err, errDone) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := c.judge(r, a); err != nil {
			return err
		}
	}
	return nil
}

// wants reports whether to send a request for this job.
func (c *call) wants(r *request) (bool, error) {
	if !r.when.set() {
		return true, nil
	}
	wanted, err := r.when.holds(c.facts())
	if err != nil {
		return false, fmt.Errorf("%s.when: %w", r.key, err)
	}
	return wanted, nil
}

// beforeRepeat reads the state before a request is sent again that must not act twice.
func (c *call) beforeRepeat(ctx context.Context, host string) error {
	l := c.readInTurn(ctx, host)
	if l.state == encoders.StateUnknown {
		return fmt.Errorf("it is not sent again, because the state cannot be read: %s", l.text)
	}
	if l.state.Gone() == (c.step == "stop") {
		return errDone
	}
	return nil
}
