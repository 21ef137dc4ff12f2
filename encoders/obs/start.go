package obs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oncue/oncue/encoders"
)

// Start makes OBS stream. It returns once OBS has accepted the start, and never sends it a second
// one.
func (e *Encoder) Start(ctx context.Context, job encoders.Job) error {
	wanted, err := e.settings.setup(job)
	if err != nil {
		return encoders.Permanent(err)
	}
	release, err := e.waitTurn(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := e.start(ctx, job, wanted); !errors.Is(err, errDead) {
		return err
	}
	return e.start(ctx, job, wanted) // on a new connection
}

// errDead says that a connection that seemed to be there was not.
var errDead = errors.New("the connection was dead")

func (e *Encoder) start(ctx context.Context, job encoders.Job, wanted setup) error {
	sess, err := e.connected(ctx, job)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	for {
		on, err := e.awaitCertain(ctx, sess)
		if err != nil {
			return fmt.Errorf("start: %w", err)
		}
		if on {
			return e.join(ctx, sess, job, wanted.service)
		}
		if err := e.probe(ctx, sess); err != nil {
			return fmt.Errorf("start: %w", err)
		}
		if err := e.prepare(ctx, sess, wanted); err != nil {
			return fmt.Errorf("start: %w", err)
		}
		accepted, err := e.sendStart(ctx, sess, job)
		if accepted || err != nil {
			return err
		}
	}
}

// probe makes sure that the connection is alive, and ends a dead one. After a StartStream whose
// answer is lost, OBS cannot be started for all of startLimit, because the request may have
// arrived.
func (e *Encoder) probe(ctx context.Context, sess *session) error {
	asking, done := context.WithTimeout(ctx, e.limits.status)
	defer done()
	err := e.poll(asking, sess)
	if err != nil && ctx.Err() == nil {
		sess.close()
		replaced := func(time.Time) (bool, time.Time) { return e.link.sess != sess, time.Time{} }
		if err := e.await(ctx, replaced); err != nil {
			return err
		}
		return fmt.Errorf("%w: %w", errDead, err)
	}
	return err
}

// awaitCertain waits until it is certain what OBS does, and reports whether it is on or starting.
func (e *Encoder) awaitCertain(ctx context.Context, sess *session) (on bool, err error) {
	lost := false
	err = e.await(ctx, func(now time.Time) (bool, time.Time) {
		lost = e.link.sess != sess
		on = e.out.phase == phaseStarting || e.out.on()
		return lost || on || e.out.certain(now), e.out.clear
	})
	if lost {
		return false, fmt.Errorf("%w: %w", errDead, e.lostError(sess))
	}
	if err != nil {
		return false, fmt.Errorf("obs at %s is %s: %w", e.target.address, e.phase(), err)
	}
	return on, nil
}

// lostError says why sess ended.
func (e *Encoder) lostError(sess *session) error {
	<-sess.done
	return sess.err
}

func (e *Encoder) phase() phase {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.out.phase
}

// join makes what is on or starting this job's run, if it is this stream's, or may be adopted and
// publishes where the job wants it.
func (e *Encoder) join(ctx context.Context, sess *session, job encoders.Job, wanted service) error {
	e.mu.Lock()
	owner := e.out.owner.Stream
	e.mu.Unlock()
	fits := owner == "" && job.Adopt
	if fits && !wanted.isZero() { // else OBS's own settings say where to, and there is nothing to compare
		var err error
		if fits, err = wanted.isSet(ctx, e, sess); err != nil {
			return fmt.Errorf("start: read where obs already streams to: %w", err)
		}
	}
	if owner != job.ID() && !fits {
		return fmt.Errorf("obs at %s: %w", e.target.address, encoders.ErrBusy)
	}
	e.update(func(now time.Time) { e.out.adopt(startedBy(job, now)) })
	return nil
}

// sendStart sends the one StartStream. It is not accepted when somebody else was quicker. Without
// an answer OBS counts as starting until it says what it does.
func (e *Encoder) sendStart(ctx context.Context, sess *session, job encoders.Job) (accepted bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, fmt.Errorf("start: %w", err)
	}
	mine, seen := false, 0
	e.update(func(now time.Time) {
		mine, seen = e.link.sess == sess && e.out.certain(now), e.link.events
		if mine {
			e.out.startAsked(startedBy(job, now), now)
		}
	})
	if !mine {
		return false, nil
	}
	for {
		err = sess.do(ctx, e.limits.request, "StartStream", nil, nil)
		switch {
		case err == nil:
			return true, nil
		case !isRequestError(err):
			return false, fmt.Errorf("start: %w", err)
		case isCode(err, codeOutputRunning):
			e.update(func(now time.Time) { e.out.startRefused(now); e.out.begun(now) })
			return false, nil
		case !isCode(err, codeNotReady):
			e.update(func(now time.Time) { e.out.startRefused(now) })
			return false, fmt.Errorf("start: %w", err)
		}
		if err := e.pause(ctx, sess.done, time.Now().Add(e.limits.retry)); err != nil {
			e.update(func(now time.Time) { e.out.startRefused(now) })
			return false, fmt.Errorf("start: obs at %s is not ready: %w", e.target.address, err)
		}
		if e.heardSince(seen) {
			return true, nil
		}
	}
}

// heardSince reports whether OBS has sent events of its output since seen. Then the start has
// begun, and must not be sent again.
func (e *Encoder) heardSince(seen int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.link.events != seen
}
