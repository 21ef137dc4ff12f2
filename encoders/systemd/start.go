package systemd

import (
	"context"
	"errors"
	"fmt"

	"github.com/godbus/dbus/v5"

	"github.com/oncue/oncue/encoders"
)

// Start has systemd start the unit, unless it is on for the stream already. It returns once the
// unit's program runs, or systemd has taken a start that takes longer: as with a unit of
// Type=notify, or one that waits for others.
func (e *Encoder) Start(ctx context.Context, job encoders.Job) error {
	done, err := e.act(ctx)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	defer done()
	defer e.wake()
	u, on, err := e.readyToStart(ctx, job)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	c := started{Stream: job.ID(), Run: job.Run, File: job.Fill(e.settings.PublishFile)}
	if on {
		now := e.remembered()
		c.File, c.Before, c.Invocation, c.Restarts = now.File, now.Before, now.Invocation, now.Restarts
		if now.Stream == "" {
			c.File, c.Invocation, c.Restarts = "", u.invocation, u.restarts
		}
		if err := e.remember(c); err != nil {
			return fmt.Errorf("start: %w", err)
		}
		return nil
	}
	c.Before = u.invocation
	e.mu.Lock()
	e.starting, e.job, e.ended = true, "", nil
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.starting = false
		e.mu.Unlock()
	}()
	if err := e.remember(c); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if c.File != "" {
		if err := writePublish(c.File, job.Publish.Reveal()); err != nil {
			return errors.Join(fmt.Errorf("start: write publish_file: %w", err), e.remember(started{}))
		}
	}
	if err := e.start(ctx, job); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	return nil
}

// readyToStart waits for a unit that is still stopping. on means that there is nothing to start.
func (e *Encoder) readyToStart(ctx context.Context, job encoders.Job) (u unit, on bool, err error) {
	for {
		changed := e.changes()
		s, u, err := e.observe(ctx, job)
		if err != nil {
			return u, false, err
		}
		c := e.remembered()
		switch {
		case s.State == encoders.StateStopping:
			if err := pause(ctx, changed, lookEvery); err != nil {
				return u, false, fmt.Errorf("unit %s is still stopping: %w", e.settings.name(job), err)
			}
			continue
		case s.State.Gone():
			return u, false, nil
		case c.Stream == job.ID():
			return u, true, nil
		case c.Stream != "" && c.Stream != job.ID():
			return u, false, fmt.Errorf("unit %s is on for %s: %w", e.settings.name(job), c.Stream, encoders.ErrBusy)
		case c.Stream == "" && !job.Adopt:
			return u, false, fmt.Errorf("unit %s: %w", e.settings.name(job), encoders.ErrBusy)
		}
		return u, true, nil
	}
}

// start asks systemd and waits for what comes of it.
func (e *Encoder) start(ctx context.Context, job encoders.Job) error {
	name := e.settings.name(job)
	var at dbus.ObjectPath
	p, err := e.bus.follow(ctx, e, name)
	if err == nil {
		err = p.link.ask(ctx, managerPath, manager+"StartUnit", &at, name, "replace")
	}
	if err != nil {
		var refused dbus.Error
		if errors.As(err, &refused) && !isError(err, "org.freedesktop.DBus.Error.NoReply") { // so nothing has changed
			return errors.Join(explain("start it", name, err), e.remember(started{}))
		}
		return explain("start it", name, err)
	}
	e.mu.Lock()
	e.job = at
	e.mu.Unlock()
	for {
		changed := e.changes()
		_, u, err := e.observe(ctx, job)
		result := e.resultOf(at)
		switch {
		case err != nil && ctx.Err() == nil:
			return err
		case err != nil, u.on() && (u.pid != 0 || u.active == "active"):
			return nil // systemd has the job, or its program runs
		case result != "" && !u.on():
			return errors.Join(refused(name, result, u), e.remember(started{}))
		case result != "":
			return nil // systemd will start it again by itself
		}
		if pause(ctx, changed, lookEvery) != nil {
			return nil
		}
	}
}

// resultOf is how a job of the unit has ended, "" while it has not.
func (e *Encoder) resultOf(job dbus.ObjectPath) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, j := range e.ended {
		if j.job == job {
			return j.result
		}
	}
	return ""
}

// refused says why the unit is off after the job that should have started it.
func refused(name, result string, u unit) error {
	why := jobResults[result]
	switch {
	case why != "":
	case result == "done" && !u.condition:
		why = "one of its Condition… settings does not hold"
	case result == "done":
		why = "it has ended already: " + u.why()
	default:
		why = u.why()
	}
	err := fmt.Errorf("unit %s: %s", name, why)
	if u.incurable() {
		return encoders.Permanent(err)
	}
	return err
}
