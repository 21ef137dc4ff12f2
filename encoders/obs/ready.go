package obs

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/oncue/oncue/encoders"
)

// setup is what a start selects in OBS and puts into it before it streams. Secrets are in it. The
// zero setup leaves OBS alone.
type setup struct {
	choices []choice
	service service
}

func (s Settings) setup(job encoders.Job) (setup, error) {
	wanted, err := s.service(job)
	return setup{s.choices(job), wanted}, err
}

func (s setup) isZero() bool { return len(s.choices) == 0 && s.service.isZero() }

// KeepReady connects, and has OBS set up for the job's next start while it is idle: once for each
// connection, and again when another setup is wanted or a start has made another. What a person
// changes in OBS after that stays until the start, which looks at all of it again. So an error here
// is only logged.
func (e *Encoder) KeepReady(job encoders.Job, on bool) {
	var keep setup
	if on {
		e.connectOnce(job)
		var err error
		if keep, err = e.settings.setup(job); err != nil {
			e.env.Log.Debug("obs is not set up before the start", "error", err)
			keep = setup{}
		}
	}
	e.update(func(time.Time) { e.keep = keep })
}

// keepReady does what KeepReady asks for, until the encoder is closed.
func (e *Encoder) keepReady() {
	for e.await(e.ctx, e.setupDue) == nil {
		release, err := e.waitTurn(e.ctx)
		if err != nil {
			return
		}
		if err := e.setUp(e.ctx); err != nil {
			e.env.Log.Debug("obs is not set up before the start", "error", err)
		}
		release()
	}
}

// setupDue reports whether OBS is to be set up now, or when to ask again. The caller holds mu.
func (e *Encoder) setupDue(now time.Time) (due bool, again time.Time) {
	l := &e.link
	switch {
	case !l.ready, e.out.exiting, l.changes > 0, e.keep.isZero(), reflect.DeepEqual(e.keep, l.setup):
		return false, time.Time{}
	case now.Before(l.busyUntil):
		return false, l.busyUntil
	}
	return e.out.certain(now), e.out.clear
}

// dueNow returns what OBS is to be set up with now, on which session: nil when nothing is due.
func (e *Encoder) dueNow() (*session, setup) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if due, _ := e.setupDue(time.Now()); !due {
		return nil, setup{}
	}
	return e.link.sess, e.keep
}

// setUp sets OBS up, if that is still due and OBS has no output on: no recording, no virtual
// camera. The caller holds turn.
func (e *Encoder) setUp(ctx context.Context) error {
	sess, _ := e.dueNow()
	if sess == nil {
		return nil
	}
	var list struct {
		Outputs []struct {
			Name   string `json:"outputName"`
			Active bool   `json:"outputActive"`
		} `json:"outputs"`
	}
	err := e.patiently(ctx, sess, "GetOutputList", nil, &list)
	for _, o := range list.Outputs {
		if o.Active {
			err = fmt.Errorf("its output %s is on", o.Name)
		}
	}
	if err != nil {
		e.update(func(now time.Time) { e.link.busyUntil = now.Add(e.limits.pollOff) })
		return err
	}
	still, keep := e.dueNow()
	if still != sess {
		return nil
	}
	return e.prepare(ctx, sess, keep)
}
