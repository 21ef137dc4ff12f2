package runner_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oncue/oncue/controller"
)

// TestClockStep: the wall clock is set while a stream lingers, by an hour and by a year, in both
// directions.
func TestClockStep(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour, 365 * 24 * time.Hour, -365 * 24 * time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, spec("lobby", "cam"))
				r.boot()
				defer r.end(false)
				r.live("lobby", "F1")
				r.hook(controller.HookNoViewers, "lobby")
				r.pass(5 * time.Second)
				r.wall.Store(int64(by))
				r.pass(5 * time.Second)
				if v := r.view("lobby"); v.Phase != controller.PhaseLingering ||
					time.Until(v.Deadline.Time.Add(-by)) != 10*time.Second {
					t.Fatalf("%s until %v", v.Phase, v.Deadline)
				}
				r.pass(9500 * time.Millisecond)
				r.want("lobby", controller.PhaseLingering)
				r.pass(2 * time.Second)
				r.want("lobby", controller.PhaseStopping)
			})
		})
	}
}

// TestSavedAfterAClockStep: what a hook tells is saved within seconds, also when the wall clock was
// set back behind the last save, before or after a restart.
func TestSavedAfterAClockStep(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprint("restart ", restart), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, spec("lobby", "cam"))
				r.boot()
				r.live("lobby", "F1")
				if restart {
					r.end(false)
				}
				r.wall.Store(int64(-time.Hour))
				if restart {
					r.boot()
				}
				defer r.end(false)
				r.pass(10 * time.Second) // the clock is looked at
				before := r.saved()
				r.hook(controller.HookAttempt, "lobby")
				r.pass(6 * time.Second)
				if r.saved() == before {
					t.Error("what the hook told is not saved")
				}
			})
		})
	}
}

// TestClockStepsWhileStoring: the clock is set while the store takes its time. Deadlines are as far
// away as before, for what is stored and for what has to be decided once more.
func TestClockStepsWhileStoring(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, spec("lobby", "cam"))
				r.boot()
				defer r.end(false)
				r.live("lobby", "F1")
				rec, old := r.sent(controller.HookFeedStarted, "lobby", "F9")
				if _, _, err := r.store.Append(context.Background(), rec); err != nil {
					t.Fatal(err)
				}
				free := r.blockStates()
				_, h := r.sent(controller.HookNoViewers, "lobby")
				answers := r.takes(h)
				answers = append(answers, r.takes(old)...)
				r.wall.Store(int64(by))
				r.pass(2 * time.Second) // the clock is looked at
				close(free)
				synctest.Wait()
				for i, duplicate := range []bool{false, true} {
					if a := <-answers[i]; a.duplicate != duplicate || a.err != nil {
						t.Errorf("%+v", a)
					}
				}
				now := time.Now().Add(by)
				v := r.view("lobby")
				if v.Phase != controller.PhaseLingering || v.Deadline == nil {
					t.Fatalf("%s until %v: %s", v.Phase, v.Deadline, v.Reason)
				}
				if left := v.Deadline.Sub(now); left < 17*time.Second || left > 19*time.Second {
					t.Errorf("2 s of 20 s have passed, and %v are left", left)
				}
				r.pass(19 * time.Second)
				r.want("lobby", controller.PhaseStopping)
			})
		})
	}
}

// TestClockStepWhileTheDiskHangs: a stream that waits for the disk holds up neither the others nor
// the proof of life, and its times are moved like theirs.
func TestClockStepWhileTheDiskHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"), spec("foyer", "cam2"))
		r.boot()
		defer r.end(false)
		r.live("lobby", "F1")
		r.live("foyer", "F2")
		free := r.blockStates()
		rec, h := r.sent(controller.HookNoViewers, "lobby")
		go r.c.Take(context.Background(), rec, h) //nolint:errcheck // the phase tells
		r.wall.Store(int64(time.Hour))
		r.pass(3 * time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := r.c.Pulse(ctx); err != nil {
			t.Error(err)
		}
		close(free)
		r.pass(time.Second)
		if v := r.view("lobby"); v.Phase != controller.PhaseLingering ||
			time.Until(v.Deadline.Time.Add(-time.Hour)).Round(time.Second) != 16*time.Second {
			t.Errorf("lobby is %s until %v", v.Phase, v.Deadline)
		}
		r.pass(17 * time.Second)
		r.want("lobby", controller.PhaseStopping)
	})
}

// TestClockStepThenRestart: a viewer is in, the clock is set, and the daemon is restarted: the
// journal's hooks are taken again, and he is not cut off.
func TestClockStepThenRestart(t *testing.T) {
	for _, by := range []time.Duration{4 * time.Minute, -4 * time.Minute, 24 * time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, spec("lobby", "cam"))
				r.boot()
				r.live("lobby", "F1")
				r.wall.Store(int64(by))
				r.pass(5 * time.Second)
				r.end(false)
				r.boot()
				defer r.end(false)
				r.pass(3 * time.Minute)
				r.want("lobby", controller.PhaseLive)
				r.wantOn("cam")
			})
		})
	}
}
