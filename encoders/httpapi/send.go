package httpapi

import (
	"context"
	"errors"
	"fmt"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/boxes"
)

// Read reads the state. It is a [boxes.Talk]'s.
func (c *call) Read(ctx context.Context) boxes.Reading { return c.read(ctx).Reading }

func (c *call) read(ctx context.Context) reading {
	defer c.during(boxes.Read)()
	a, err := c.send(ctx, c.plan.status.request, nil)
	if err != nil {
		return reading{Reading: boxes.Silent(err, encoders.IsPermanent(err) || errors.Is(err, errLogin))}
	}
	return c.plan.status.read(a, c.values)
}

// readNow is read for a caller that does not have the turn at the box.
func (c *call) readNow(ctx context.Context) reading {
	leave, err := c.Turn(ctx)
	if err != nil {
		return reading{Reading: boxes.Silent(err, false)}
	}
	defer leave()
	return c.read(ctx)
}

// Send sends the requests of a start or stop, one after the other.
func (c *call) Send(ctx context.Context, step boxes.Step) error {
	steps, idempotent := c.plan.start, c.plan.settings.StartIdempotent
	if step == boxes.Stop {
		steps, idempotent = c.plan.stop, c.plan.settings.StopIdempotent
	}
	for _, r := range steps {
		if wanted, err := c.wants(r); err != nil {
			return encoders.Permanent(err)
		} else if !wanted {
			continue
		}
		if err := boxes.Sleep(ctx, r.delay); err != nil {
			return err
		}
		var once func(context.Context) error
		if !idempotent {
			once = c.beforeRepeat
		}
		a, err := c.send(ctx, r, once)
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
	if !r.when.Set() {
		return true, nil
	}
	wanted, err := r.when.Holds(c.facts())
	if err != nil {
		return false, fmt.Errorf("%s.when: %w", r.key, err)
	}
	return wanted, nil
}

// beforeRepeat reads the state before a request is sent again that must not act twice.
func (c *call) beforeRepeat(ctx context.Context) error {
	l := c.read(ctx)
	if l.State == encoders.StateUnknown {
		return fmt.Errorf("it is not sent again, because the state cannot be read: %s", l.Text)
	}
	if l.State.Gone() == (c.step == boxes.Stop) {
		return errDone
	}
	return nil
}
