package systemd

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/encoders"
)

const (
	// defaultGrace limits a stop when the job does not.
	defaultGrace = 10 * time.Second
	// lastWait is how long a killed unit has to disappear.
	lastWait = time.Second
)

// Stop has systemd stop the unit, if it is on for the job's stream, and waits until it is off.
// systemd gives a unit its TimeoutStopSec, 90 s unless it says otherwise; what is left of it at the
// end of the job's grace is killed.
func (e *Encoder) Stop(ctx context.Context, job encoders.Job) error {
	done, err := e.act(ctx)
	if err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	defer done()
	defer e.wake()
	before := e.remembered()
	adopted := job.Adopt && (before.Stream == "" || before.Ended == byHand)
	if before.Stream != job.ID() && !adopted {
		return nil
	}
	_, u, err := e.observe(ctx, job)
	if err != nil {
		return fmt.Errorf("stop: not confirmed: %w", err)
	}
	c := e.remembered()
	if c.Stream == "" && !adopted { // it was found on by somebody else's hand
		return nil
	}
	if u.on() || u.job {
		c.Stopping = true
		if err := e.remember(c); err != nil {
			return fmt.Errorf("stop: %w", err)
		}
		e.wake()
		if err := e.stop(ctx, job); err != nil {
			return fmt.Errorf("stop: not confirmed: %w", err)
		}
	}
	if err := e.remember(started{}); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return nil
}

// stop asks systemd and waits until the unit is off.
func (e *Encoder) stop(ctx context.Context, job encoders.Job) error {
	name := e.settings.name(job)
	p, err := e.bus.follow(ctx, e, name)
	if err == nil {
		err = p.link.call(ctx, managerPath, manager+"StopUnit", name, "replace")
	}
	if err != nil {
		return explain("stop it", name, err)
	}
	left := job.Grace
	if left <= 0 {
		left = defaultGrace
	}
	if end, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(end)-lastWait)
	}
	killAt := time.Now().Add(max(left, 0))
	killed := false
	for {
		changed := e.changes()
		_, u, err := e.observe(ctx, job)
		if err != nil {
			return err
		}
		if !u.on() && !u.job {
			return nil
		}
		wait := time.Until(killAt)
		if !killed && wait <= 0 {
			killed = true
			e.env.Log.Warn("the unit does not stop, and is killed", "unit", name)
			// Any other error is that nothing is left to kill.
			if err := p.link.call(ctx, managerPath, manager+"KillUnit", name, "all", int32(unix.SIGKILL)); denied(err) {
				return explain("kill it", name, err)
			}
		}
		if killed {
			wait = lookEvery
		}
		if err := pause(ctx, changed, wait); err != nil {
			return fmt.Errorf("unit %s is still %s: %w", name, u.active, err)
		}
	}
}
