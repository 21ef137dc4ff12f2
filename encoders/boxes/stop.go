package boxes

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oncue/oncue/encoders"
)

// Stop sends the stop, if the box is on for the job's stream, and waits until the box says stopped.
// If the box does not react, it sends the stop again.
func (e *Life) Stop(ctx context.Context, job encoders.Job) error {
	if _, bounded := ctx.Deadline(); !bounded && job.Grace > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, job.Grace)
		defer cancel()
	}
	done, err := e.act(ctx)
	if err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	defer done()
	defer e.Wake()
	c := e.call(job, Stop)
	before, _ := e.remembered()
	adopted := job.Adopt && (before.Stream == "" || before.Ended == byHand)
	if before.Stream != job.ID() && !adopted {
		return nil
	}
	l, _, err := c.read(ctx)
	if err != nil {
		return fmt.Errorf("stop: not confirmed: %w", err)
	}
	turnedOnByHand := !adopted && before.Ended == byHand && !l.State.Gone()
	if turnedOnByHand || before == (Started{}) && l.State == encoders.StateStopped {
		return nil
	}
	if l.State == encoders.StateUnknown && !e.manners.StopIdempotent {
		return fmt.Errorf("stop: the state could not be read first: %s", l.Text)
	}
	marked := before
	marked.Stopping = true
	if err := e.remember(marked); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	e.Wake()
	if err := c.untilStopped(ctx, l); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.acts++
	e.stopped = time.Now()
	if err := e.save(Started{}); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return nil
}

// untilStopped sends the stop, again from time to time while the box does not react, and reads the
// state until the box says stopped.
func (c *call) untilStopped(ctx context.Context, l Reading) error {
	manners := &c.e.manners
	resend := resendEvery(ctx)
	var sent time.Time
	var refused error
	seen := 0
	for {
		off := l.State.Gone()
		if off && !sent.IsZero() || off && !manners.StopIdempotent {
			if seen++; seen >= manners.Confirmations {
				return nil
			}
		} else {
			seen = 0
		}
		reacting := off || l.State == encoders.StateStopping
		first := sent.IsZero() && (manners.StopIdempotent || !reacting)
		again := !reacting && time.Since(sent) >= resend && manners.StopIdempotent
		if first || again {
			sent = time.Now()
			if refused = c.send(ctx, Stop); encoders.IsPermanent(refused) {
				return refused
			} else if refused == nil {
				c.e.stopAccepted()
			}
		} else if err := Sleep(ctx, manners.QuickInterval); err != nil {
			return c.unconfirmed(l, refused, err)
		}
		next, _, err := c.read(ctx)
		if err != nil {
			return c.unconfirmed(l, refused, err)
		}
		l = next
	}
}

// stopAccepted notes that the box has accepted the stop, for boxes that cannot tell their state.
func (e *Life) stopAccepted() {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.started
	c.Off = true
	if err := e.save(c); err != nil {
		e.env.Log.Warn("what the box does cannot be saved", "err", err)
	}
}

// resendEvery is the time between two stops: three of them before ctx ends.
func resendEvery(ctx context.Context) time.Duration {
	const least = 2 * time.Second
	end, bounded := ctx.Deadline()
	if !bounded {
		return 10 * time.Second
	}
	return max(time.Until(end)/3, least)
}

// unconfirmed says why it is not known whether a stop worked.
func (c *call) unconfirmed(l Reading, refused, err error) error {
	what := fmt.Sprintf("the box still says %s", l.State)
	if l.State == encoders.StateUnknown {
		what = "its state could not be read: " + l.Text
	}
	if l.State.Gone() {
		what = "the box has not said stopped often enough"
	}
	if refused != nil && !errors.Is(refused, context.DeadlineExceeded) && !errors.Is(refused, context.Canceled) {
		return fmt.Errorf("not confirmed: %s; %w (%w)", what, refused, err)
	}
	return fmt.Errorf("not confirmed: %s: %w", what, err)
}
