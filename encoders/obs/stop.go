package obs

import (
	"context"
	"fmt"
	"time"

	"github.com/oncue/oncue/encoders"
)

// Stop makes OBS stop what it streams for the job's stream and returns nil once OBS has said that
// it did. OBS cannot be stopped while it is starting. The stop is remembered then, also beyond ctx,
// until OBS is live or has failed, or until the next Start.
func (e *Encoder) Stop(ctx context.Context, job encoders.Job) error {
	release, err := e.waitTurn(ctx)
	if err != nil {
		return err
	}
	defer release()
	sess, err := e.connected(ctx, job)
	if err != nil {
		if e.closed() {
			return nil
		}
		return fmt.Errorf("stop: not confirmed: %w", err)
	}
	for {
		what, err := e.stopStep(ctx, sess, job)
		if err != nil {
			return fmt.Errorf("stop: not confirmed: %w", err)
		}
		switch what {
		case stopDone:
			return nil
		case stopSend:
			if err := e.sendStop(ctx, sess); err != nil {
				return fmt.Errorf("stop: not confirmed: %w", err)
			}
		case stopRemember:
			e.update(func(time.Time) { e.out.stopLater() })
		}
	}
}

// closed reports whether OBS has said that it exits, and is not back: then nothing is left to stop.
func (e *Encoder) closed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.link.sess == nil && e.out.exiting
}

type stopAction int

const (
	stopDone stopAction = iota
	stopSend
	stopRemember
)

// stopStep waits for the next thing that a stop has to do. For an output that is stopping already
// it only waits: there is no stronger request. OBS 29 takes up to 32 s to stop while it tries to
// reconnect to a server that does not answer, and freezes when it is sent StopOutput or its
// ForceStopStreaming hotkey then.
func (e *Encoder) stopStep(ctx context.Context, sess *session, job encoders.Job) (what stopAction, err error) {
	lost := false
	err = e.await(ctx, func(now time.Time) (bool, time.Time) {
		o := &e.out
		lost = e.link.sess != sess
		switch {
		case lost:
			return true, now
		case o.certain(now), o.owner.Stream != job.ID() && !(job.Adopt && o.owner.Stream == ""):
			what = stopDone
			return true, now
		case o.phase == phaseStarting && !o.stopDue:
			what = stopRemember
			return true, now
		case o.on() && !o.stopDue:
			what = stopSend
			return true, now
		}
		return false, o.clear
	})
	switch {
	case lost:
		return what, e.lostError(sess)
	case err != nil:
		return what, fmt.Errorf("obs at %s is still %s: %w", e.target.address, e.phase(), err)
	}
	return what, nil
}

// sendStop sends StopStream to an output that is on.
func (e *Encoder) sendStop(ctx context.Context, sess *session) error {
	e.update(func(now time.Time) { e.out.stopAsked(now) })
	err := e.patiently(ctx, sess, "StopStream", nil, nil)
	gone := isCode(err, codeOutputStopped)
	if isRequestError(err) {
		e.update(func(now time.Time) { e.out.stopRefused(gone, now) })
	}
	if gone {
		return nil
	}
	return err
}
