package obs

import (
	"context"
	"time"

	"github.com/oncue/oncue/encoders"
)

// healthEvery is how often Watch reports for measurements alone.
const healthEvery = 2 * time.Second

// Status asks OBS, unless it was asked within the last second. Without a connection it waits only
// for the very first attempt to make one.
func (e *Encoder) Status(ctx context.Context, job encoders.Job) (encoders.Status, error) {
	e.connectOnce(job)
	err := e.await(ctx, func(time.Time) (bool, time.Time) {
		return e.link.ready || e.link.err != nil || e.link.ended > 0, time.Time{}
	})
	if err == errClosed {
		return encoders.Status{State: encoders.StateUnknown, At: time.Now(), Error: errClosed.Error()}, nil
	}
	if err != nil {
		return encoders.Status{}, err
	}
	e.mu.Lock()
	sess, due := e.link.sess, e.link.ready && time.Since(e.out.meter.at) > e.limits.pollOn
	e.mu.Unlock()
	if due {
		asking, done := context.WithTimeout(ctx, e.limits.status)
		defer done()
		if err := e.poll(asking, sess); err != nil && ctx.Err() == nil {
			if isTimeout(err) {
				err = e.silent(e.limits.status, err)
			}
			s := e.now()
			if s.State != encoders.StateUnknown {
				s.State, s.Error, s.Health = encoders.StateUnknown, err.Error(), nil
			}
			return s, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return encoders.Status{}, err
	}
	return e.now(), nil
}

// now is the present status.
func (e *Encoder) now() encoders.Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.status(time.Now())
}

// status is now for callers that hold mu.
func (e *Encoder) status(now time.Time) encoders.Status {
	s := encoders.Status{At: now, Run: e.out.owner.Run, Stream: e.out.owner.Stream}
	if !e.link.ready {
		s.State, s.Since = encoders.StateUnknown, e.link.lost
		switch {
		case e.link.err != nil:
			s.Error = e.link.err.Error()
		case e.link.sess != nil:
			s.Error = "obs at " + e.target.address + " is not ready yet"
		default:
			s.Error = "obs at " + e.target.address + " was not reached yet"
		}
		return s
	}
	s.State, s.Since, s.Error = e.out.state(now)
	s.ByHand = e.out.byHand
	if e.out.phase == phaseLive || e.out.phase == phaseReconnecting {
		s.Health = e.out.meter.health()
	}
	return s
}

// Watch reports at each change; polls run by themselves.
func (e *Encoder) Watch(ctx context.Context, job encoders.Job, report func(encoders.Status)) error {
	e.connectOnce(job)
	var last encoders.Status
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		e.mu.Lock()
		s, changed := e.status(time.Now()), e.changed
		e.mu.Unlock()
		if last.State == "" || differs(s, last) || s.Health != nil && s.At.Sub(last.At) >= healthEvery {
			report(s)
			last = s
		}
		var again time.Time
		if s.Health != nil {
			again = s.At.Add(e.limits.pollOn)
		}
		if err := e.pause(ctx, changed, again); err != nil {
			return err
		}
	}
}

func differs(a, b encoders.Status) bool {
	return a.State != b.State || a.Run != b.Run || a.Stream != b.Stream || a.Error != b.Error || a.ByHand != b.ByHand
}
