package boxes

import (
	"context"
	"time"

	"github.com/oncue/oncue/encoders"
)

// refusedInterval is the least time between two requests to a box that refuses our password: some
// lock users out.
const refusedInterval = 30 * time.Second

// Watch reads the state every interval of the settings, every quick_interval while it changes, and
// at once after our own Start or Stop.
func (e *Life) Watch(ctx context.Context, job encoders.Job, report func(encoders.Status)) error {
	var last encoders.Status
	for {
		e.mu.Lock()
		changed := e.changed
		e.mu.Unlock()
		s, l, err := e.status(ctx, job)
		if err != nil {
			return err
		}
		if last.State == "" || differs(s, last) || s.Health != nil {
			report(s)
			last = s
		}
		if err := e.pause(ctx, e.pace(s, l), changed); err != nil {
			return err
		}
	}
}

// pace is the time to the next reading.
func (e *Life) pace(s encoders.Status, l Reading) time.Duration {
	switch {
	case l.Refused:
		return max(refusedInterval, e.manners.Interval)
	case e.quick(s.State):
		return e.manners.QuickInterval
	}
	return e.manners.Interval
}

func (e *Life) pause(ctx context.Context, d time.Duration, changed <-chan struct{}) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-changed:
	case <-ctx.Done():
	}
	return ctx.Err()
}

func differs(a, b encoders.Status) bool {
	return a.State != b.State || a.Run != b.Run || a.Stream != b.Stream || a.Error != b.Error || a.ByHand != b.ByHand
}
