package boxes

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oncue/oncue/encoders"
)

// Start sends the start, unless the box is on for the stream already.
func (e *Life) Start(ctx context.Context, job encoders.Job) error {
	done, err := e.act(ctx)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	defer done()
	defer e.Wake()
	c := e.call(job, Start)
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
	if err := e.remember(Started{Stream: job.ID(), Run: job.Run, At: time.Now()}); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if err := c.send(ctx, Start); err != nil {
		var no *Refusal
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
	for {
		s, l, err := c.e.status(ctx, c.job)
		if err != nil {
			return false, fmt.Errorf("read the state first: %w", err)
		}
		claim, _ := c.e.remembered()
		ours := claim.Stream == c.job.ID()
		switch {
		case l.State == encoders.StateUnknown:
			err := fmt.Errorf("the state could not be read first: %s", s.Error)
			if l.Refused {
				err = encoders.Permanent(err)
			}
			return false, err
		case l.State == encoders.StateStopping:
			if err := Sleep(ctx, c.e.manners.QuickInterval); err != nil {
				return false, fmt.Errorf("the box is still stopping: %w", err)
			}
			continue
		case l.State.Gone():
			return ours && claim.Accepted && claim.pending(c.e.manners.Settle) && claim.Run == c.job.Run, nil
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
	next := Started{Stream: c.job.ID(), Run: c.job.Run, At: now.At, Accepted: true, Live: now.Live}
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
func (e *Life) startAccepted() error {
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
	wait := time.Until(c.e.stopped.Add(c.e.manners.MinGap))
	c.e.mu.Unlock()
	if wait <= 0 {
		return nil
	}
	if err := Sleep(ctx, wait); err != nil {
		return fmt.Errorf("the box needs %s between a stop and a start: %w", c.e.manners.MinGap, err)
	}
	return nil
}
