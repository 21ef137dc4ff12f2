package runner_test

import (
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
	"github.com/oncue/oncue/controller/runner"
)

func schedule(t *testing.T, lines ...machine.ScheduleLine) *machine.Schedule {
	t.Helper()
	s, err := machine.NewSchedule(lines, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSchedule: a window that runs at boot counts, one that begins later is opened, and both end.
func TestSchedule(t *testing.T) {
	bubble(t, func(t *testing.T) { // a bubble begins at midnight UTC on a Saturday
		s := spec("show", "cam")
		s.Policy.Schedule = schedule(t, machine.ScheduleLine{Cron: "0 22 * * FRI", For: 4 * time.Hour, Do: controller.ModeOn},
			machine.ScheduleLine{Cron: "0 12 * * *", For: time.Hour, Do: controller.ModeOff})
		r := newRig(t, s)
		r.boot()
		defer r.end(false)
		r.pass(time.Second)
		r.hook(controller.HookFeedStarted, "show", "F1")
		if v := r.view("show"); v.Phase != controller.PhaseLive || v.Deadline.String() != "2000-01-01T02:00:00.000Z" {
			t.Fatalf("%s until %v: %s", v.Phase, v.Deadline, v.Reason)
		}
		r.pass(2*time.Hour + 30*time.Second)
		r.hook(controller.HookFeedEnded, "show", "F1")
		r.want("show", controller.PhaseIdle)
		r.pass(10 * time.Hour)
		r.hook(controller.HookAttempt, "show")
		if v := r.view("show"); v.Phase != controller.PhaseIdle || !strings.Contains(v.Reason, "schedule says off") {
			t.Errorf("at noon: %s, %s", v.Phase, v.Reason)
		}
		r.pass(time.Hour)
		r.hook(controller.HookAttempt, "show")
		r.want("show", controller.PhaseStarting)
	})
}

// TestScheduleOfAPattern counts for each of its streams.
func TestScheduleOfAPattern(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		off := schedule(t, machine.ScheduleLine{Cron: "0 0 * * *", For: time.Hour, Do: controller.ModeOff})
		r.pattern = func(n string) runner.StreamSpec {
			s := cameras(n)
			s.Policy.Schedule = off
			return s
		}
		r.boot()
		defer r.end(false)
		r.hook(controller.HookAttempt, "cam-1")
		r.pass(10 * time.Second)
		if v := r.view("cam-1"); v.Phase != controller.PhaseIdle || v.Reason != "the schedule says off" {
			t.Errorf("%s: %s", v.Phase, v.Reason)
		}
		r.pass(time.Hour)
		r.hook(controller.HookAttempt, "cam-1")
		r.pass(time.Second)
		r.wantOn("nvr@cam-1")
	})
}

// TestClockStepAndSchedule: the clock is set into a window, and out of it.
func TestClockStepAndSchedule(t *testing.T) {
	bubble(t, func(t *testing.T) { // at midnight
		s := spec("show", "cam")
		s.Policy.Schedule = schedule(t, machine.ScheduleLine{Cron: "0 2 * * *", For: time.Hour, Do: controller.ModeOn})
		r := newRig(t, s)
		r.boot()
		defer r.end(false)
		r.pass(time.Second)
		r.wantOn("")
		r.wall.Store(int64(150 * time.Minute))
		r.pass(5 * time.Second)
		r.wantOn("cam")
		r.hook(controller.HookFeedStarted, "show", "F1")
		r.wall.Store(0)
		r.pass(30 * time.Second)
		r.wantOn("")
	})
}
